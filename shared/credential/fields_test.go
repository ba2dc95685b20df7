package credential

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var today = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// texts moves texts into locked memory.
func texts(t testing.TB, fields map[string]string) Value {
	t.Helper()
	a := arena(t)
	v := Value{}
	for name, text := range fields {
		b, err := a.From([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v[name] = b
	}
	return v
}

// What there is, typed by hand: * required, ! secret, S only on the server, I only for the import, D derived.
func TestTheTable(t *testing.T) {
	t.Parallel()
	want := map[AuthType]string{
		"basic":              "username* password*!",
		"digest":             "username* password*!",
		"api_key":            "key*! header query cookie prefix",
		"access_token":       "token*!",
		"oauth1":             "consumer_key* consumer_secret! token! token_secret! signature_method private_key! realm",
		"oauth2":             "client_id* client_secret!S grant authorize_url token_url scopes private_key!S access_token! refresh_token!S expiry",
		"client_certificate": "certificate* private_key*! common_name days passphrase!I",
		"ssh_key":            "private_key*! passphrase!I public_keyD fingerprintD",
		"webhook_secret":     "secret*! algorithm encoding header prefix",
	}
	if got := AuthTypes(); len(got) != len(want) || !slices.IsSorted(got) {
		t.Errorf("types %v", got)
	}
	for auth, fields := range want {
		var got []string
		for _, f := range auth.Fields() {
			name := f.Name
			for _, m := range []struct {
				mark string
				is   bool
			}{{"*", f.Required}, {"!", f.Secret}, {"S", f.ServerOnly}, {"I", f.ImportOnly}, {"D", f.Derived}} {
				if m.is {
					name += m.mark
				}
			}
			got = append(got, name)
			if f.Help == "" || f.Format == FormatChoice && !slices.Contains(f.Choices, f.Default) {
				t.Errorf("%s.%s: no help, or a default that is no choice", auth, f.Name)
			}
			if err := ValidField(f.Name); err != nil {
				t.Errorf("%s: %v", auth, err)
			}
		}
		if text := strings.Join(got, " "); text != fields {
			t.Errorf("%s has %s\nwant %s", auth, text, fields)
		}
		if auth.Title() == "" {
			t.Errorf("%s has no title", auth)
		}
	}
}

func TestWhatIsAccepted(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711-canary"
	for _, v := range []struct {
		auth          AuthType
		plain, secret map[string]string
		want          string // part of the error; empty: accepted
	}{
		{"basic", map[string]string{"username": "u"}, map[string]string{"password": canary}, ""},
		{"basic", map[string]string{"username": "u"}, nil, "field password: it is missing (the account's password)"},
		{"basic", nil, map[string]string{"password": canary}, "field username: it is missing"},
		{"basic", map[string]string{"username": "u", "password": canary}, nil, "field password: it is secret: give it with --secret"},
		{"basic", nil, map[string]string{"password": canary, "username": canary}, "field username: it is not secret: give it with --field"},
		{"basic", map[string]string{"username": "u", "colour": canary}, map[string]string{"password": canary}, "field colour: there is no such field; there is: username, password"},
		{"basic", map[string]string{"username": "u"}, map[string]string{"password": canary, "pin": canary}, "field pin: there is no such field"},
		{"telepathy", nil, nil, "there is no such one; there is: [access_token api_key basic"},
		{"api_key", map[string]string{"header": "X-Key", "prefix": "Token "}, map[string]string{"key": canary}, ""},
		{"api_key", map[string]string{"header": "X-Key", "query": "k"}, map[string]string{"key": canary}, "field query: the key has a header already"},
		{"api_key", map[string]string{"header": "X Key"}, map[string]string{"key": canary}, "field header: it must be a name of letters"},
		{"api_key", map[string]string{"header": "Host"}, map[string]string{"key": canary}, "field header: HTTP itself uses that one"},
		{"api_key", map[string]string{"cookie": "a;b"}, map[string]string{"key": canary}, "field cookie"},
		{"api_key", map[string]string{"query": "api key"}, map[string]string{"key": canary}, ""},
		{"api_key", map[string]string{"query": "k", "prefix": "Token "}, map[string]string{"key": canary}, "field prefix: only a header has one"},
		{"api_key", map[string]string{"prefix": "a\r\nb"}, map[string]string{"key": canary}, "field prefix: it must be printable ASCII"},
		{"oauth1", map[string]string{"consumer_key": "c"}, map[string]string{"consumer_secret": canary}, ""},
		{"oauth1", map[string]string{"consumer_key": "c"}, nil, "field consumer_secret: HMAC signatures need it"},
		{"oauth1", map[string]string{"consumer_key": "c"}, map[string]string{"consumer_secret": canary, "token_secret": canary}, "field token: there is a token_secret without it"},
		{"oauth1", map[string]string{"consumer_key": "c", "signature_method": canary}, map[string]string{"consumer_secret": canary}, "field signature_method: it must be one of HMAC-SHA1, HMAC-SHA256, RSA-SHA1"},
		{"oauth1", map[string]string{"consumer_key": "c", "signature_method": "RSA-SHA1"}, nil, "field private_key: RSA-SHA1 needs it"},
		{"oauth1", map[string]string{"consumer_key": "c", "signature_method": "RSA-SHA1"}, map[string]string{"private_key": canary}, "field private_key: it must be PEM text"},
		{"oauth2", map[string]string{"client_id": "c", "token_url": "https://a.example/token", "expiry": "2027-01-31T12:00:00Z"}, map[string]string{"client_secret": canary, "refresh_token": canary}, ""},
		{"oauth2", map[string]string{"client_id": "c", "token_url": "https://u:" + canary + "@a.example"}, nil, "field token_url: leave the user and password out"},
		{"oauth2", map[string]string{"client_id": "c", "token_url": "file:///etc/passwd"}, nil, "field token_url"},
		{"oauth2", map[string]string{"client_id": "c", "expiry": "tomorrow"}, nil, "field expiry: it must be a time such as"},
		{"oauth2", map[string]string{"client_id": "c", "grant": "password"}, nil, "field grant: it must be one of authorization_code, client_credentials, device_code, jwt_bearer"},
		{"oauth2", map[string]string{"client_id": "c", "grant": "client_credentials"}, nil, "field client_secret: the grant client_credentials needs it"},
		{"oauth2", map[string]string{"client_id": "c", "grant": "jwt_bearer"}, nil, "field private_key: the grant jwt_bearer needs it"},
		{"webhook_secret", nil, map[string]string{"secret": canary}, ""},
		{"webhook_secret", nil, map[string]string{"secret": "short"}, "field secret: it must be 16 bytes or longer"},
		{"webhook_secret", map[string]string{"algorithm": "md5"}, map[string]string{"secret": canary}, "field algorithm: it must be one of sha256, sha512, sha1"},
		{"webhook_secret", map[string]string{"header": "X:"}, map[string]string{"secret": canary}, "field header"},
	} {
		plain := map[string]string{}
		for k, text := range v.plain {
			plain[k] = text
		}
		err := v.auth.Accept(arena(t), v.auth.Fields(), plain, texts(t, v.secret), today)
		if v.want == "" && err != nil || v.want != "" && (!errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), v.want)) {
			t.Errorf("%s %v: %v\nwant %q", v.auth, v.plain, err, v.want)
		}
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error repeats what was given: %v", v.auth, err)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for format, v := range map[Format][2][]string{
		FormatNumber: {{"0", "12"}, {"-1", "1.5", "0x1", " 1", "99999999999999999999"}},
		FormatPort:   {{"1", "65535"}, {"0", "65536", "a", "-1"}},
		FormatHost: {{"a", "db.example.com", "127.0.0.1", "::1", "[::1]", "my_db", "example.com."},
			{"https://a", "a:1", "a/b", "a b", "-a", "a..b", "a@b", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "a"}},
		FormatPEM:  {{"-----BEGIN X-----\n-----END X-----\n"}, {"x", "-----BEGIN X-----"}},
		FormatText: {{"anything\nat all"}, nil},
	} {
		f := Field{Name: "f", Format: format}
		for _, text := range v[0] {
			if err := f.check(text); err != nil {
				t.Errorf("%s %q: %v", format, text, err)
			}
		}
		for _, text := range v[1] {
			if err := f.check(text); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "field f") {
				t.Errorf("%s %q: %v, want ErrInvalid naming the field", format, text, err)
			}
		}
	}
}

func TestGenerated(t *testing.T) {
	t.Parallel()
	a := arena(t)
	b, err := WebhookSecret.Generate(a, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := hex.DecodeString(string(b.Reveal())); err != nil || len(raw) != 32 {
		t.Errorf("a webhook secret of %d bytes, %v", len(raw), err)
	}
	again, err := WebhookSecret.Generate(a, "secret")
	if err != nil || string(again.Reveal()) == string(b.Reveal()) {
		t.Errorf("the same twice, or %v", err)
	}
	if b, err = AccessToken.Generate(a, "token"); err != nil || b.Len() != 32 {
		t.Errorf("a token of %d bytes, %v", b.Len(), err)
	}
	if _, err := SSHKey.Generate(a, "passphrase"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a passphrase for an SSH key: %v", err)
	}
}
