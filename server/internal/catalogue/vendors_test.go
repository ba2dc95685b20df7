package catalogue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/shared/credential"
)

// Each product of Twilio has a host of its own.
const twilioOrigins = "https://api.twilio.com:443 https://accounts.twilio.com:443 https://content.twilio.com:443 https://conversations.twilio.com:443 " +
	"https://events.twilio.com:443 https://flex-api.twilio.com:443 https://iam.twilio.com:443 https://insights.twilio.com:443 https://intelligence.twilio.com:443 " +
	"https://lookups.twilio.com:443 https://messaging.twilio.com:443 https://monitor.twilio.com:443 https://numbers.twilio.com:443 https://pricing.twilio.com:443 " +
	"https://proxy.twilio.com:443 https://serverless.twilio.com:443 https://studio.twilio.com:443 https://supersim.twilio.com:443 https://sync.twilio.com:443 " +
	"https://taskrouter.twilio.com:443 https://trunking.twilio.com:443 https://trusthub.twilio.com:443 https://verify.twilio.com:443 https://video.twilio.com:443 " +
	"https://voice.twilio.com:443 https://wireless.twilio.com:443"

const googleOrigins = "https://cloudresourcemanager.googleapis.com:443 https://storage.googleapis.com:443 https://compute.googleapis.com:443 " +
	"https://discovery.googleapis.com:443 https://openidconnect.googleapis.com:443"

// What a credential of some applications is, typed by hand from their vendors' pages.
func TestWhatVendorsSay(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for _, v := range []struct {
		app     string
		auth    credential.AuthType
		plain   map[string]string
		origins string
		probe   string
		inject  credential.Injection
		env     string
	}{
		{"salesforce", "oauth2", map[string]string{"url": "https://acme.my.salesforce.com"}, "https://acme.my.salesforce.com:443",
			"https://acme.my.salesforce.com/services/oauth2/userinfo", credential.Injection{}, "SF_ACCESS_TOKEN=access_token SF_ORG_INSTANCE_URL=url"},
		{"servicenow", "api_key", map[string]string{"instance": "dev1"}, "https://dev1.service-now.com:443",
			"https://dev1.service-now.com/api/now/table/sys_user?sysparm_limit=1&sysparm_fields=sys_id", credential.Injection{Header: "x-sn-apikey"}, ""},
		{"jira", "basic", map[string]string{"url": "https://acme.atlassian.net/"}, "https://acme.atlassian.net:443", "https://acme.atlassian.net/rest/api/2/myself", credential.Injection{}, ""},
		{"jira", "oauth2", map[string]string{"url": "https://acme.atlassian.net"}, "https://api.atlassian.com:443 https://auth.atlassian.com:443",
			"https://api.atlassian.com/oauth/token/accessible-resources", credential.Injection{}, ""},
		{"github", "access_token", nil, "https://api.github.com:443", "https://api.github.com/user", credential.Injection{}, "GH_TOKEN=token GITHUB_TOKEN=token"},
		{"github", "access_token", map[string]string{"url": "https://git.acme.example/api/v3"}, "https://git.acme.example:443", "https://git.acme.example/api/v3/user", credential.Injection{}, "GH_TOKEN=token GITHUB_TOKEN=token"},
		{"gitlab", "access_token", nil, "https://gitlab.com:443", "https://gitlab.com/api/v4/personal_access_tokens/self", credential.Injection{Header: "PRIVATE-TOKEN"}, "GITLAB_HOST=url GITLAB_TOKEN=token"},
		{"gitlab", "oauth2", map[string]string{"url": "https://git.acme.example"}, "https://git.acme.example:443", "https://git.acme.example/api/v4/user", credential.Injection{}, ""},
		{"azure-devops", "access_token", map[string]string{"organization": "acme"}, "https://dev.azure.com:443 https://vssps.dev.azure.com:443 https://vsrm.dev.azure.com:443 https://feeds.dev.azure.com:443 https://pkgs.dev.azure.com:443",
			"https://dev.azure.com/acme/_apis/projects?api-version=7.1&$top=1", credential.Injection{Basic: ":{token}"}, "AZURE_DEVOPS_EXT_PAT=token"},
		{"entra-id", "api_key", map[string]string{"tenant": "t1", "client_id": "c1"}, "https://graph.microsoft.com:443 https://login.microsoftonline.com:443", "",
			credential.Injection{None: true}, "AZURE_CLIENT_ID=client_id AZURE_CLIENT_SECRET=key AZURE_TENANT_ID=tenant"},
		{"slack", "access_token", nil, "https://slack.com:443", "https://slack.com/api/auth.test", credential.Injection{}, "SLACK_BOT_TOKEN=token"},
		{"shopify", "access_token", map[string]string{"shop": "acme"}, "https://acme.myshopify.com:443",
			"https://acme.myshopify.com/admin/oauth/access_scopes.json", credential.Injection{Header: "X-Shopify-Access-Token"},
			"SHOPIFY_CLI_THEME_TOKEN=token SHOPIFY_FLAG_STORE=shop"},
		{"stripe", "api_key", nil, "https://api.stripe.com:443 https://files.stripe.com:443", "https://api.stripe.com/v1/balance",
			credential.Injection{Header: "Authorization", Prefix: "Bearer "}, "STRIPE_API_KEY=key"},
		{"mailchimp", "api_key", map[string]string{"data_center": "us21"}, "https://us21.api.mailchimp.com:443", "https://us21.api.mailchimp.com/3.0/ping", credential.Injection{Basic: "anystring:{key}"}, ""},
		{"twilio", "api_key", map[string]string{"account_sid": "AC1", "key_sid": "SK1"}, twilioOrigins,
			"https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json?PageSize=1", credential.Injection{Basic: "{key_sid}:{key}"},
			"TWILIO_ACCOUNT_SID=account_sid TWILIO_API_KEY=key_sid TWILIO_API_SECRET=key"},
		{"aws", "api_key", map[string]string{"region": "eu-central-1", "access_key_id": "A"}, "https://sts.eu-central-1.amazonaws.com:443", "", credential.Injection{None: true},
			"AWS_ACCESS_KEY_ID=access_key_id AWS_DEFAULT_REGION=region AWS_REGION=region AWS_SECRET_ACCESS_KEY=key AWS_SESSION_TOKEN=session_token"},
		{"aws", "ssh_key", map[string]string{"host": "ec2-1.example"}, "ssh://ec2-1.example:22", "", credential.Injection{}, ""},
		{"postgresql", "basic", map[string]string{"host": "db.acme.example", "username": "u"}, "postgres://db.acme.example:5432", "", credential.Injection{None: true},
			"PGDATABASE=database PGHOST=host PGPASSWORD=password PGPORT=port PGSSLMODE=sslmode PGSSLROOTCERT=sslrootcert PGUSER=username"},
		{"servicenow", "basic", map[string]string{"instance": "dev1", "username": "u"}, "https://dev1.service-now.com:443",
			"https://dev1.service-now.com/api/now/table/sys_user?sysparm_limit=1&sysparm_fields=sys_id", credential.Injection{}, "SN_SDK_USER=username SN_SDK_USER_PWD=password"},
		{"confluence", "basic", map[string]string{"url": "https://acme.atlassian.net/wiki"}, "https://acme.atlassian.net:443", "https://acme.atlassian.net/wiki/rest/api/user/current", credential.Injection{}, ""},
		{"confluence", "basic", map[string]string{"url": "https://wiki.acme.example"}, "https://wiki.acme.example:443", "https://wiki.acme.example/rest/api/user/current", credential.Injection{}, ""},
		{"confluence", "access_token", map[string]string{"url": "https://acme.example/confluence/"}, "https://acme.example:443", "https://acme.example/confluence/rest/api/user/current", credential.Injection{}, ""},
		{"jira", "access_token", map[string]string{"url": "https://jira.acme.example"}, "https://jira.acme.example:443", "https://jira.acme.example/rest/api/2/myself", credential.Injection{}, ""},
		{"entra-id", "oauth2", map[string]string{"tenant": "t1", "client_id": "c1"}, "https://graph.microsoft.com:443 https://login.microsoftonline.com:443",
			"https://graph.microsoft.com/v1.0/me", credential.Injection{}, "AZURE_CLIENT_ID=client_id AZURE_TENANT_ID=tenant"},
		{"google-workspace", "oauth2", nil, "https://admin.googleapis.com:443 https://www.googleapis.com:443 https://gmail.googleapis.com:443 " +
			"https://openidconnect.googleapis.com:443 https://oauth2.googleapis.com:443", "https://www.googleapis.com/drive/v3/about?fields=user", credential.Injection{}, ""},
		{"google-cloud", "access_token", map[string]string{"project": "p1"}, googleOrigins, "https://cloudresourcemanager.googleapis.com/v3/projects:search?pageSize=1",
			credential.Injection{}, "CLOUDSDK_AUTH_ACCESS_TOKEN=token CLOUDSDK_CORE_PROJECT=project GOOGLE_CLOUD_PROJECT=project GOOGLE_OAUTH_ACCESS_TOKEN=token"},
		{"google-cloud", "basic", map[string]string{"username": "a@p1.iam.gserviceaccount.com"}, googleOrigins, "", credential.Injection{None: true},
			"CLOUDSDK_CORE_PROJECT=project GOOGLE_CLOUD_PROJECT=project"},
		{"hubspot", "access_token", nil, "https://api.hubapi.com:443", "https://api.hubapi.com/account-info/v3/details", credential.Injection{}, ""},
		{"active-directory", "basic", map[string]string{"host": "dc1.acme.example", "username": "u", "domain": "acme.example"}, "ldaps://dc1.acme.example:636", "", credential.Injection{None: true}, ""},
	} {
		app := get(t, c, v.app)
		name := v.app + " with " + string(v.auth)
		wantTargets(t, app, v.auth, v.plain, v.origins, v.probe)
		if diff := cmp.Diff(v.inject, app.Injection(v.auth)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		var env []string
		for variable, field := range app.Environment(v.auth) {
			env = append(env, variable+"="+field)
		}
		slices.Sort(env)
		if text := strings.Join(env, " "); text != v.env {
			t.Errorf("%s: environment %s, want %s", name, text, v.env)
		}
	}
}

// Which answers mean that a credential is good. 403 is among them where a good one may lack the permission, and a wrong
// one is told apart by 401.
func TestWhatAnswersMean(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for name, want := range map[string]string{
		"salesforce oauth2":         "GET [200]",
		"servicenow basic":          "GET [200 403] Accept=application/json",
		"servicenow api_key":        "GET [200 403] Accept=application/json",
		"jira basic":                "GET [200] Accept=application/json",
		"jira oauth2":               "GET [200] Accept=application/json",
		"confluence access_token":   "GET [200] Accept=application/json",
		"github access_token":       "GET [200] Accept=application/vnd.github+json X-GitHub-Api-Version=2022-11-28",
		"gitlab access_token":       "GET [200]",
		"azure-devops access_token": "GET [200] X-TFS-FedAuthRedirect=Suppress", // 203 and 302 lead to a sign-in page
		"entra-id oauth2":           "GET [200 400 403]",                        // 400: there is no user behind it
		"microsoft-teams oauth2":    "GET [200 400 403]",
		"google-workspace oauth2":   "GET [200 403]",
		"google-cloud oauth2":       "GET [200 403]",
		"google-cloud api_key":      "GET [200 403]",
		"slack access_token":        "POST [200] ok",
		"hubspot access_token":      "GET [200 403]",
		"shopify oauth2":            "GET [200]",
		"stripe api_key":            "GET [200 403] Stripe-Version=2024-06-20",
		"mailchimp api_key":         "GET [200]",
		"twilio api_key":            "GET [200]",
		"entra-id api_key":          "none",
		"aws api_key":               "none",
		"google-cloud basic":        "none",
		"postgresql basic":          "none",
		"active-directory basic":    "none",
	} {
		app, auth := getAuth(t, c, name)
		got := "none"
		if p := app.Probe(auth); p != nil {
			got = fmt.Sprintf("%s %v", p.Method, p.Status)
			for _, header := range slices.Sorted(maps.Keys(p.Headers)) {
				got += " " + header + "=" + p.Headers[header]
			}
			if p.OK != "" {
				got += " " + p.OK
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// What authorization servers do, typed by hand from their vendors' pages. Access tokens of GitHub, Slack, Shopify and
// Mailchimp that name no end have none, so that no lifetime may stand there for them.
func TestHowVendorsRefresh(t *testing.T) {
	t.Parallel()
	const (
		microsoft = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/"
		atlassian = "https://auth.atlassian.com/"
		google    = "https://oauth2.googleapis.com/"
	)
	c := builtIn(t)
	for _, v := range []struct {
		app, authorize, token, revoke string
		pkce                          bool
		client                        string
		refresh                       Refresh
	}{
		{"salesforce", "{url}/services/oauth2/authorize", "{url}/services/oauth2/token", "{url}/services/oauth2/revoke", true, "post", Refresh{Rotates: true, AccessMinutes: 120}},
		{"servicenow", "https://{instance}.service-now.com/oauth_auth.do", "https://{instance}.service-now.com/oauth_token.do",
			"https://{instance}.service-now.com/oauth_revoke.do", false, "post", Refresh{AccessMinutes: 30, MaxDays: 100}},
		{"jira", atlassian + "authorize", atlassian + "oauth/token", "", false, "post", Refresh{Rotates: true, LeewayMinutes: 10, AccessMinutes: 60, IdleDays: 90, MaxDays: 365}},
		{"confluence", atlassian + "authorize", atlassian + "oauth/token", "", false, "post", Refresh{Rotates: true, LeewayMinutes: 10, AccessMinutes: 60, IdleDays: 90, MaxDays: 365}},
		{"github", "https://github.com/login/oauth/authorize", "https://github.com/login/oauth/access_token", "", true, "post", Refresh{Rotates: true, IdleDays: 183, KillsAccess: true}},
		{"gitlab", "{url}/oauth/authorize", "{url}/oauth/token", "{url}/oauth/revoke", true, "post", Refresh{Rotates: true, AccessMinutes: 120, KillsAccess: true}},
		{"azure-devops", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"entra-id", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"microsoft-teams", microsoft + "authorize", microsoft + "token", "", true, "post", Refresh{IdleDays: 90}},
		{"google-workspace", "https://accounts.google.com/o/oauth2/v2/auth", google + "token", google + "revoke", true, "post",
			Refresh{AccessMinutes: 60, IdleDays: 180}},
		{"google-cloud", "https://accounts.google.com/o/oauth2/v2/auth", google + "token", google + "revoke", true, "post",
			Refresh{AccessMinutes: 60, IdleDays: 180}},
		// An app that takes PKCE is a public client there, and none can be both.
		{"slack", "https://slack.com/oauth/v2/authorize", "https://slack.com/api/oauth.v2.access", "https://slack.com/api/auth.revoke", false, "basic", Refresh{Rotates: true}},
		{"hubspot", "https://app.hubspot.com/oauth/authorize", "https://api.hubapi.com/oauth/v3/token", "https://api.hubapi.com/oauth/v3/token/revoke", false, "post", Refresh{AccessMinutes: 30}},
		{"shopify", "https://{shop}.myshopify.com/admin/oauth/authorize", "https://{shop}.myshopify.com/admin/oauth/access_token", "", false, "post", Refresh{Rotates: true}},
		{"mailchimp", "https://login.mailchimp.com/oauth2/authorize", "https://login.mailchimp.com/oauth2/token", "", false, "post", Refresh{}},
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
		o := get(t, c, v.app).OAuth2
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

// The files that the vendors' own tools read, and how long what they issue lasts at most.
func TestFilesAndEnds(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	files := map[string]string{
		"aws":      "AWS_SHARED_CREDENTIALS_FILE=~/.aws/credentials",
		"entra-id": "AZURE_CLIENT_CERTIFICATE_PATH=client.pem",
		"google-cloud": "GOOGLE_APPLICATION_CREDENTIALS=~/.config/gcloud/application_default_credentials.json " +
			"CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE=service-account.json",
		"postgresql": "PGPASSFILE=~/.pgpass PGSSLCERT=~/.postgresql/postgresql.crt PGSSLKEY=~/.postgresql/postgresql.key",
		"stripe":     "",
	}
	days := map[string]int{"jira basic": 365, "confluence basic": 365, "gitlab access_token": 365, "azure-devops access_token": 365,
		"entra-id api_key": 730, "github access_token": 0, "stripe api_key": 0}
	for name, want := range files {
		var got []string
		for _, f := range get(t, c, name).Files {
			got = append(got, f.Env+"="+f.Path)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: files %s, want %s", name, text, want)
		}
	}
	for name, want := range days {
		app, auth := getAuth(t, c, name)
		if got := app.DefaultExpiry(auth); got != time.Duration(want)*24*time.Hour {
			t.Errorf("%s: it ends after %s, want %d days", name, got, want)
		}
	}
}
