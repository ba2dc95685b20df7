package catalogue

import (
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

const acme = "name: acme\ntitle: Acme\ncategory: erp\nauth_types: [{type: basic, env: {ACME_USER: username}}]\norigins: [\"https://acme.example\"]\n"

func parsed(t *testing.T, text string) Application {
	t.Helper()
	app, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func TestWith(t *testing.T) {
	t.Parallel()
	ours := parsed(t, "name: slack\ntitle: Our Slack\ncategory: chat\nauth_types: [{type: access_token}]\norigins: [\"https://slack.acme.example\"]\n")
	before := builtIn(t)
	c := before.With(ours, parsed(t, acme))
	slack, err := c.Get("slack")
	if err != nil || slack.Title != "Our Slack" || len(slack.AuthTypes) != 1 {
		t.Errorf("%+v, %v", slack, err)
	}
	if got, was := len(c.List()), len(before.List()); got != was+1 {
		t.Errorf("%d applications of %d", got, was)
	}
	if !slices.IsSortedFunc(c.List(), func(a, b Application) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not by name")
	}
	if app, err := c.Get("acme"); err != nil || app.Name != "acme" {
		t.Error(app, err)
	}
	if app, err := before.Get("slack"); err != nil || app.Title == "Our Slack" {
		t.Errorf("the catalogue itself has changed: %+v, %v", app, err)
	}
}

// A key that does not belong there is named with its line; a value is not repeated, since the file may be another.
func TestFormErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"name: x\ncolour: hunter2\n":                             "line 2: there is no key colour here",
		"kind: Secret\ndata: {password: hunter2}\n":              "line 1: there is no key kind here; line 2: there is no key data here",
		"name: x\ndocs: hunter2\n":                               "line 2: expected a list of texts",
		"name: x\noauth2:\n  pkce: hunter2\n":                    "line 3: expected true or false",
		"name: x\nauth_types:\n- expires_days: hunter2\n":        "line 3: expected a whole number",
		"name: !!int hunter2\n":                                  "a value is not what its tag says",
		"name: x\nauth_types:\n- expires_days: a into b\n":       "line 3: expected a whole number",
		"name: {a: hunter2}\n":                                   "line 1: expected a text",
		"auth_types: [{type: [hunter2]}]\n":                      "line 1: expected a text",
		"name: x\nfields: hunter2\n":                             "line 2: expected a list",
		"name: x\nvalidate: hunter2\n":                           "line 2: expected a list of keys with their values",
		"hunter2\n":                                              "line 1: expected a list of keys with their values",
		"name: x\nname: hunter2\n":                               "line 2: mapping key \"name\" already defined at line 1",
		"name: \"hunter2\\q\"":                                   "line 1: found unknown escape character",
		"a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: hunter2\ng: hunter2\n": "line 5: there is no key e here; and 2 more",
	} {
		_, err := Parse([]byte(text))
		if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// A file that is imported must not make jobs run what its author wants.
func TestImportedFilesSteerNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"LD_PRELOAD", "PATH", "PYTHONPATH", "NODE_OPTIONS", "BASH_ENV", "GIT_SSH_COMMAND", "ld_preload", "DYLD_INSERT_LIBRARIES",
		"HTTPS_PROXY", "KUBECONFIG", "AWS_SHARED_CREDENTIALS_FILE", "SSL_CERT_FILE"} {
		text := strings.Replace(acme, "ACME_USER", name, 1)
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "auth_types[0].env."+name) {
			t.Errorf("%s: %v", name, err)
		}
		file := acme + "files: [{path: p, template: x, type: basic, env: " + name + "}]\n"
		if _, err := Parse([]byte(file)); err == nil || !strings.Contains(err.Error(), "files[0].env") {
			t.Errorf("a file by %s: %v", name, err)
		}
	}
	parsed(t, acme+"files: [{path: p, template: x, type: basic, env: ACME_CONFIG}]\n")
}

// What is built in names no variable that an imported file may not, but for the one whose file can name a program
// (credential_process): also the agent sets these variables, and refuses those that steer.
func TestBuiltInFilesSteerNothing(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, app := range builtIn(t).List() {
		for _, auth := range app.Auth {
			for variable := range auth.Env {
				seen++
				if credential.SteersPrograms(variable) {
					t.Errorf("%s: %s", app.Name, variable)
				}
			}
		}
		for _, f := range app.Files {
			if credential.SteersPrograms(f.Env) && f.Env != "AWS_SHARED_CREDENTIALS_FILE" {
				t.Errorf("%s: the file by %s", app.Name, f.Env)
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d variables were looked at", seen)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	before := parsed(t, acme)
	if d := Compare(before, before); len(d) != 0 {
		t.Errorf("alike: %+v", d)
	}
	added := Compare(Application{}, before)
	if len(added) == 0 || added[0].What != "auth types" || !slices.Equal(added[0].Added, []string{"basic"}) || len(added[0].Removed) != 0 {
		t.Errorf("added: %+v", added)
	}
	for _, v := range []struct{ from, to, want string }{
		{"origins: [\"https://acme.example\"]", "origins: [\"https://evil.example\"]", "origins -basic: https://acme.example +basic: https://evil.example"},
		{"env: {ACME_USER: username}", "env: {ACME_USER: password}", "env -basic: ACME_USER is username +basic: ACME_USER is password"},
		{"{type: basic,", "{type: basic, inject: {header: X-Key},", "injection +basic: {\"header\":\"X-Key\"}"},
		{"{type: basic,", "{type: basic, expires_days: 3,", "texts +basic: lasts 3 days"},
		{"auth_types: [{", "auth_types: [{type: ssh_key}, {", "auth types +ssh_key"},
		{"title: Acme", "title: Other", "texts -title Acme +title Other"},
		{"title: Acme", "title: Acme\nvalidate: {method: GET, url: \"https://acme.example/me\", status: [200]}",
			"endpoints +basic: shown to be good by GET https://acme.example/me {\"status\":[200]}"},
		{"title: Acme", "title: Acme\npassword_policy: {min_length: 9}", "passwords +{\"min_length\":9}"},
		{"title: Acme", "title: Acme\npassword_policy: {history: 5}", "passwords +{\"history\":5}"},
		{"title: Acme", "title: Acme\nfiles: [{path: p, template: x, type: basic}]", "files +{\"path\":\"p\",\"type\":\"basic\",\"template\":\"x\"}"},
		{"title: Acme", "title: Acme\nfields: [{name: pin, help: h, secret: true, server_only: true}]",
			"fields +basic: pin (optional, secret, never leaves the server)"},
		{"title: Acme", "title: Acme\nfields: [{name: url, help: h, origin: true, default: \"https://b.example\"}]", "origins +basic: the field url, else https://b.example"},
	} {
		got := ""
		for _, d := range Compare(before, parsed(t, strings.Replace(acme, v.from, v.to, 1))) {
			got += d.What
			for _, line := range d.Removed {
				got += " -" + line
			}
			for _, line := range d.Added {
				got += " +" + line
			}
			got += "\n"
		}
		if !strings.Contains(got, v.want+"\n") {
			t.Errorf("%s becomes %s:\n%s\nwant %s", v.from, v.to, got, v.want)
		}
	}
	two := "name: x\ntitle: X\ncategory: c\nauth_types: [{type: basic}, {type: digest}]\n"
	if d := Compare(parsed(t, two), parsed(t, strings.Replace(two, "{type: basic}, {type: digest}", "{type: digest}, {type: basic}", 1))); len(d) != 1 || d[0].What != "order" {
		t.Errorf("another order: %+v", d)
	}
}
