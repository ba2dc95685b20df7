package rest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
)

// rawFrom is raw with another address of this machine.
func (s *site) rawFrom(address string) *http.Client {
	s.t.Helper()
	c := s.raw()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	c.Transport.(*http.Transport).DialContext = dialer.DialContext
	return c
}

// unseal sends a key as it must be.
func (s *site) unseal(c *http.Client, key string) reply {
	s.t.Helper()
	state := s.do(c, s.request("GET", "/v1/envelope", "", ""))
	var out api.Envelope
	check(s.t, json.Unmarshal([]byte(state.body), &out))
	sealer, enc, err := envelope.NewSealer(s.own, out.PublicKey, envelope.ToServer, must(envelope.Exporter(state.tls))(s.t))
	check(s.t, err)
	defer sealer.Wipe()
	sealed := must(sealer.Seal([]byte(key), envelope.Context{Request: "r1", Field: "key_file"}))(s.t)
	body := must(json.Marshal(api.UnsealRequest{KeyFile: sealed, Sealed: api.Sealed{Enc: enc, Request: "r1"}}))(s.t)
	return s.do(c, s.request("POST", "/v1/unseal", "", string(body)))
}

func TestAttemptsAreFew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rest.Close()
	c, other := s.raw(), s.rawFrom("127.0.0.2")
	for range 10 {
		a := s.do(c, s.request("POST", "/v1/unseal", "", `{"key_file":"AAAA","enc":"AAAA","request":"r"}`))
		if a.status != 409 {
			t.Fatalf("an envelope that does not open: %d %s", a.status, a.body)
		}
	}
	for range 10 {
		if a := s.unseal(c, "what is no key file"); a.status != 422 || a.problem.Detail != "key_file: send the whole key file as strongroom-server init wrote it" {
			t.Fatalf("no key file: %d %s", a.status, a.body)
		}
	}
	for n, want := range []int{403, 403, 403, 403, 403, 429, 429} {
		if a := s.unseal(c, otherKey); a.status != want || a.problem.Code != "refused" {
			t.Errorf("attempt %d: %d %s", n+1, a.status, a.body)
		}
	}
	wantWait := func(what string, a reply, says, seconds string) {
		t.Helper()
		says = "too many attempts to unseal: try again in " + says
		if a.status != 429 || a.problem.Detail != says || a.header.Get("Retry-After") != seconds {
			t.Errorf("%s: %d %s, Retry-After %q", what, a.status, a.body, a.header.Get("Retry-After"))
		}
	}
	wantWait("the right key, too late, on another connection", s.unseal(s.raw(), keyText), "1m0s", "60")
	if a := s.unseal(other, keyText); a.status != 200 {
		t.Errorf("the right key from another address: %d %s", a.status, a.body)
	}
	s.ahead.Store(int64(18*time.Second + 300*time.Millisecond))
	wantWait("a while later", s.unseal(c, keyText), "42s", "42")
	s.ahead.Store(int64(59 * time.Second))
	wantWait("before the minute is over", s.unseal(c, keyText), "1s", "1")
	want := strings.Repeat("refused: not a key file\n", 10) + strings.Repeat("refused: too many attempts\n", 5)
	if got := s.logged.String(); got != want {
		t.Errorf("logged is\n%swant\n%s", got, want)
	}
	s.ahead.Store(int64(time.Minute + time.Second*10))
	if a := s.unseal(c, keyText); a.status != 200 {
		t.Errorf("after the minute: %d %s", a.status, a.body)
	}
}

// What opens a vault travels in envelopes, one at a time, and each that is tried counts.
func TestWhatUnseals(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rest.Close()
	c := s.raw()
	for body, want := range map[string]int{
		`{}`: 422, `{"reset":false}`: 422, `{"share":"AAAA"}`: 422, `{"share":"AAAA","enc":"AAAA","request":"r"}`: 409,
	} {
		if a := s.do(c, s.request("POST", "/v1/unseal", "", body)); a.status != want {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	ctx, stranger := t.Context(), s.client("")
	// A share that waits for the others was not tried, and what is none is not: neither is an attempt.
	for range 6 {
		got, err := stranger.Unseal(ctx, api.Unsealing{Share: s.secret(shareTwo)})
		if check(t, err); !got.Sealed || got.Shares == nil || got.Shares.In != 7 || got.Shares.Need != 99 {
			t.Errorf("a share: %+v", got)
		}
		_, err = stranger.Unseal(ctx, api.Unsealing{Share: s.secret(strings.Replace(shareTwo, ":2:99:", ":4:99:", 1))})
		wantErr(t, err, api.ErrUsage)
	}
	if logged := s.logged.String(); logged != strings.Repeat("refused: not a share\n", 6) {
		t.Errorf("logged is %s", logged)
	}
	_, err := stranger.Unseal(ctx, api.Unsealing{Share: s.secret(shareThree)})
	wantErr(t, err, api.ErrRefused)
	_, err = stranger.Unseal(ctx, api.Unsealing{Share: s.secret("a"), Passphrase: s.secret("b")})
	wantErr(t, err, api.ErrUsage)
	_, err = stranger.Unseal(ctx, api.Unsealing{Passphrase: s.secret("another")})
	wantErr(t, err, api.ErrRefused)
	if got, err := stranger.Unseal(ctx, api.Unsealing{Passphrase: s.secret(keyText)}); err != nil || got.Sealed {
		t.Errorf("the passphrase: %+v, %v", got, err)
	}
	for n, want := range []int{200, 200, 429} {
		if a := s.do(c, s.request("POST", "/v1/unseal", "", `{"reset":true}`)); a.status != want {
			t.Errorf("reset %d: %d %s", n+1, a.status, a.body)
		}
	}
}

// loginFrom sends an empty login from an address that need not exist.
func (s *site) loginFrom(remote string) int {
	req := httptest.NewRequestWithContext(s.t.Context(), "POST", "/v1/login", strings.NewReader(`{}`))
	req.RemoteAddr = remote
	w := httptest.NewRecorder()
	s.rest.Handler().ServeHTTP(w, req)
	return w.Code
}

func TestLoginsOfOneAddressAreFew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now := time.Now()
	s.rest.now = func() time.Time { return now }
	for n := range 25 {
		want := 422
		if n >= 20 {
			want = 429
		}
		// Neither another port nor another address of the same /64 is somebody else.
		if got := s.loginFrom(fmt.Sprintf("192.0.2.1:%d", 4000+n)); got != want {
			t.Errorf("login %d: %d, want %d", n+1, got, want)
		}
		if got := s.loginFrom(fmt.Sprintf("[2001:db8:0:1:%x::7%%eth%d]:443", n, n)); got != want {
			t.Errorf("login %d of a /64: %d, want %d", n+1, got, want)
		}
	}
	for remote, want := range map[string]int{
		"192.0.2.2:4000": 422, "[2001:db8:0:2::7]:443": 422, // others
		"[::ffff:192.0.2.1]:4000": 429, // the first in other clothes
	} {
		if got := s.loginFrom(remote); got != want {
			t.Errorf("%s: %d, want %d", remote, got, want)
		}
	}
	now = now.Add(200 * time.Millisecond)
	if first, second := s.loginFrom("192.0.2.1:1"), s.loginFrom("192.0.2.1:1"); first != 422 || second != 429 {
		t.Errorf("after a fifth of a second: %d, %d", first, second)
	}
}

// TestManyAddresses may use up what everybody has together.
func TestManyAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	now := time.Now()
	s.rest.now = func() time.Time { return now }
	for n := range 201 {
		want := 422
		if n == 200 {
			want = 429
		}
		if got := s.loginFrom(fmt.Sprintf("192.0.2.%d:1", n)); got != want {
			t.Errorf("login %d: %d, want %d", n+1, got, want)
		}
		if _, wait := s.rest.limits.unseal(fmt.Sprintf("192.0.2.%d:1", n), now); (wait == 0) != (want == 422) {
			t.Errorf("unseal %d: wait %v", n+1, wait)
		}
	}
}
