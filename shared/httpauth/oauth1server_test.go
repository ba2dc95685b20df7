package httpauth

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/credential"
)

const form = "application/x-www-form-urlencoded"

// oauth1Servers are those of testdata with the signatures that they verify.
var oauth1Servers = map[string][]string{
	"oauth1_server.js":   {"HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1"},
	"oauth1_passport.js": {"HMAC-SHA1", "HMAC-SHA256"},
}

// serveOAuth1 runs a server of testdata, which knows the secrets that it gives.
func serveOAuth1(t *testing.T, script string) (url string, texts map[string]string) {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	texts = map[string]string{
		"consumer_secret": "c&s=%é", "token": "tok%+en/ü", "token_secret": "t s",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})),
	}
	known, err := json.Marshal(map[string]string{
		"consumer_key": "key é", "consumer_secret": texts["consumer_secret"], "token": texts["token"], "token_secret": texts["token_secret"],
		"public_key": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"known.json": string(known)})
	return "http://127.0.0.1:" + serveNode(t, "testdata/"+script, filepath.Join(dir, "known.json")), texts
}

func oauth1With(t *testing.T, url, method string, secrets map[string]string) Credential {
	return Credential{Type: credential.OAuth1, Origins: originOf(t, url), Secrets: hidden(t, secrets),
		Plain: map[string]string{"consumer_key": "key é", "signature_method": method, "realm": `the "vault", ours`}}
}

// What we sign is what other implementations, in another language, find signed.
func TestOAuth1AgainstNode(t *testing.T) {
	t.Parallel()
	for script, methods := range oauth1Servers {
		url, texts := serveOAuth1(t, script)
		requests := []struct{ method, path, contentType, body string }{
			{"GET", "/", "", ""},
			{"GET", "", "", ""},
			{"GET", "/a%20b/c%2Fd;x?b=2&a=%7E1&c=1+2&empty&=v&%C3%A9=%C3%BC", "", ""},
			{"POST", "/form?d=x", form, "a=y&b=b%20c&c=b+c&c2&a3=2+q"},
			{"POST", "/form", form + "; charset=UTF-8", "x=%26%3D"},
			{"PUT", "/json?q=*'()!", "application/json", `{"a":"b"}`},
		}
		if script == "oauth1_server.js" { // the other one is wrong about a parameter that is given twice
			requests = append(requests, struct{ method, path, contentType, body string }{"POST", "/form?a=x&b=2&a=%7E1&a=&a=1+2", form, "a=y&a=b%20c&a=b+c"})
		}
		for _, method := range methods {
			for _, r := range requests {
				if got := status(t, oauth1With(t, url, method, texts), r.method, url+r.path, r.contentType, r.body); got != 200 {
					t.Errorf("%s: %s %s %s: %d", script, method, r.method, r.path, got)
				}
			}
			for _, field := range []string{"consumer_secret", "token", "token_secret"} {
				wrong := maps.Clone(texts)
				wrong[field] = changeOne(texts[field])
				want := 401
				if method == "RSA-SHA1" && field != "token" {
					want = 200 // it signs with the key alone
				}
				if got := status(t, oauth1With(t, url, method, wrong), "GET", url+"/?a=b", "", ""); got != want {
					t.Errorf("%s: %s with a wrong %s: %d, want %d", script, method, field, got, want)
				}
			}
		}
	}
}

// A signed request is good once, and not at all with one byte of it changed: the signature covers all of them.
func TestOAuth1Forged(t *testing.T) {
	t.Parallel()
	for script, methods := range oauth1Servers {
		url, texts := serveOAuth1(t, script)
		for _, method := range methods {
			forgeOAuth1(t, url, oauth1With(t, url, method, texts), script+" "+method)
		}
	}
}

func forgeOAuth1(t *testing.T, url string, signed Credential, about string) {
	inHeader := func(begin string) func(*http.Request) {
		return func(r *http.Request) {
			before, after, found := strings.Cut(r.Header.Get("Authorization"), begin)
			if !found {
				t.Fatalf("no %s in the header", begin)
			}
			other := byte('A')
			if after[0] == other {
				other = 'B'
			}
			r.Header.Set("Authorization", before+begin+string(other)+after[1:])
		}
	}
	const path, body = "/path?query=value", "name=value"
	for _, f := range []struct {
		name   string
		forge  func(*http.Request)
		body   string
		refuse string
	}{
		{"the method", func(r *http.Request) { r.Method = "PUT" }, body, "oauth_signature"},
		{"the path", func(r *http.Request) { r.URL.Path = "/patH" }, body, "oauth_signature"},
		{"the host", func(r *http.Request) { r.Host = "127.0.0.2" + r.Host[len("127.0.0.1"):] }, body, "oauth_signature"},
		{"the query", func(r *http.Request) { r.URL.RawQuery = "query=valuE" }, body, "oauth_signature"},
		{"the body", func(*http.Request) {}, "name=valuE", "oauth_signature"},
		{"the body's length", func(*http.Request) {}, "name=value&a", "oauth_signature"},
		{"the token", inHeader(`oauth_token="`), body, "oauth_token"},
		{"the consumer", inHeader(`oauth_consumer_key="`), body, "oauth_consumer_key"},
		{"the nonce", inHeader(`oauth_nonce="`), body, "oauth_signature"},
		{"the signature", inHeader(`oauth_signature="`), body, "oauth_signature"},
		{"the signature's method", inHeader(`oauth_signature_method="`), body, "oauth_signature_method"},
		{"nothing", func(*http.Request) {}, body, ""},
	} {
		r := request(t, "POST", url+path, body)
		r.Header.Set("Content-Type", form)
		if err := signed.Authenticate(r); err != nil {
			t.Fatal(err)
		}
		header := r.Header.Clone()
		r = request(t, "POST", url+path, f.body)
		r.Header = header
		f.forge(r)
		wantRefused(t, about+", changed: "+f.name, r, f.refuse)
		if f.refuse == "" {
			again := request(t, "POST", url+path, body)
			again.Header = header
			wantRefused(t, about+", again", again, "oauth_nonce")
		}
	}
}

func TestOAuth1Stale(t *testing.T) {
	t.Parallel()
	const script = "oauth1_server.js" // the other one leaves the time to its callers
	url, texts := serveOAuth1(t, script)
	for _, method := range oauth1Servers[script] {
		c := oauth1With(t, url, method, texts)
		for seconds, refuse := range map[int64]string{-240: "", 240: "", -360: "oauth_timestamp", 360: "oauth_timestamp"} {
			r := request(t, "GET", url+"/", "")
			if err := c.signOAuth1At(r, method, c.now().Unix()+seconds); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, method, r, refuse)
		}
	}
}

// wantRefused sends a request as it is and wants it refused for the reason, or accepted where that is empty.
func wantRefused(t *testing.T, about string, r *http.Request, reason string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	want := http.StatusUnauthorized
	if reason == "" {
		want = http.StatusOK
	}
	if got := resp.Header.Get("X-Refused"); resp.StatusCode != want || got != reason {
		t.Errorf("%s: %d %q, want %d %q", about, resp.StatusCode, got, want, reason)
	}
}
