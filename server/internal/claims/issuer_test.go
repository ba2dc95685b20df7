package claims

import (
	"context"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/strongroom/strongroom/server/internal/setting"
)

// says answers with a text.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// saysMuch answers with 300 KiB, one by one.
func saysMuch(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"padding":"`)
	for range 300 {
		_, _ = io.WriteString(w, strings.Repeat("a", 1<<10))
		_ = http.NewResponseController(w).Flush()
	}
}

// saysNothing lasts until whoever asked goes away.
func saysNothing(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func fails(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "canary-of-the-body", http.StatusInternalServerError)
}

func redirects(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// about is a configuration as it should be, but for where the keys are: at is given the issuer's host.
func about(at func(host string) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":%q}`, r.Host, at(r.Host))
	}
}

func publishes(keys ...jose.JSONWebKey) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": keys})
	}
}

// unanswered verifies a token that would be good, if the keys of its issuer could be had. The reason is in the server's
// log, and the caller is not told.
func (s *site) unanswered(token, issuer, why string) {
	s.t.Helper()
	of, named, err := s.Verify(s.t.Context(), token)
	if !errors.Is(err, ErrIssuer) || err.Error() != "the keys of the token's issuer cannot be had" || named != issuer || of.Claims != nil {
		s.t.Errorf("%v, %q, %v", of.Claims, named, err)
	}
	if got := s.logged.String(); !strings.Contains(got, why) || strings.Contains(got, "canary") {
		s.t.Errorf("the log has %s, want %s", got, why)
	}
}

// TestIssuersThatFail has nothing to verify a token with, each for its own reason: one path does not answer as it should.
func TestIssuersThatFail(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	short, _ := pair("one", jose.RS256, newRSA(1024))
	var many []jose.JSONWebKey
	for i := range 65 {
		another := public
		another.KeyID = fmt.Sprint(i)
		many = append(many, another)
	}
	good := newCI(t, public)
	for _, c := range []struct {
		what   string
		path   string
		answer http.HandlerFunc
		why    string
	}{
		{"the configuration redirects", aboutPath, redirects(good.url + aboutPath), "the answer is a redirect"},
		{"the keys redirect", keysPath, redirects(good.url + keysPath), "the answer is a redirect"},
		{"the configuration is huge", aboutPath, saysMuch, "the answer is too long: more than 262144 bytes"},
		{"the keys are huge", keysPath, saysMuch, "the answer is too long: more than 262144 bytes"},
		{"the configuration does not come", aboutPath, saysNothing, " exceeded"},
		{"the keys do not come", keysPath, saysNothing, " exceeded"},
		{"the configuration fails", aboutPath, fails, "answers 500 Internal Server Error"},
		{"the keys fail", keysPath, fails, "answers 500 Internal Server Error"},
		{"the configuration is no JSON", aboutPath, says("<html>"), "answers no JSON"},
		{"the keys are no JSON", keysPath, says(`{"keys":{}}`), "answers no JSON"},
		{"the configuration names another issuer", aboutPath, says(`{"issuer":"` + good.url + `","jwks_uri":"` + good.url + keysPath + `"}`),
			"is that of another issuer"},
		{"the configuration names none", aboutPath, says("{}"), "is that of another issuer"},
		{"the keys are elsewhere on a closed address", aboutPath, about(func(string) string { return "https://169.254.169.254/latest/meta-data/" }),
			"this address is closed to the server: 169.254.169.254"},
		{"the keys are not behind TLS", aboutPath, about(func(host string) string { return "http://" + host + keysPath }), "is no https URL"},
		{"the keys are in a file", aboutPath, about(func(string) string { return "file:///etc/passwd" }), "is no https URL"},
		{"the keys are behind a password", aboutPath, about(func(host string) string { return "https://user:canary@" + host + keysPath }),
			"is no https URL without a password"},
		{"the URL of the keys is huge", aboutPath, about(func(host string) string {
			url := "https://" + host + "/canary?"
			return url + strings.Repeat("a", 2049-len(url))
		}), "of at most 2048 bytes"},
		{"there are no keys", keysPath, says(`{"keys":[]}`), "has 0 keys that can be used"},
		{"the keys are too short", keysPath, publishes(short), "has 0 keys that can be used"},
		{"the keys are secrets", keysPath, says(`{"keys":[{"kty":"oct","kid":"one","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]}`),
			"has 0 keys that can be used"},
		{"the keys are too many", keysPath, publishes(many...), "has 65 keys that can be used, of the 1 to 64 that are taken"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			here := newCI(t, public)
			here.answerWith(map[string]http.HandlerFunc{c.path: c.answer})
			s := newSite(t, loopback, here.url)
			if strings.HasSuffix(c.what, "not come") {
				s.client.Timeout = 500 * time.Millisecond
			}
			s.unanswered(key.token(t, s.claims(here.url, nil)), here.url, c.why)
		})
	}
}

func TestIssuerOnAClosedAddress(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	here := newCI(t, public)
	s := newSite(t, netip.MustParsePrefix("198.18.0.0/15"), here.url) // which is not loopback
	s.unanswered(key.token(t, s.claims(here.url, nil)), here.url,
		"this address is closed to the server: 127.0.0.1; strongroom-server run --outbound-allow 127.0.0.1/32 opens it")
}

// Whoever answers at the issuer's address without a certificate for it is not asked for keys.
func TestIssuerWithAnotherCertificate(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	good := newCI(t, public)
	for _, c := range []struct {
		what  string
		shows *tls.Config
		why   string
	}{
		{"of another address", certified(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 2)}}),
			"x509: certificate is valid for 127.0.0.2, not 127.0.0.1"},
		{"of another authority", nil, "x509: certificate signed by unknown authority"},
	} {
		other := newCIWith(t, c.shows, public)
		s := newSite(t, loopback, good.url, other.url)
		s.taken("the control", key.token(t, s.claims(good.url, nil)))
		if _, _, err := s.Verify(t.Context(), key.token(t, s.claims(other.url, nil))); !errors.Is(err, ErrIssuer) {
			t.Errorf("%s: %v", c.what, err)
		}
		if n, got := other.asked.Load(), s.logged.String(); n != 0 || !strings.Contains(got, c.why) {
			t.Errorf("%s: asked %d times for its keys, and the log has %s, want %s", c.what, n, got, c.why)
		}
	}
}

// Issuers say as they are written in the setting, by name or with a folder, and have keys of several kinds.
func TestNamesOfIssuers(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	c := newCI(t, public)
	byName := strings.Replace(c.url, "127.0.0.1", "localhost", 1)
	for _, issuer := range []string{byName, c.url + "/", c.url + "/realms/a", c.url + "/realms/a/b/"} {
		path := strings.TrimSuffix(strings.TrimPrefix(issuer, c.url), "/") + aboutPath
		if issuer == byName {
			path = aboutPath
		}
		c.answerWith(map[string]http.HandlerFunc{path: func(w http.ResponseWriter, _ *http.Request) { c.about(w, issuer, c.url+keysPath) }})
		s := newSite(t, loopback, issuer)
		if got := s.taken(issuer, key.token(t, s.claims(issuer, nil))); len(got.Claims) != 3 || got.Claims[2] != issuer+":sub=job" {
			t.Errorf("%s: %q", issuer, got.Claims)
		}
	}
	c.answerWith(map[string]http.HandlerFunc{keysPath: func(w http.ResponseWriter, _ *http.Request) {
		c.write(w, map[string]any{"keys": []any{map[string]string{"kty": "of later"}, "nonsense", 7, public}})
	}})
	s := newSite(t, loopback, c.url+"/")
	c.answerWith(map[string]http.HandlerFunc{aboutPath: func(w http.ResponseWriter, _ *http.Request) { c.about(w, c.url+"/", c.url+keysPath) }})
	s.taken("beside keys of other kinds", key.token(t, s.claims(c.url+"/", nil)))
}

// Keys come and go, and whoever sends tokens does not set the pace at which the issuer is asked.
func TestKeysComeAndGo(t *testing.T) {
	t.Parallel()
	oldPublic, old := pair("old", jose.ES256, newECDSA(elliptic.P256()))
	newPublic, young := pair("new", jose.ES256, newECDSA(elliptic.P256()))
	_, unknown := pair("unknown", jose.ES256, newECDSA(elliptic.P256()))
	c := newCI(t, oldPublic)
	s := newSite(t, loopback, c.url)
	year := s.claims(c.url, map[string]any{"exp": s.clock.At.Add(365 * 24 * time.Hour).Unix()})
	tokenOf := func(with signing) string { return with.token(t, year) }
	asked := func(what string, want int32) {
		t.Helper()
		if n := c.asked.Load(); n != want {
			t.Errorf("%s: the issuer was asked %d times, want %d", what, n, want)
		}
	}
	s.taken("the first", tokenOf(old))
	for range 20 {
		s.refused("an unknown key", tokenOf(unknown), "not signed by a key of its issuer")
	}
	asked("within a minute", 1)
	c.setKeys(oldPublic, newPublic)
	s.refused("a new key, within a minute", tokenOf(young), "not signed by a key of its issuer")
	asked("within a minute", 1)
	s.clock.Add(time.Minute)
	s.taken("a new key, after a minute", tokenOf(young))
	asked("after a minute", 2)
	for range 20 {
		s.refused("an unknown key", tokenOf(unknown), "not signed by a key of its issuer")
		s.clock.Add(10 * time.Second)
	}
	asked("in 200 seconds", 5)

	c.setKeys(newPublic)
	s.clock.Add(40 * time.Minute)
	s.taken("a key that was taken back, within an hour", tokenOf(old))
	s.clock.Add(20 * time.Minute)
	s.refused("a key that was taken back, after an hour", tokenOf(old), "not signed by a key of its issuer")
	asked("after an hour", 6)

	// It stops answering: what is known goes on for a day.
	c.answerWith(map[string]http.HandlerFunc{aboutPath: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadGateway) }})
	for range 23 {
		s.clock.Add(time.Hour)
		s.taken("without the issuer", tokenOf(young))
	}
	s.clock.Add(time.Hour)
	if _, _, err := s.Verify(t.Context(), tokenOf(young)); !errors.Is(err, ErrIssuer) {
		t.Errorf("after a day without the issuer: %v", err)
	}
	c.answerWith(map[string]http.HandlerFunc{aboutPath: func(w http.ResponseWriter, _ *http.Request) { c.about(w, c.url, c.url+keysPath) }})
	s.clock.Add(time.Minute)
	s.taken("the issuer is back", tokenOf(young))
}

// An issuer that has not answered yet is asked again after a few seconds.
func TestIssuerComesBack(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	c := newCI(t, public)
	tries := 0
	c.answerWith(map[string]http.HandlerFunc{aboutPath: func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries == 1 {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		c.about(w, c.url, c.url+keysPath)
	}})
	s := newSite(t, loopback, c.url)
	token := key.token(t, s.claims(c.url, nil))
	for range 3 {
		if _, _, err := s.Verify(t.Context(), token); !errors.Is(err, ErrIssuer) {
			t.Errorf("at first: %v", err)
		}
		s.clock.Add(time.Second)
	}
	if tries != 1 {
		t.Errorf("asked %d times in 3 seconds", tries)
	}
	s.clock.Add(2 * time.Second)
	s.taken("after 5 seconds", token)
}

// Many that come at once make one question, and one who goes away spoils it for nobody.
func TestManyTokensAtOnce(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	c := newCI(t, public)
	came, goOn := make(chan struct{}, 100), make(chan struct{})
	c.answerWith(map[string]http.HandlerFunc{aboutPath: func(w http.ResponseWriter, _ *http.Request) {
		came <- struct{}{}
		<-goOn
		c.about(w, c.url, c.url+keysPath)
	}})
	s := newSite(t, loopback, c.url)
	token := key.token(t, s.claims(c.url, nil))
	gone, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _, _, _ = s.Verify(gone, token) }) // asks, and goes away
	<-came
	leave()
	for range 50 {
		all.Go(func() { s.taken("one of many", token) })
	}
	if _, _, err := s.Verify(gone, token); !errors.Is(err, context.Canceled) {
		t.Errorf("who is gone and waits: %v", err)
	}
	time.Sleep(50 * time.Millisecond) // by then most of them wait
	close(goOn)
	all.Wait()
	if n := c.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

// What was learned of an issuer goes with it.
func TestIssuerIsForgotten(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	c, other := newCI(t, public), newCI(t, public)
	s := newSite(t, loopback, c.url)
	s.taken("at first", key.token(t, s.claims(c.url, nil)))
	s.set(setting.JobIssuers, other.url)
	s.taken("another", key.token(t, s.claims(other.url, nil)))
	s.set(setting.JobIssuers, c.url+","+other.url)
	s.taken("again", key.token(t, s.claims(c.url, nil)))
	if c.asked.Load() != 2 || other.asked.Load() != 1 {
		t.Errorf("asked %d and %d times", c.asked.Load(), other.asked.Load())
	}
}

func FuzzToken(f *testing.F) {
	for _, seed := range []string{"", "..", "a.b.c", "e30.e30.e30", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2EifQ.", `{"payload":"e30"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if issuer, ok := namedIssuer(token); !ok && issuer != "" {
			t.Errorf("%q is named by no token", issuer)
		}
		i := newIssuer("https://a", http.DefaultClient, nil, time.Now)
		i.asked = time.Now() // so that nobody is asked
		if payload, err := i.verify(t.Context(), token); err == nil {
			t.Errorf("%q was verified", payload)
		}
	})
}
