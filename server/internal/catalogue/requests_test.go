package catalogue

import (
	"net/http"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/httpauth"
	"github.com/strongroom/strongroom/shared/secret"
)

// What the catalogue says and httpauth does, together: the headers are typed by hand from the vendors' pages.
func TestRequestsAsVendorsWantThem(t *testing.T) {
	t.Parallel()
	a, err := secret.NewArena(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	c := builtIn(t)
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
	} {
		app, err := c.Get(v.app)
		if err != nil {
			t.Fatal(err)
		}
		origins, err := app.Origins(v.auth, v.plain)
		if err != nil {
			t.Fatal(err)
		}
		url, err := app.ProbeURL(v.auth, v.plain)
		if err != nil { // without a probe the first origin will do
			url = origins[0].String()
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

// GitHub's own example of a signed delivery, with the header that the catalogue says.
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
		"github":  {"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		"shopify": {"X-Shopify-Hmac-Sha256": {"dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}},
		// Teams shows the key in base64; what is stored is what that decodes to.
		"microsoft-teams": {"Authorization": {"HMAC dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}},
	} {
		app, err := builtIn(t).Get(name)
		if err != nil {
			t.Fatal(err)
		}
		c := httpauth.Credential{Type: credential.WebhookSecret, Plain: app.Filled(credential.WebhookSecret, nil), Secrets: credential.Value{"secret": b}}
		if err := c.VerifyWebhook(h, []byte("Hello, World!")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.VerifyWebhook(h, []byte("Hello, World?")); err == nil {
			t.Errorf("%s: another message is accepted", name)
		}
	}
}
