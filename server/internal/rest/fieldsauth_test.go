package rest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// right is a credential of an auth type that is accepted.
type right struct {
	application string
	plain       map[string]string
	secrets     map[string]string
	generate    []string
}

var rightCredentials = map[credential.AuthType]right{
	"basic":              {"generic-rest", map[string]string{"username": "bot"}, map[string]string{"password": "pw"}, nil},
	"digest":             {"generic-rest", map[string]string{"username": "bot"}, map[string]string{"password": "pw"}, nil},
	"api_key":            {"generic-rest", nil, map[string]string{"key": "k"}, nil},
	"access_token":       {"generic-rest", nil, map[string]string{"token": "t"}, nil},
	"oauth1":             {"generic-rest", map[string]string{"consumer_key": "ck"}, map[string]string{"consumer_secret": "cs"}, nil},
	"oauth2":             {"generic-rest", map[string]string{"client_id": "id"}, map[string]string{"client_secret": "cs"}, nil},
	"client_certificate": {"generic-rest", nil, nil, []string{"certificate"}},
	"ssh_key":            {"ssh", map[string]string{"username": "bot", "host": "h.example"}, nil, []string{"private_key"}},
	"webhook_secret":     {"generic-webhook", nil, map[string]string{"secret": "sixteen bytes and more"}, nil},
}

// authRows are a wrong value for every field of every auth type, and what is said of it: what begins with "secret:" is
// given as one, "-" is missing. The type * is each that has the field.
var authRows = []struct {
	authType credential.AuthType
	field    string
	wrong    string
	want     string
}{
	{"*", "url", canary, "invalid field url: not a URL such as https://api.example.com"},
	{"*", "url", "https://u:" + canary + "@a.example", "invalid field url: leave the user and password out of the URL"},

	{"basic", "username", "-", "invalid field username: it is missing (the account's name)"},
	{"basic", "password", "-", "invalid field password: it is missing (the account's password)"},
	{"basic", "password", canary, "invalid field password: it is secret: give it with --secret"},
	{"digest", "username", "secret:" + canary, "invalid field username: it is not secret: give it with --field"},
	{"digest", "password", canary, "invalid field password: it is secret: give it with --secret"},

	{"api_key", "key", "-", "invalid field key: it is missing (the API key)"},
	{"api_key", "header", canary, "invalid field header: it must be a name of letters, digits and !#$%&'*+-.^_`|~"},
	{"api_key", "header", "Host", "invalid field header: HTTP itself uses that one; take another, or field cookie"},
	{"api_key", "query", "secret:" + canary, "invalid field query: it is not secret: give it with --field"},
	{"api_key", "cookie", canary, "invalid field cookie: it must be a name of letters, digits and !#$%&'*+-.^_`|~"},
	{"api_key", "prefix", canary + "\n", "invalid field prefix: it must be printable ASCII"},

	{"access_token", "token", "-", "invalid field token: it is missing (the access token, sent as a bearer token)"},

	{"oauth1", "consumer_key", "-", "invalid field consumer_key: it is missing (the consumer key, which names the client)"},
	{"oauth1", "consumer_secret", "-", "invalid field consumer_secret: HMAC signatures need it"},
	{"oauth1", "token", canary, "invalid field token: it is secret: give it with --secret"},
	{"oauth1", "token_secret", "secret:" + canary, "invalid field token: there is a token_secret without it"},
	{"oauth1", "signature_method", canary, "invalid field signature_method: it must be one of HMAC-SHA1, HMAC-SHA256, RSA-SHA1"},
	{"oauth1", "private_key", "secret:" + canary, "invalid field private_key: it must be PEM text, which begins with -----BEGIN"},
	{"oauth1", "realm", "secret:" + canary, "invalid field realm: it is not secret: give it with --field"},

	{"oauth2", "client_id", "-", "invalid field client_id: it is missing (the client's ID at the authorization server)"},
	{"oauth2", "client_secret", canary, "invalid field client_secret: it is secret: give it with --secret"},
	{"oauth2", "grant", canary, "invalid field grant: it must be one of authorization_code, client_credentials, device_code, jwt_bearer"},
	{"oauth2", "authorize_url", canary, "invalid field authorize_url: not a URL such as https://api.example.com"},
	{"oauth2", "token_url", "ftp://a.example", "invalid field token_url: the scheme must be https or http"},
	{"oauth2", "scopes", "secret:" + canary, "invalid field scopes: it is not secret: give it with --field"},
	{"oauth2", "private_key", "secret:" + canary, "invalid field private_key: it must be PEM text, which begins with -----BEGIN"},
	{"oauth2", "access_token", canary, "invalid field access_token: it is secret: give it with --secret"},
	{"oauth2", "refresh_token", canary, "invalid field refresh_token: it is secret: give it with --secret"},
	{"oauth2", "expiry", canary, "invalid field expiry: it must be a time such as 2027-01-31T12:00:00Z"},

	{"client_certificate", "certificate", canary, "invalid field certificate: it must be PEM text, which begins with -----BEGIN"},
	{"client_certificate", "private_key", canary, "invalid field private_key: it is secret already and cannot be plain as well"},
	{"client_certificate", "common_name", "secret:" + canary, "invalid field common_name: it is secret already and cannot be plain as well"},
	{"client_certificate", "days", canary, "invalid field days: from 1 to 825"},
	{"client_certificate", "days", "826", "invalid field days: from 1 to 825"},
	{"client_certificate", "passphrase", canary, "invalid field passphrase: it is secret: give it with --secret"},

	{"ssh_key", "username", "-", "invalid field username: it is missing (the account's name)"},
	{"ssh_key", "host", canary, "invalid field host: it must be a host name or address, without scheme, port and path"},
	{"ssh_key", "port", canary, "invalid field port: it must be a port from 1 to 65535"},
	{"ssh_key", "host_key", "secret:" + canary, "invalid field host_key: it is not secret: give it with --field"},
	{"ssh_key", "private_key", canary, "invalid field private_key: it is secret: give it with --secret"},
	{"ssh_key", "passphrase", canary, "invalid field passphrase: it is secret: give it with --secret"},

	{"webhook_secret", "secret", "secret:Kanarie=Vogel", "invalid field secret: it must be 16 bytes or longer"},
	{"webhook_secret", "algorithm", canary, "invalid field algorithm: it must be one of sha256, sha512, sha1"},
	{"webhook_secret", "encoding", canary, "invalid field encoding: it must be one of hex, base64"},
	{"webhook_secret", "header", canary, "invalid field header: it must be a name of letters, digits and !#$%&'*+-.^_`|~"},
	{"webhook_secret", "prefix", "secret:" + canary, "invalid field prefix: it is not secret: give it with --field"},
}

// Every field of every auth type wants a row, those of the applications that are used here too; but for those that are
// worked out of others.
func TestFieldsOfAuthTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rooms.Vault.IssueWith(s.rooms.Fleet)
	c := s.client(s.token)
	rows := map[string]bool{}
	for _, authType := range credential.AuthTypes() {
		base, is := rightCredentials[authType]
		if !is {
			t.Errorf("%s has no right credential and no rows", authType)
			continue
		}
		known := must(c.Application(t.Context(), base.application))(t).Fields[string(authType)]
		has := func(name string) bool {
			return slices.ContainsFunc(known, func(f credential.Field) bool { return f.Name == name })
		}
		if base.plain = maps.Clone(base.plain); base.plain == nil {
			base.plain = map[string]string{}
		}
		if has("url") {
			base.plain["url"] = "https://a.example"
		}
		for _, r := range authRows {
			if r.authType != authType && (r.authType != "*" || !has(r.field)) {
				continue
			}
			rows[string(authType)+" "+r.field] = true
			err := s.add(c, "new", authType, base.with(r.field, r.wrong))
			if !errors.Is(err, api.ErrUsage) || !strings.HasPrefix(err.Error(), r.want) {
				t.Errorf("%s, %s %q: %v, want %q", authType, r.field, r.wrong, err, r.want)
			}
			if err != nil && leaks(err.Error()) != "" {
				t.Errorf("%s, %s: the error has the canary: %v", authType, r.field, err)
			}
			if list := must(c.Credentials(t.Context(), api.CredentialQuery{}))(t); len(list.Items) != 0 {
				t.Fatalf("%s, %s: it was stored: %+v", authType, r.field, list.Items)
			}
		}
		for _, f := range known {
			if !f.Derived && !rows[string(authType)+" "+f.Name] {
				t.Errorf("%s of %s has no row in authRows", f.Name, authType)
			}
		}
	}
	for authType, base := range rightCredentials { // and right ones are accepted: what was refused was the field
		name := strings.ReplaceAll(string(authType), "_", "-")
		if base.plain = maps.Clone(base.plain); base.application == "generic-rest" {
			base = base.with("url", "https://a.example")
		}
		if err := s.add(c, name, authType, base); err != nil {
			t.Errorf("a right %s: %v", authType, err)
		}
	}
	derived := rightCredentials["ssh_key"].with("public_key", canary).with("fingerprint", canary)
	check(t, s.add(c, "derived", "ssh_key", derived)) // what is worked out takes the place of what was given
	if shown := must(c.Credential(t.Context(), "derived"))(t); !strings.HasPrefix(shown.Fields["public_key"], "ssh-ed25519 ") ||
		!strings.HasPrefix(shown.Fields["fingerprint"], "SHA256:") {
		t.Errorf("derived fields are those that were given: %+v", shown.Fields)
	}
	if form := leaks(s.logged.String()); form != "" {
		t.Errorf("the server's log has the canary (%s): %s", form, s.logged)
	}
}

// with lays one field over a credential.
func (r right) with(field, value string) right {
	plain, secrets := map[string]string{}, map[string]string{}
	maps.Copy(plain, r.plain)
	maps.Copy(secrets, r.secrets)
	delete(plain, field)
	delete(secrets, field)
	r.generate = slices.DeleteFunc(slices.Clone(r.generate), func(name string) bool { return name == field })
	if hidden, is := strings.CutPrefix(value, "secret:"); is {
		secrets[field] = hidden
	} else if value != "-" {
		plain[field] = value
	}
	r.plain, r.secrets = plain, secrets
	return r
}

func (s *site) add(c *api.Client, name string, authType credential.AuthType, r right) error {
	s.t.Helper()
	values := api.Values{Secrets: map[string]*secret.Buffer{}}
	for field, text := range r.secrets {
		values.Secrets[field] = s.secret(text)
		defer values.Secrets[field].Wipe()
	}
	_, err := c.AddCredential(s.t.Context(), api.CredentialAdd{
		Name: name, Application: r.application, AuthType: string(authType), Fields: r.plain, Generate: r.generate,
	}, values)
	return err
}
