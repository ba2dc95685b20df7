package catalogue

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/shared/credential"
)

// A credential's plain fields with the defaults: of what it has, and of what there is a default for, and nothing else.
func TestFilled(t *testing.T) {
	t.Parallel()
	c := builtIn(t)
	for what, v := range map[string]struct {
		app         string
		auth        credential.AuthType
		plain, want map[string]string
	}{
		"two of a database": {"postgresql", "basic", map[string]string{"host": "db.example", "username": "etl"},
			map[string]string{"host": "db.example", "username": "etl", "port": "5432", "sslmode": "verify-full"}},
		"an empty one": {"postgresql", "basic", map[string]string{"host": "db.example", "database": "", "port": ""},
			map[string]string{"host": "db.example", "port": "5432", "sslmode": "verify-full"}},
		"what is said": {"postgresql", "basic", map[string]string{"sslmode": "require", "port": "6432"},
			map[string]string{"sslmode": "require", "port": "6432"}},
		"what it does not know": {"postgresql", "basic", map[string]string{"colour": "red", "sslmode": "require", "port": "1"},
			map[string]string{"colour": "red", "sslmode": "require", "port": "1"}},
		"nothing":                       {"gitlab", "access_token", nil, map[string]string{"url": "https://gitlab.com"}},
		"none":                          {"generic-rest", "basic", nil, map[string]string{}},
		"a key, which has no default":   {"ssh", "ssh_key", map[string]string{"host": "h"}, map[string]string{"host": "h", "port": "22"}},
		"a webhook":                     {"github", "webhook_secret", nil, map[string]string{"url": "https://api.github.com", "algorithm": "sha256", "encoding": "hex", "header": "X-Hub-Signature-256", "prefix": "sha256="}},
		"the usual grant":               {"gitlab", "oauth2", nil, map[string]string{"url": "https://gitlab.com", "grant": "authorization_code"}},
		"a grant that it does not take": {"marketo", "oauth2", nil, map[string]string{}},
		"an account":                    {"mongodb", "basic", nil, map[string]string{"port": "27017", "auth_source": "admin"}},
		"a certificate":                 {"mongodb", "client_certificate", nil, map[string]string{"port": "27017", "auth_source": "$external"}},
	} {
		app, err := c.Get(v.app)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v.want, app.Filled(v.auth, v.plain)); d != "" {
			t.Errorf("%s: %s", what, d)
		}
	}
}

// A certificate says itself when it ends, whatever a definition says.
func TestCertificatesHaveNoDefaultExpiry(t *testing.T) {
	t.Parallel()
	c, err := Load(fstest.MapFS{"applications/x.yaml": {Data: []byte("name: x\ntitle: X\ncategory: c\n" +
		"auth_types: [{type: client_certificate, expires_days: 7}, {type: basic, expires_days: 36500}, {type: api_key}]\n")}})
	if err != nil {
		t.Fatal(err)
	}
	app, err := c.Get("x")
	if err != nil {
		t.Fatal(err)
	}
	for auth, want := range map[credential.AuthType]string{"client_certificate": "0s", "basic": "876000h0m0s", "api_key": "0s"} {
		if got := app.DefaultExpiry(auth).String(); got != want {
			t.Errorf("%s: %s, want %s", auth, got, want)
		}
	}
}
