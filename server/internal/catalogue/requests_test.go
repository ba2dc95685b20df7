package catalogue

import (
	"net/http"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/httpauth"
	"github.com/strongroom/strongroom/shared/secret"
)

// What the catalogue says and httpauth does, together: the headers are typed by hand from the vendors' pages. What stands
// in base64 is abc:X, a@b.c/token:k1, :pat, <token/>, k:x, k:X, acme+pub:priv and name:password.
func TestRequestsAsVendorsWantThem(t *testing.T) {
	t.Parallel()
	a, err := secret.NewArena(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	c := builtIn(t)
	connectwise := map[string]string{"url": "https://api-eu.myconnectwise.net", "company": "acme", "public_key": "pub", "client_id": "c-1"}
	xurrent := map[string]string{"account": "wdc"}
	for _, v := range []struct {
		app          string
		auth         credential.AuthType
		plain        map[string]string
		field, value string
		header, want string
	}{
		{"freshdesk", "api_key", map[string]string{"domain": "acme"}, "key", "abc", "Authorization", "Basic YWJjOlg="},
		{"zendesk", "api_key", map[string]string{"subdomain": "acme", "email": "a@b.c"}, "key", "k1", "Authorization", "Basic YUBiLmMvdG9rZW46azE="},
		{"azure-devops", "access_token", map[string]string{"organization": "acme"}, "token", "pat", "Authorization", "Basic OnBhdA=="},
		{"gitlab", "access_token", nil, "token", "glpat-1", "Private-Token", "glpat-1"},
		{"stripe", "api_key", nil, "key", "sk_1", "Authorization", "Bearer sk_1"},
		{"afas", "api_key", map[string]string{"environment": "12345"}, "key", "<token/>", "Authorization", "AfasToken PHRva2VuLz4="},
		{"twitch", "access_token", map[string]string{"client_id": "cid"}, "token", "t", "Client-Id", "cid"},
		{"lansweeper", "access_token", nil, "token", "t", "Authorization", "Token t"},
		{"ivanti", "api_key", map[string]string{"url": "https://acme.saasit.com"}, "key", "k", "Authorization", "rest_api_key=k"},
		{"github", "access_token", nil, "token", "ghp_1", "Authorization", "Bearer ghp_1"},
		{"manageengine-servicedesk-plus", "oauth2", map[string]string{"url": "https://sdpondemand.manageengine.eu", "client_id": "c"}, "access_token", "t", "Authorization", "Zoho-oauthtoken t"},
		{"bamboohr", "api_key", map[string]string{"company": "acme"}, "key", "k", "Authorization", "Basic azp4"},
		{"freshservice", "api_key", map[string]string{"domain": "acme"}, "key", "k", "Authorization", "Basic azpY"},
		{"connectwise", "api_key", connectwise, "key", "priv", "Authorization", "Basic YWNtZStwdWI6cHJpdg=="},
		{"connectwise", "api_key", connectwise, "key", "priv", "clientId", "c-1"},
		{"topdesk", "basic", map[string]string{"url": "https://acme.topdesk.net", "username": "op"}, "password", "pw", "Authorization", "Basic b3A6cHc="},
		{"jenkins", "basic", map[string]string{"url": "https://ci.acme.example", "username": "me"}, "password", "11ab", "Authorization", "Basic bWU6MTFhYg=="},
		{"woocommerce", "basic", map[string]string{"url": "https://shop.example", "username": "ck_1"}, "password", "cs_1", "Authorization", "Basic Y2tfMTpjc18x"},
		{"lakeside", "api_key", map[string]string{"url": "https://cloud.lakesidesoftware.com"}, "key", "k", "Systrack-Api-Key", "k"},
		{"lakeside", "access_token", map[string]string{"url": "https://cloud.lakesidesoftware.com"}, "token", "t", "Authorization", "Bearer t"},
		{"solarwinds", "api_key", map[string]string{"url": "https://api.samanage.com"}, "key", "k", "X-Samanage-Authorization", "Bearer k"},
		{"manageengine-servicedesk-plus", "api_key", map[string]string{"url": "https://sdp.acme.example"}, "key", "k", "Authtoken", "k"},
		{"sendgrid", "api_key", nil, "key", "SG.k", "Authorization", "Bearer SG.k"},
		{"openai", "api_key", map[string]string{"organization": "org-1"}, "key", "sk-1", "Authorization", "Bearer sk-1"},
		{"openai", "api_key", map[string]string{"organization": "org-1"}, "key", "sk-1", "OpenAI-Organization", "org-1"},
		{"openai", "api_key", map[string]string{"organization": "org-1"}, "key", "sk-1", "OpenAI-Project", ""},
		{"xurrent", "access_token", xurrent, "token", "t", "Authorization", "Bearer t"},
		{"xurrent", "access_token", xurrent, "token", "t", "X-Xurrent-Account", "wdc"},
		{"twitch", "oauth2", map[string]string{"client_id": "cid"}, "access_token", "t", "Authorization", "Bearer t"},
		{"twitch", "oauth2", map[string]string{"client_id": "cid"}, "access_token", "t", "Client-Id", "cid"},
		{"whatsapp", "access_token", nil, "token", "t", "Authorization", "Bearer t"},
	} {
		app := get(t, c, v.app)
		origins, err := app.Origins(v.auth, v.plain)
		if err != nil {
			t.Fatal(err)
		}
		url := origins[0].String()
		if v.app != "lansweeper" { // which has no probe: the origin will do
			if url, err = app.ProbeURL(v.auth, v.plain); err != nil {
				t.Fatal(err)
			}
		}
		b, err := a.From([]byte(v.value))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = httpauth.Credential{Type: v.auth, Plain: app.Filled(v.auth, v.plain), Secrets: credential.Value{v.field: b},
			Origins: origins, Injection: app.Injection(v.auth)}.Authenticate(r)
		if got := r.Header.Get(v.header); err != nil || got != v.want {
			t.Errorf("%s: %s: %q, %v; want %q", v.app, v.header, got, err, v.want)
		}
	}
}

// GitHub's own example of a signed delivery, with the header and the encoding that the catalogue says.
func TestWebhooksAsVendorsSignThem(t *testing.T) {
	t.Parallel()
	a, err := secret.NewArena(1 << 12)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	b, err := a.From([]byte("It's a Secret to Everybody"))
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]http.Header{
		"github":      {"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		"shopify":     {"X-Shopify-Hmac-Sha256": {"dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}},
		"whatsapp":    {"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		"woocommerce": {"X-Wc-Webhook-Signature": {"dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}},
		// Teams shows the key in base64; what is stored is what that decodes to.
		"microsoft-teams": {"Authorization": {"HMAC dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}},
	} {
		app := get(t, builtIn(t), name)
		c := httpauth.Credential{Type: credential.WebhookSecret, Plain: app.Filled(credential.WebhookSecret, nil), Secrets: credential.Value{"secret": b}}
		if err := c.VerifyWebhook(h, []byte("Hello, World!")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.VerifyWebhook(h, []byte("Hello, World?")); err == nil {
			t.Errorf("%s: another message is accepted", name)
		}
	}
}
