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
	for n, want := range []int{403, 403, 403, 403, 403, 429, 429} {
		if a := s.unseal(c, "a guess"); a.status != want || a.problem.Code != "refused" {
			t.Errorf("attempt %d: %d %s", n+1, a.status, a.body)
		}
	}
	if a := s.unseal(s.raw(), keyText); a.status != 429 {
		t.Errorf("the right key, too late, on another connection: %d %s", a.status, a.body)
	}
	if a := s.unseal(other, keyText); a.status != 200 {
		t.Errorf("the right key from another address: %d %s", a.status, a.body)
	}
	s.ahead.Store(int64(59 * time.Second))
	if a := s.unseal(c, keyText); a.status != 429 {
		t.Errorf("before the minute is over: %d %s", a.status, a.body)
	}
	s.ahead.Store(int64(time.Minute + time.Second*10))
	if a := s.unseal(c, keyText); a.status != 200 {
		t.Errorf("after the minute: %d %s", a.status, a.body)
	}
}

// What opens a vault travels in envelopes, one at a time, and each counts.
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
	got, err := stranger.Unseal(ctx, api.Unsealing{Share: s.secret("seven b")})
	if check(t, err); !got.Sealed || got.Shares == nil || got.Shares.In != 7 || got.Shares.Need != 99 {
		t.Errorf("a share: %+v", got)
	}
	_, err = stranger.Unseal(ctx, api.Unsealing{Share: s.secret("a"), Passphrase: s.secret("b")})
	wantErr(t, err, api.ErrUsage)
	_, err = stranger.Unseal(ctx, api.Unsealing{Passphrase: s.secret("another")})
	wantErr(t, err, api.ErrRefused)
	if got, err = stranger.Unseal(ctx, api.Unsealing{Passphrase: s.secret(keyText)}); err != nil || got.Sealed {
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
		if got := s.rest.limits.unseal(fmt.Sprintf("192.0.2.%d:1", n), now); got != (want == 422) {
			t.Errorf("unseal %d: %t", n+1, got)
		}
	}
}
