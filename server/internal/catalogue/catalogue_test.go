package catalogue

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/shared/credential"
)

func TestWhatIsBuiltIn(t *testing.T) {
	t.Parallel()
	c, err := Load(configs.Applications)
	if err != nil {
		t.Fatal(err)
	}
	app, err := c.Get("generic-rest")
	if err != nil {
		t.Fatal(err)
	}
	if want := []credential.AuthType{"basic", "digest", "api_key", "access_token", "oauth1", "oauth2", "client_certificate"}; !slices.Equal(app.AuthTypes, want) {
		t.Errorf("auth types %v, want %v", app.AuthTypes, want)
	}
	fields, err := app.Fields(credential.Basic)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "username password url" {
		t.Errorf("fields %s", got)
	}
	if _, err := app.Fields("telepathy"); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("another auth type: %v", err)
	}
	origins, err := app.Origins(credential.Basic, map[string]string{"url": "https://API.example.com/v1", "username": "https://evil.example.com"})
	if err != nil || len(origins) != 1 || origins[0].String() != "https://api.example.com:443" {
		t.Errorf("origins %v, %v", origins, err)
	}
	if _, err := c.Get("nope"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "generic-rest") {
		t.Errorf("%v, want ErrUnknown that names what there is", err)
	}
}

// The applications that there are, typed by hand.
const names = "active-directory afas aws azure azure-devops bamboohr bitbucket box confluence connectwise docker-registry " +
	"dropbox easyvista entra-id exact-online exchange freshdesk freshservice ftp generic-rest generic-webhook github gitlab " +
	"google-cloud google-drive google-workspace haloitsm hubspot intune ivanti jenkins jira kubernetes lakeside lansweeper ldap " +
	"magento mailchimp manageengine-servicedesk-plus marketo microsoft-teams mongodb mysql npm openai oracle outlook postgresql " +
	"redis salesforce sendgrid servicenow sftp sharepoint shopify slack smtp-imap solarwinds sql-server ssh stripe topdesk twilio " +
	"twitch vmware-vcenter whatsapp woocommerce x xurrent zendesk zoom"

func builtIn(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Load(configs.Applications)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t testing.TB, c *Catalogue, name string) Application {
	t.Helper()
	app, err := c.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// getAuth is get for a name such as "jira basic".
func getAuth(t testing.TB, c *Catalogue, name string) (Application, credential.AuthType) {
	t.Helper()
	application, auth, _ := strings.Cut(name, " ")
	return get(t, c, application), credential.AuthType(auth)
}

// wantTargets checks where values may be sent to, and the request that shows whether they are good; "" is none.
func wantTargets(t *testing.T, app Application, auth credential.AuthType, plain map[string]string, origins, probe string) {
	t.Helper()
	got, err := app.Origins(auth, plain)
	var texts []string
	for _, o := range got {
		texts = append(texts, o.String())
	}
	if text := strings.Join(texts, " "); err != nil || text != origins {
		t.Errorf("%s with %s: origins %s, %v; want %s", app.Name, auth, text, err, origins)
	}
	if got, err := app.ProbeURL(auth, plain); got != probe || (err == nil) != (probe != "") {
		t.Errorf("%s with %s: probe %s, %v; want %s", app.Name, auth, got, err, probe)
	}
}

func TestEveryApplication(t *testing.T) {
	t.Parallel()
	var got []string
	for _, app := range builtIn(t).List() {
		got = append(got, app.Name)
		if len(app.Docs) == 0 && app.Name != "generic-rest" {
			t.Errorf("%s names no page of its vendor", app.Name)
		}
		for _, auth := range app.AuthTypes {
			fields, err := app.Fields(auth)
			if err != nil {
				t.Errorf("%s: %v", app.Name, err)
			}
			for _, own := range auth.Fields() {
				i := slices.IndexFunc(fields, func(f credential.Field) bool { return f.Name == own.Name })
				if i < 0 && own.Place {
					continue // TestPlacesOfKeys
				}
				if i < 0 || fields[i].Secret != own.Secret || fields[i].ServerOnly != own.ServerOnly || own.Required && own.Secret && !fields[i].Required {
					t.Errorf("%s with %s: field %s is missing, or its secrecy is changed", app.Name, auth, own.Name)
				}
			}
			origins, err := app.Origins(auth, samples(fields))
			if err != nil || len(origins) == 0 && auth != credential.WebhookSecret {
				t.Errorf("%s with %s: origins %v, %v", app.Name, auth, origins, err)
			}
			if app.Probe(auth) == nil {
				continue
			}
			url, err := app.ProbeURL(auth, samples(fields))
			if err != nil || !strings.HasPrefix(url, "https://") {
				t.Errorf("%s with %s: the probe goes to %q, %v", app.Name, auth, url, err)
			}
		}
	}
	if text := strings.Join(got, " "); text != names {
		t.Errorf("there is %s\nwant %s", text, names)
	}
}

// Where the application says how its requests carry the key nobody is asked for it, unless it asks itself.
func TestPlacesOfKeys(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for name, want := range map[string]string{
		"generic-rest": "key header query cookie prefix url",
		"aws":          "key access_key_id session_token region", // never on a request
		"stripe":       "key",                                    // Authorization: Bearer
		"zendesk":      "key email subdomain",                    // basic
		"servicenow":   "key header instance",                    // x-sn-apikey, or as the site has it
	} {
		app, err := c.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := app.Fields(credential.APIKey)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range fields {
			got = append(got, f.Name)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
	}
}

// What a field says cannot move a template's origin.
func TestFieldsStayInTheirPlace(t *testing.T) {
	t.Parallel()
	app, err := builtIn(t).Get("servicenow")
	if err != nil {
		t.Fatal(err)
	}
	for _, instance := range []string{"evil.example/", "evil.example#", "evil.example?", "a@evil.example", "evil.example:443/", "a b", "a\\b", "é", ".", "a..b", "-a", "%2f", "a\n"} {
		if o, err := app.Origins(credential.Basic, map[string]string{"instance": instance}); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "field instance") {
			t.Errorf("%q: origins %v, %v", instance, o, err)
		}
	}
	if o, err := app.Origins(credential.Basic, nil); err != nil || len(o) != 0 {
		t.Errorf("without the field: origins %v, %v", o, err)
	}
	pg, err := builtIn(t).Get("postgresql")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{"10.0.0.1": "postgres://10.0.0.1:5432", "[fd00::1]": "postgres://[fd00::1]:5432"} {
		if o, err := pg.Origins(credential.Basic, map[string]string{"host": host}); err != nil || len(o) != 1 || o[0].String() != want {
			t.Errorf("%s: %v, %v; want %s", host, o, err, want)
		}
	}
	twilio, err := builtIn(t).Get("twilio")
	if err != nil {
		t.Fatal(err)
	}
	url, err := twilio.ProbeURL(credential.APIKey, map[string]string{"account_sid": "../../x?y#z", "key_sid": "s"})
	if err != nil || url != "https://api.twilio.com/2010-04-01/Accounts/..%2F..%2Fx%3Fy%23z/Messages.json?PageSize=1" {
		t.Errorf("a path: %s, %v", url, err)
	}
}

func TestOAuth2SendsToTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	app, err := builtIn(t).Get("generic-rest")
	if err != nil {
		t.Fatal(err)
	}
	got, err := app.Origins(credential.OAuth2, map[string]string{"url": "https://api.example.com", "token_url": "https://login.example.com/token", "authorize_url": "https://people.example.com"})
	if err != nil || len(got) != 2 || got[1].String() != "https://login.example.com:443" {
		t.Errorf("origins %v, %v", got, err)
	}
}

// What is not a file is not opened.
func TestOnlyFilesAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "applications", "folder.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "folder.yaml: not a regular file") {
		t.Errorf("%v, want the folder named", err)
	}
}

func TestFilesThatAreWrong(t *testing.T) {
	t.Parallel()
	tooMany := make([]string, 65)
	for i := range tooMany {
		tooMany[i] = fmt.Sprintf("A%d: username", i)
	}
	const good = "name: x\ntitle: X\ncategory: c\nauth_types:\n  - type: basic\n  - type: oauth2\n"
	const oauth = good + "oauth2: {token_url: \"https://a.example/t\", grants: [client_credentials]"
	for text, want := range map[string]string{
		good + "colour: red\n":                                                                      "colour",
		good + "name: x\n":                                                                          "name",
		"name: y" + good[len("name: x"):]:                                                           "must be called after it",
		"name: X y" + good[len("name: x"):]:                                                         "name",
		"name: x\ntitle: X\ncategory: c\n":                                                          "required",
		good + "fields: [{name: \"a b\"}]\n":                                                        "fields[0].name",
		good + "fields: [{name: a}]\n":                                                              "fields[0].help: a needs one",
		strings.Replace(good, "basic", "telepathy", 1):                                              "auth_types[0].type: \"telepathy\" is not known",
		strings.Replace(good, "oauth2", "basic", 1):                                                 "auth_types[1].type: basic stands there twice",
		good + "fields: [{name: a, help: h, format: colour}]\n":                                     "fields[0].format",
		good + "fields: [{name: a, help: h, format: choice}]\n":                                     "fields[0].choices",
		good + "fields: [{name: a, help: h, choices: [b]}]\n":                                       "fields[0].choices",
		good + "  - {type: api_key, expires_days: 36501}\n":                                         "auth_types[2].expires_days: from 0 to 36500",
		good + "  - {type: api_key, expires_days: -1}\n":                                            "auth_types[2].expires_days: from 0 to 36500",
		good + "fields: [{name: a, help: h, format: port, default: x}]\n":                           "fields[0].default",
		good + "fields: [{name: a, help: h, secret: true, default: x}]\n":                           "fields[0].secret",
		good + "fields: [{name: a, help: h, format: host, origin: true}]\n":                         "fields[0].origin",
		good + "fields: [{name: a, help: h, server_only: true}]\n":                                  "fields[0].server_only",
		good + "fields: [{name: username, secret: true}]\n":                                         "fields[0].secret",
		good + "docs: [\"http://a.example\"]\n":                                                     "docs[0]: it must be an https link",
		good + "origins: [\"https://{nope}.example\"]\n":                                            "origins[0]",
		good + "origins: [\"https://{password}.example\"]\n":                                        "origins[0]",
		good + "origins: [\"https://{client_id\"]\n":                                                "origins[0]",
		good + "origins: [\"gopher://a.example\"]\n":                                                "origins[0]",
		good + "origins: [\"\"]\n":                                                                  "origins[0]",
		good + "validate: {method: DELETE, url: \"https://a.example\", status: [200]}\n":            "validate.method",
		good + "validate: {method: GET, url: \"https://a.example\", status: [200]}\n":               "validate.url: it is outside the origins",
		good + "validate: {method: GET, url: \"https://a.example\"}\n":                              "validate.status",
		good + "files: [{path: p, template: \"{nope}\", type: basic}]\n":                            "files[0].template",
		good + "files: [{path: p, template: x, type: digest}]\n":                                    "files[0].type",
		strings.Replace(good, "basic", "basic\n    env: {A: nope}", 1):                              "auth_types[0].env.A",
		strings.Replace(good, "basic", "basic\n    env: {\"A=B\": password}", 1):                    "auth_types[0].env",
		strings.Replace(good, "basic", "basic\n    env: {"+strings.Join(tooMany, ", ")+"}", 1):      "auth_types[0].env: there are 65, at most 64",
		strings.Replace(good, "oauth2", "oauth2\n    env: {A: refresh_token}", 1):                   "auth_types[1].env.A: refresh_token never leaves the server",
		strings.Replace(good, "basic", "basic\n    inject: {header: a, query: b}", 1):               "auth_types[0].inject: one place",
		strings.Replace(good, "basic", "basic\n    inject: {header: \"a b\"}", 1):                   "auth_types[0].inject.header",
		strings.Replace(good, "basic", "basic\n    inject: {basic: x}", 1):                          "auth_types[0].inject.basic",
		strings.Replace(good, "basic", "basic\n    inject: {basic: \"{nope}:x\"}", 1):               "auth_types[0].inject.basic",
		strings.Replace(good, "basic", "basic\n    inject: {headers: {A: \"{password}\"}}", 1):      "auth_types[0].inject.headers.A",
		strings.Replace(good, "basic", "basic\n    expires_days: -1", 1):                            "auth_types[0].expires_days",
		oauth + ", client_auth: magic}\n":                                                           "oauth2.client_auth",
		strings.Replace(oauth, "client_cr", "mind_r", 1) + "}\n":                                    "oauth2.grants[0]",
		strings.Replace(oauth, "client_credentials", "authorization_code", 1) + "}\n":               "oauth2.authorize_url",
		strings.Replace(oauth, "https", "http", 1) + "}\n":                                          "oauth2.token_url",
		"name: x\ntitle: X\ncategory: c\nauth_types: [{type: basic}]\n" + oauth[len(good):] + "}\n": "oauth2: auth_types does not have it",
		good + "---\n" + good:                                                                       "more than one document",
		good + "#" + strings.Repeat("x", 64<<10):                                                    "at most 65536 bytes are read",
		"":                                                                                          "name",
	} {
		_, err := Load(fstest.MapFS{"applications/x.yaml": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "applications/x.yaml") {
			t.Errorf("%.120q: %v, want the file and %q named", text, err, want)
		}
	}
	for _, text := range []string{good, oauth + "}\n"} {
		if _, err := Load(fstest.MapFS{"applications/x.yaml": {Data: []byte(text)}}); err != nil {
			t.Errorf("control: %v", err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("name: x\ntitle: X\ncategory: c\nauth_types: [{type: basic}]\nfields: [{name: url, help: h, origin: true}]\norigins: [\"https://{url}\"]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		app, err := parse(text)
		if err == nil && (app.Name == "" || len(app.AuthTypes) == 0) {
			t.Errorf("%q gives %+v", text, app)
		}
		if err == nil && (len(Compare(Application{}, app)) == 0 || len(Compare(app, app)) != 0) {
			t.Errorf("%q compared with nothing is nothing, or with itself is something", text)
		}
		if imported, refused := Parse(text); (refused == nil) != (err == nil && imported.checkVariables() == nil) {
			t.Errorf("%q: %v, and imported %v", text, err, refused)
		}
	})
}
