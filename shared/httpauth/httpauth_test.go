package httpauth

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

func TestWhereEachTypeGoes(t *testing.T) {
	t.Parallel()
	basic := func(v string) http.Header { return http.Header{"Authorization": {v}} }
	for name, v := range map[string]struct {
		c       Credential
		secrets map[string]string
		want    http.Header
		url     string
	}{
		"key":        {Credential{Type: "api_key"}, map[string]string{"key": "k 1"}, http.Header{"X-Api-Key": {"k 1"}}, ""},
		"key header": {Credential{Type: "api_key", Plain: map[string]string{"header": "Authorization", "prefix": "Token "}}, map[string]string{"key": "k"}, basic("Token k"), ""},
		"key query": {Credential{Type: "api_key", Plain: map[string]string{"query": "api key"}}, map[string]string{"key": "k&=+ é"}, nil,
			"https://a.example/p?x=%2F&api%20key=k%26%3D%2B%20%C3%A9"},
		"key cookie":  {Credential{Type: "api_key", Plain: map[string]string{"cookie": "sid"}}, map[string]string{"key": "k"}, http.Header{"Cookie": {"other=1; sid=k"}}, ""},
		"token":       {Credential{Type: "access_token"}, map[string]string{"token": "t"}, basic("Bearer t"), ""},
		"oauth2":      {Credential{Type: "oauth2"}, map[string]string{"access_token": "t", "refresh_token": "never"}, basic("Bearer t"), ""},
		"own header":  {Credential{Type: "access_token", Injection: credential.Injection{Header: "PRIVATE-TOKEN"}}, map[string]string{"token": "t"}, http.Header{"Private-Token": {"t"}}, ""},
		"own prefix":  {Credential{Type: "access_token", Injection: credential.Injection{Prefix: "Klaviyo-API-Key "}}, map[string]string{"token": "t"}, basic("Klaviyo-API-Key t"), ""},
		"base64":      {Credential{Type: "api_key", Injection: credential.Injection{Header: "Authorization", Prefix: "AfasToken ", Base64: true}}, map[string]string{"key": "<t>\n"}, basic("AfasToken PHQ+Cg=="), ""},
		"key:X":       {Credential{Type: "api_key", Injection: credential.Injection{Basic: "{key}:X"}}, map[string]string{"key": "k"}, basic("Basic azpY"), ""},
		"mail/token:": {Credential{Type: "api_key", Plain: map[string]string{"email": "a@b"}, Injection: credential.Injection{Basic: "{email}/token:{key}"}}, map[string]string{"key": "k:1"}, basic("Basic YUBiL3Rva2VuOms6MQ=="), ""},
		"further": {Credential{Type: "access_token", Plain: map[string]string{"client_id": "c1"}, Injection: credential.Injection{Headers: map[string]string{"Client-Id": "{client_id}", "X-None": "{none}"}}},
			map[string]string{"token": "t"}, http.Header{"Authorization": {"Bearer t"}, "Client-Id": {"c1"}}, ""},
	} {
		r := request(t, "GET", "https://a.example/p?api+key=old&x=%2F&api%20key=older", "")
		r.Header.Set("Authorization", "what the job set")
		r.Header.Add("Cookie", "other=1; sid=old")
		v.c.Secrets, v.c.Origins = hidden(t, v.secrets), originOf(t, "https://a.example")
		if err := v.c.Authenticate(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for h := range v.want {
			if !slices.Equal(r.Header.Values(h), v.want[h]) {
				t.Errorf("%s: %s is %q, want %q", name, h, r.Header.Values(h), v.want[h])
			}
		}
		if v.url != "" && r.URL.String() != v.url {
			t.Errorf("%s: %s, want %s", name, r.URL, v.url)
		}
		if r.Header.Get("X-None") != "" {
			t.Errorf("%s: a header with an empty field was sent", name)
		}
	}
}

func TestWhatARequestCannotCarry(t *testing.T) {
	t.Parallel()
	const canary = "canary-8812"
	for name, v := range map[string]struct {
		c       Credential
		secrets map[string]string
		want    error
		field   string
	}{
		"line end":       {Credential{Type: "access_token"}, map[string]string{"token": canary + "\r\nX: y"}, credential.ErrInvalid, "token"},
		"nul":            {Credential{Type: "api_key"}, map[string]string{"key": canary + "\x00"}, credential.ErrInvalid, "key"},
		"trailing space": {Credential{Type: "access_token"}, map[string]string{"token": canary + " "}, credential.ErrInvalid, "token"},
		"cookie":         {Credential{Type: "api_key", Plain: map[string]string{"cookie": "s"}}, map[string]string{"key": canary + ";x"}, credential.ErrInvalid, "key"},
		"colon":          {Credential{Type: "basic", Plain: map[string]string{"username": canary + ":"}}, map[string]string{"password": "p"}, credential.ErrInvalid, "username"},
		"password":       {Credential{Type: "basic", Plain: map[string]string{"username": "u"}}, map[string]string{"password": canary + "\n"}, credential.ErrInvalid, "password"},
		"no token yet":   {Credential{Type: "oauth2"}, nil, credential.ErrInvalid, "access_token"},
		"digest":         {Credential{Type: "digest"}, map[string]string{"password": canary}, ErrType, ""},
		"ssh":            {Credential{Type: "ssh_key"}, map[string]string{"private_key": canary}, ErrType, ""},
		"signing key":    {Credential{Type: "api_key", Injection: credential.Injection{None: true}}, map[string]string{"key": canary}, ErrType, ""},
		"oauth1 method":  {Credential{Type: "oauth1", Plain: map[string]string{"signature_method": "PLAINTEXT"}}, map[string]string{"consumer_secret": canary}, credential.ErrInvalid, "signature_method"},
	} {
		v.c.Secrets, v.c.Origins = hidden(t, v.secrets), originOf(t, "https://a.example")
		r := request(t, "GET", "https://a.example/", "")
		err := v.c.Authenticate(r)
		if !errors.Is(err, v.want) || !strings.Contains(err.Error(), v.field) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, want %v naming %q", name, err, v.want, v.field)
		}
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s: a header was set", name)
		}
	}
}

func TestOtherOrigins(t *testing.T) {
	t.Parallel()
	c := Credential{Type: credential.AccessToken, Secrets: hidden(t, map[string]string{"token": "t"}), Origins: originOf(t, "https://a.example")}
	for _, url := range []string{"http://a.example/", "https://a.example:8443/", "https://b.example/", "https://a.example.evil.example/",
		"https://a.example@evil.example/", "https://user@a.example/", "https://a.example./", "ftp://a.example/", "https://[::1]/"} {
		r := request(t, "GET", url, "")
		if err := c.Authenticate(r); !errors.Is(err, ErrOrigin) || len(r.Header) > 0 {
			t.Errorf("%s: %v, %v", url, err, r.Header)
		}
	}
	r := request(t, "GET", "https://a.example/", "")
	r.Host = "admin.example"
	if err := c.Authenticate(r); !errors.Is(err, ErrOrigin) {
		t.Errorf("another Host header: %v", err)
	}
	r = request(t, "GET", "https://a.example/", "")
	r.URL.Opaque = "//evil.example/"
	if err := c.Authenticate(r); !errors.Is(err, ErrOrigin) {
		t.Errorf("an opaque URL: %v", err)
	}
	for _, url := range []string{"https://a.example/x", "https://A.example:443/x"} {
		if err := c.Authenticate(request(t, "GET", url, "")); err != nil {
			t.Errorf("control, %s: %v", url, err)
		}
	}
}

// A redirect to another origin reaches nobody; one within the origin is followed with the credential.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	ours := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-Api-Key") != "k":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/away":
			http.Redirect(w, r, other.URL+"/x", http.StatusFound)
		case r.URL.Path == "/within":
			http.Redirect(w, r, "/end", http.StatusTemporaryRedirect)
		}
	}))
	defer ours.Close()
	c := Credential{Type: credential.APIKey, Secrets: hidden(t, map[string]string{"key": "k"}), Origins: originOf(t, ours.URL)}
	transport, err := NewTransport(c, &http.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	client := transport.Client(time.Minute)
	if _, err := client.Do(request(t, "GET", ours.URL+"/away", "")); !errors.Is(err, ErrOrigin) {
		t.Errorf("a redirect away: %v", err)
	}
	// A client with a policy of its own does not get further.
	if _, err := (&http.Client{Transport: transport}).Do(request(t, "GET", ours.URL+"/away", "")); !errors.Is(err, ErrOrigin) {
		t.Errorf("a redirect away, by another client: %v", err)
	}
	if elsewhere.Load() != 0 {
		t.Errorf("%d requests went elsewhere", elsewhere.Load())
	}
	r := request(t, "POST", ours.URL+"/within", "body")
	resp, err := client.Do(r)
	if err != nil || resp.StatusCode != 200 || resp.Request.URL.Path != "/end" {
		t.Errorf("a redirect within: %v, %v", resp, err)
	} else {
		_ = resp.Body.Close()
	}
	if len(r.Header) > 0 {
		t.Errorf("the caller's request was changed: %v", r.Header)
	}
	if resp, err := http.Get(other.URL); err != nil || elsewhere.Load() != 1 {
		t.Errorf("control: the other server counts nothing: %v", err)
	} else {
		_ = resp.Body.Close()
	}
}

// A server that never finds an answer good is asked a bounded number of times; one that needs auth-int gets the body.
func TestDigestEnds(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		challenge func(n int) string
		want      int
	}{
		"wrong password":      {func(int) string { return `Digest realm="r", nonce="n", qop="auth"` }, 2},
		"wrong, fresh nonces": {func(n int) string { return `Digest realm="r", nonce="n` + string(rune('0'+n)) + `", qop="auth"` }, 2},
		"always stale":        {func(n int) string { return `Digest realm="r", nonce="n", qop="auth", stale=true` }, 3},
		"no digest":           {func(int) string { return `Basic realm="r"` }, 1},
		"unknown hash":        {func(int) string { return `Digest realm="r", nonce="n", algorithm=SHA-512, qop="auth"` }, 1},
		"unknown protection":  {func(int) string { return `Digest realm="r", nonce="n", qop="auth-conf"` }, 1},
		"session without qop": {func(int) string { return `Digest realm="r", nonce="n", algorithm=MD5-sess` }, 1},
		"body protection":     {func(int) string { return `Digest realm="r", nonce="n", qop="auth-int", algorithm=MD5` }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var bodies []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				bodies = append(bodies, string(body))
				w.Header().Set("WWW-Authenticate", v.challenge(len(bodies)))
				w.WriteHeader(http.StatusUnauthorized)
			}))
			defer server.Close()
			if got := status(t, digestCredential(t, "s3cret", server.URL), "POST", server.URL, "text/plain", "body"); got != 401 {
				t.Errorf("%d", got)
			}
			if len(bodies) != v.want || slices.ContainsFunc(bodies, func(b string) bool { return b != "body" }) {
				t.Errorf("bodies %q, want %d", bodies, v.want)
			}
		})
	}
	r := request(t, "POST", "https://a.example/", "x")
	r.GetBody = nil
	transport, err := NewTransport(digestCredential(t, "p", "https://a.example"), &http.Transport{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.RoundTrip(r); !errors.Is(err, ErrBody) {
		t.Errorf("a body that cannot be sent twice: %v", err)
	}
}

// A nonce that is in use and refused: another one is tried once, the same one is not.
func TestDigestNonceInUse(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]struct {
		nonces []string // one a request; the server lets through what answers the last one that it gave, where good
		good   bool
		want   []int // requests that each of two sendings takes
	}{
		"still good":                   {[]string{"1", "1", "1"}, true, []int{2, 1}},
		"another, not marked as stale": {[]string{"1", "1", "2", "2"}, true, []int{2, 2}},
		"the password has changed":     {[]string{"1", "1", "1"}, false, []int{2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				nonce := v.nonces[min(int(n.Add(1)), len(v.nonces))-1]
				good := strings.Contains(r.Header.Get("Authorization"), `nonce="`+nonce+`"`) && (v.good || n.Load() <= 2)
				if !good {
					w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="`+nonce+`", qop="auth"`)
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			defer server.Close()
			transport, err := NewTransport(digestCredential(t, "p", server.URL), &http.Transport{})
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			for i, want := range v.want {
				before := n.Load()
				got := statusOf(t, transport, "GET", server.URL, "", "")
				if (got == 200) != (v.good || i == 0) || int(n.Load()-before) != want {
					t.Errorf("sending %d: %d after %d requests, want %d", i, got, n.Load()-before, want)
				}
			}
		})
	}
}

func TestChallenges(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`Digest realm="a", nonce="1"`: "a 1 ",
		`Negotiate, NTLM TlRMTVNTUAAC==, Basic realm="x, Digest nonce=9", Digest realm="b\"c", nonce="2", algorithm=MD5`: `b"c 2 MD5`,
		`Digest realm="a", nonce="1", algorithm=MD5, Digest realm="a", nonce="2", algorithm=SHA-256`:                     "a 2 SHA-256",
		`digest  realm = "a" ,, nonce=1`:                   "a 1 ",
		`Digest realm="a", nonce="1", x="`:                 "a 1 ",
		`Digest nonce="1", nonce="2"`:                      " 1 ",
		`Digest realm="a"`:                                 "-",
		`Basic realm="Digest", nonce="1"`:                  "-",
		`Digest nonce="` + strings.Repeat("n", 9000) + `"`: "-",
		`="`: "-", ``: "-", `Digest`: "-", `Digest "x`: "-", `,,,`: "-",
	} {
		c, err := ParseChallenge(http.Header{"Www-Authenticate": {text}})
		got := c.Realm + " " + c.Nonce + " " + c.Algorithm
		if errors.Is(err, ErrChallenge) {
			got = "-"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Negotiate abc==, Digest realm="b\"c", nonce="2", qop="auth,auth-int", algorithm=SHA-256, stale=true`)
	f.Add(`Digest nonce=`)
	f.Fuzz(func(t *testing.T, line string) {
		c, err := ParseChallenge(http.Header{"Www-Authenticate": {line}})
		if err == nil && (c.Nonce == "" || !c.answerable()) {
			t.Errorf("%q gives %+v", line, c)
		}
	})
}
