package catalogue

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/httpauth"
	"github.com/strongroom/strongroom/shared/secret"
)

// The ways that the other applications let programs in, typed by hand.
func TestWhatApplicationsOffer(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for name, want := range map[string]string{
		"afas": "api_key", "azure": "oauth2 api_key", "bamboohr": "api_key oauth2", "bitbucket": "basic access_token oauth2 ssh_key",
		"box": "oauth2 access_token", "connectwise": "api_key", "docker-registry": "basic", "dropbox": "oauth2 access_token",
		"easyvista": "basic access_token", "exact-online": "oauth2", "exchange": "basic oauth2 client_certificate", "freshdesk": "api_key",
		"freshservice": "api_key", "ftp": "basic", "google-drive": "oauth2", "haloitsm": "oauth2", "intune": "oauth2", "ivanti": "api_key",
		"generic-rest": "basic digest api_key access_token oauth1 oauth2 client_certificate", "generic-webhook": "webhook_secret",
		"jenkins": "basic", "kubernetes": "access_token client_certificate", "lakeside": "api_key access_token", "lansweeper": "access_token oauth2",
		"ldap": "basic client_certificate", "magento": "oauth1 access_token", "manageengine-servicedesk-plus": "api_key oauth2", "marketo": "oauth2",
		"mongodb": "basic client_certificate", "mysql": "basic client_certificate", "npm": "access_token", "openai": "api_key", "oracle": "basic",
		"outlook": "oauth2", "redis": "basic client_certificate", "sendgrid": "api_key", "sftp": "basic ssh_key", "sharepoint": "oauth2 basic",
		"smtp-imap": "basic oauth2", "solarwinds": "basic api_key", "sql-server": "basic", "ssh": "ssh_key basic", "topdesk": "basic",
		"twitch": "oauth2 access_token", "vmware-vcenter": "basic", "whatsapp": "access_token webhook_secret",
		"woocommerce": "basic oauth1 webhook_secret", "x": "oauth1 oauth2 access_token", "xurrent": "access_token oauth2",
		"zendesk": "api_key oauth2", "zoom": "oauth2",
	} {
		app, err := c.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, auth := range app.AuthTypes {
			got = append(got, string(auth))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
		for _, text := range app.Unverified {
			if strings.Contains(text, "not held against the vendor's pages yet") {
				t.Errorf("%s says of everything and nothing: %s", name, text)
			}
		}
	}
}

// Where their credentials may go, and the request that shows whether they are good.
func TestWhereOffersGo(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for _, v := range []struct {
		app            string
		auth           credential.AuthType
		plain          map[string]string
		origins, probe string
		status         []int
	}{
		{"afas", "api_key", map[string]string{"environment": "12345"}, "https://12345.rest.afas.online:443", "https://12345.rest.afas.online/ProfitRestServices/metainfo", []int{200}},
		{"afas", "api_key", map[string]string{"environment": "12345", "kind": "resttest"}, "https://12345.resttest.afas.online:443",
			"https://12345.resttest.afas.online/ProfitRestServices/metainfo", []int{200}},
		{"bitbucket", "access_token", map[string]string{"workspace": "acme"}, "https://api.bitbucket.org:443 https://bitbucket.org:443",
			"https://api.bitbucket.org/2.0/repositories/acme?pagelen=1", []int{200, 403}},
		{"bitbucket", "ssh_key", nil, "ssh://bitbucket.org:22", "", nil},
		{"box", "oauth2", nil, "https://api.box.com:443 https://upload.box.com:443", "https://api.box.com/2.0/users/me", []int{200}},
		{"docker-registry", "basic", map[string]string{"login_url": "https://auth.docker.io/token?service=registry.docker.io"},
			"https://registry-1.docker.io:443 https://auth.docker.io:443", "https://auth.docker.io/token?service=registry.docker.io", []int{200}},
		{"easyvista", "basic", map[string]string{"url": "https://acme.easyvista.com", "account": "50004"}, "https://acme.easyvista.com:443",
			"https://acme.easyvista.com/api/v1/50004/requests?max_rows=1", []int{200}},
		{"exact-online", "oauth2", map[string]string{"region": "co.uk"}, "https://start.exactonline.co.uk:443", "https://start.exactonline.co.uk/api/v1/current/Me", []int{200}},
		{"intune", "oauth2", map[string]string{"tenant": "t1"}, "https://graph.microsoft.com:443 https://login.microsoftonline.com:443",
			"https://graph.microsoft.com/v1.0/deviceManagement/managedDevices?$top=1", []int{200, 403}},
		{"lakeside", "api_key", map[string]string{"url": "https://cloud.lakesidesoftware.com"}, "https://cloud.lakesidesoftware.com:443",
			"https://cloud.lakesidesoftware.com/api/groups", []int{200}},
		// The store lists of a shop may be open to everybody and would show nothing.
		{"magento", "oauth1", map[string]string{"url": "https://shop.example"}, "https://shop.example:443", "https://shop.example/rest/V1/modules", []int{200}},
		{"npm", "access_token", map[string]string{"url": "https://npm.acme.example"}, "https://npm.acme.example:443", "https://npm.acme.example/-/whoami", []int{200}},
		{"sendgrid", "api_key", map[string]string{"url": "https://api.eu.sendgrid.com"}, "https://api.eu.sendgrid.com:443", "https://api.eu.sendgrid.com/v3/scopes", []int{200}},
		// A token for Graph is not good at the site itself.
		{"sharepoint", "oauth2", map[string]string{"tenant": "t1", "url": "https://acme.sharepoint.com"},
			"https://graph.microsoft.com:443 https://acme.sharepoint.com:443 https://login.microsoftonline.com:443", "https://graph.microsoft.com/v1.0/sites/root", []int{200, 403}},
		{"sharepoint", "basic", map[string]string{"url": "https://sp.acme.example"}, "https://sp.acme.example:443", "https://sp.acme.example/_api/web/title", []int{200}},
		{"solarwinds", "basic", map[string]string{"url": "https://orion.acme.example:17774"}, "https://orion.acme.example:17774",
			"https://orion.acme.example:17774/SolarWinds/InformationService/v3/Json/Query?query=SELECT+TOP+1+URI+FROM+Orion.Nodes", []int{200}},
		{"solarwinds", "api_key", map[string]string{"url": "https://apieu.samanage.com"}, "https://apieu.samanage.com:443", "https://apieu.samanage.com/incidents.json?per_page=1", []int{200}},
		{"twitch", "access_token", map[string]string{"client_id": "c"}, "https://api.twitch.tv:443 https://id.twitch.tv:443", "https://api.twitch.tv/helix/games/top?first=1", []int{200}},
		{"woocommerce", "basic", map[string]string{"url": "https://shop.example"}, "https://shop.example:443",
			"https://shop.example/wp-json/wc/v3/orders?per_page=1&_fields=id", []int{200, 403}},
		{"x", "access_token", nil, "https://api.x.com:443 https://api.twitter.com:443", "https://api.x.com/2/usage/tweets", []int{200}},
		{"x", "oauth1", nil, "https://api.x.com:443 https://api.twitter.com:443", "https://api.x.com/2/users/me", []int{200}},
		{"xurrent", "oauth2", map[string]string{"account": "acme", "url": "https://api.us.xurrent.com", "oauth_url": "https://oauth.us.example"},
			"https://api.us.xurrent.com:443 https://oauth.us.example:443", "https://api.us.xurrent.com/v1/me", []int{200, 403}},
		{"zendesk", "oauth2", map[string]string{"subdomain": "acme"}, "https://acme.zendesk.com:443", "https://acme.zendesk.com/api/v2/users.json?per_page=1", []int{200, 403}},
		{"zoom", "oauth2", nil, "https://api.zoom.us:443 https://zoom.us:443", "https://api.zoom.us/v2/users/me", []int{200}},
	} {
		app, err := c.Get(v.app)
		if err != nil {
			t.Fatal(err)
		}
		name := v.app + " with " + string(v.auth)
		origins, err := app.Origins(v.auth, v.plain)
		var got []string
		for _, o := range origins {
			got = append(got, o.String())
		}
		if text := strings.Join(got, " "); err != nil || text != v.origins {
			t.Errorf("%s: origins %s, %v; want %s", name, text, err, v.origins)
		}
		if probe, err := app.ProbeURL(v.auth, v.plain); probe != v.probe || (err == nil) != (v.probe != "") {
			t.Errorf("%s: probe %s, %v; want %s", name, probe, err, v.probe)
		}
		if p := app.Probe(v.auth); v.probe != "" && !slices.Equal(p.Status, v.status) {
			t.Errorf("%s: a good one is answered %v, want %v", name, p.Status, v.status)
		}
	}
}

// An account of somebody's own registry must not be shown to Docker Hub, whose address the field url has by default.
func TestRegistryPasswordsGoWhereTheyAreSaidTo(t *testing.T) {
	t.Parallel()
	app, err := builtIn(t).Get("docker-registry")
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]string{"url": "https://registry.acme.example"}
	if probe, err := app.ProbeURL(credential.Basic, plain); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("without login_url the probe goes to %q, %v", probe, err)
	}
	origins, err := app.Origins(credential.Basic, plain)
	if err != nil || len(origins) != 1 || origins[0].String() != "https://registry.acme.example:443" {
		t.Errorf("origins %v, %v", origins, err)
	}
}

// Their authorization servers, typed by hand.
func TestHowOffersRefresh(t *testing.T) {
	t.Parallel()
	const (
		microsoft = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/"
		google    = "https://oauth2.googleapis.com/"
	)
	c := builtIn(t)
	for _, v := range []struct {
		app, authorize, token, revoke string
		pkce                          bool
		client                        string
		refresh                       Refresh
	}{
		{"azure", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"bamboohr", "https://{company}.bamboohr.com/authorize.php?request=authorize", "https://{company}.bamboohr.com/token.php?request=token", "", false, "post", Refresh{AccessMinutes: 60}},
		{"bitbucket", "https://bitbucket.org/site/oauth2/authorize", "https://bitbucket.org/site/oauth2/access_token", "", false, "basic", Refresh{AccessMinutes: 120}},
		{"box", "https://account.box.com/api/oauth2/authorize", "https://api.box.com/oauth2/token", "https://api.box.com/oauth2/revoke", false, "post",
			Refresh{Rotates: true, AccessMinutes: 60, IdleDays: 60}},
		{"dropbox", "https://www.dropbox.com/oauth2/authorize", "https://api.dropboxapi.com/oauth2/token", "", true, "post", Refresh{AccessMinutes: 240}},
		{"exact-online", "https://start.exactonline.{region}/api/oauth2/auth", "https://start.exactonline.{region}/api/oauth2/token", "", false, "post",
			Refresh{Rotates: true, AccessMinutes: 10, IdleDays: 30}},
		{"google-drive", "https://accounts.google.com/o/oauth2/v2/auth", google + "token", google + "revoke", true, "post", Refresh{AccessMinutes: 60, IdleDays: 180}},
		{"haloitsm", "{url}/auth/authorize", "{url}/auth/token", "", false, "post", Refresh{}},
		{"intune", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"lansweeper", "https://app.lansweeper.com/authorize-app/{client_id}", "https://api.lansweeper.com/api/integrations/oauth/token", "", false, "post", Refresh{}},
		{"manageengine-servicedesk-plus", "{accounts_url}/oauth/v2/auth", "{accounts_url}/oauth/v2/token", "", false, "post", Refresh{AccessMinutes: 60}},
		{"marketo", "", "https://{munchkin_id}.mktorest.com/identity/oauth/token", "", false, "post", Refresh{AccessMinutes: 60}},
		{"outlook", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"sharepoint", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"twitch", "https://id.twitch.tv/oauth2/authorize", "https://id.twitch.tv/oauth2/token", "https://id.twitch.tv/oauth2/revoke", false, "post", Refresh{}},
		{"x", "https://x.com/i/oauth2/authorize", "https://api.x.com/2/oauth2/token", "https://api.x.com/2/oauth2/revoke", true, "basic", Refresh{Rotates: true, AccessMinutes: 120}},
		{"xurrent", "{oauth_url}/authorize", "{oauth_url}/token", "", false, "post", Refresh{Rotates: true, AccessMinutes: 60, IdleDays: 14}},
		{"zendesk", "https://{subdomain}.zendesk.com/oauth/authorizations/new", "https://{subdomain}.zendesk.com/oauth/tokens", "", true, "post", Refresh{Rotates: true, KillsAccess: true}},
		{"zoom", "https://zoom.us/oauth/authorize", "https://zoom.us/oauth/token", "https://zoom.us/oauth/revoke", true, "basic", Refresh{Rotates: true, AccessMinutes: 60, IdleDays: 90}},
	} {
		app, err := c.Get(v.app)
		if err != nil {
			t.Fatal(err)
		}
		o := app.OAuth2
		if o == nil {
			t.Errorf("%s: no OAuth 2.0", v.app)
			continue
		}
		if o.AuthorizeURL != v.authorize || o.TokenURL != v.token || o.RevokeURL != v.revoke {
			t.Errorf("%s: %s, %s, %s", v.app, o.AuthorizeURL, o.TokenURL, o.RevokeURL)
		}
		if o.PKCE != v.pkce || o.ClientAuth != v.client {
			t.Errorf("%s: PKCE %v, client %s", v.app, o.PKCE, o.ClientAuth)
		}
		if diff := cmp.Diff(v.refresh, o.Refresh); diff != "" {
			t.Errorf("%s: %s", v.app, diff)
		}
	}
}

// The headers that they want to see. The base64 is of KEY:x, KEY:X, acme+pub:priv and name:password.
func TestHeadersOfOffers(t *testing.T) {
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
		app, err := c.Get(v.app)
		if err != nil {
			t.Fatal(err)
		}
		origins, err := app.Origins(v.auth, v.plain)
		if err != nil {
			t.Fatal(err)
		}
		url, err := app.ProbeURL(v.auth, v.plain)
		if err != nil {
			t.Fatal(err)
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

// The variables that their own tools read.
func TestVariablesOfOffers(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for name, want := range map[string]map[string]string{
		"azure api_key": {"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client_id", "AZURE_CLIENT_SECRET": "key", "AZURE_SUBSCRIPTION_ID": "subscription",
			"ARM_TENANT_ID": "tenant", "ARM_CLIENT_ID": "client_id", "ARM_CLIENT_SECRET": "key", "ARM_SUBSCRIPTION_ID": "subscription"},
		"jenkins basic":        {"JENKINS_URL": "url", "JENKINS_USER_ID": "username", "JENKINS_API_TOKEN": "password"},
		"mysql basic":          {"MYSQL_HOST": "host", "MYSQL_TCP_PORT": "port", "MYSQL_PWD": "password"},
		"npm access_token":     {"NPM_TOKEN": "token", "NODE_AUTH_TOKEN": "token"},
		"openai api_key":       {"OPENAI_API_KEY": "key", "OPENAI_ORG_ID": "organization", "OPENAI_PROJECT_ID": "project"},
		"redis basic":          {"REDISCLI_AUTH": "password"},
		"sendgrid api_key":     {"SENDGRID_API_KEY": "key"},
		"sql-server basic":     {"SQLCMDSERVER": "host", "SQLCMDUSER": "username", "SQLCMDPASSWORD": "password", "SQLCMDDBNAME": "database"},
		"vmware-vcenter basic": {"GOVC_URL": "url", "GOVC_USERNAME": "username", "GOVC_PASSWORD": "password"},
		"mongodb basic":        nil,
		"oracle basic":         nil,
	} {
		application, auth, _ := strings.Cut(name, " ")
		app, err := c.Get(application)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, app.Environment(credential.AuthType(auth))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The shared example of a signed delivery, with the header and the encoding that each of them says.
func TestWebhooksOfOffers(t *testing.T) {
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
		"whatsapp":    {"X-Hub-Signature-256": {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		"woocommerce": {"X-Wc-Webhook-Signature": {"dXEH6g6yUJ/CESIczphLijdXC211hsIsRvQ3nIsEPhc="}},
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
