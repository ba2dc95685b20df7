package catalogue

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/shared/credential"
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
		app := get(t, c, name)
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
		app := get(t, c, v.app)
		wantTargets(t, app, v.auth, v.plain, v.origins, v.probe)
		if p := app.Probe(v.auth); v.probe != "" && !slices.Equal(p.Status, v.status) {
			t.Errorf("%s with %s: a good one is answered %v, want %v", v.app, v.auth, p.Status, v.status)
		}
	}
}

// An account of somebody's own registry must not be shown to Docker Hub, whose address the field url has by default.
func TestRegistryPasswordsGoWhereTheyAreSaidTo(t *testing.T) {
	t.Parallel()
	app := get(t, builtIn(t), "docker-registry")
	plain := map[string]string{"url": "https://registry.acme.example"}
	if probe, err := app.ProbeURL(credential.Basic, plain); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("without login_url the probe goes to %q, %v", probe, err)
	}
	origins, err := app.Origins(credential.Basic, plain)
	if err != nil || len(origins) != 1 || origins[0].String() != "https://registry.acme.example:443" {
		t.Errorf("origins %v, %v", origins, err)
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
		app, auth := getAuth(t, c, name)
		if diff := cmp.Diff(want, app.Environment(auth)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
