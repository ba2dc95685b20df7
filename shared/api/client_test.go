package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/api/apitest"
	"github.com/strongroom/strongroom/shared/secret"
)

// status answers GET /v1/status and counts how often it was reached.
func status(reached *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		apitest.Answer(w, http.StatusOK, api.Status{Version: "1.2.3", Vault: "v"})
	})
}

func dial(t *testing.T, server, fingerprint string, token *secret.Buffer) *api.Client {
	t.Helper()
	arena, err := secret.NewArena(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.New(api.Config{Server: server, CAFingerprint: fingerprint, Token: token, Arena: arena})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		_ = arena.Close()
	})
	return c
}

func text(t *testing.T, s string) *secret.Buffer {
	t.Helper()
	arena, err := secret.NewArena(256 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	b, err := arena.From([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTrust(t *testing.T) {
	t.Parallel()
	localhost := func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }
	same := func(url string) string { return url }
	cases := []struct {
		name    string
		chain   apitest.Chain
		url     func(string) string
		pin     string // empty: the right one
		trusted bool
	}{
		{name: "by address", url: same, trusted: true},
		{name: "by name", url: localhost, trusted: true},
		{name: "without the scheme", url: func(u string) string { return strings.TrimPrefix(u, "https://") }, trusted: true},
		{name: "another fingerprint", url: same, pin: "sha256:" + strings.Repeat("00", 32)},
		{name: "certificate for another address", chain: apitest.Chain{IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}, url: same},
		{name: "certificate for the name, dialled by address", chain: apitest.Chain{DNS: []string{"localhost"}}, url: same},
		{name: "certificate for the address, dialled by name", chain: apitest.Chain{IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}, url: localhost},
		{name: "client certificate", chain: apitest.Chain{Usage: x509.ExtKeyUsageClientAuth}, url: same},
		{name: "expired", chain: apitest.Chain{NotAfter: time.Now().Add(-time.Minute)}, url: same},
		{name: "root not sent along", chain: apitest.Chain{WithoutCA: true}, url: same},
		{name: "leaf of another CA beside the right root", chain: apitest.Chain{Foreign: true}, url: same},
		{name: "TLS 1.2", chain: apitest.Chain{TLSVersion: tls.VersionTLS12}, url: same},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var reached atomic.Int32
			s := apitest.Start(t, tc.chain, status(&reached))
			if tc.pin == "" {
				tc.pin = "sha256:" + strings.ToUpper(s.CAFingerprint[7:]) // the case of digits does not matter
			}
			got, err := dial(t, tc.url(s.URL), tc.pin, text(t, "token")).Status(t.Context())
			if tc.trusted {
				if err != nil || got.Version != "1.2.3" {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, api.ErrNotReachable) {
				t.Errorf("got %v, want ErrNotReachable", err)
			}
			if n := reached.Load(); n != 0 {
				t.Errorf("an untrusted server got %d requests", n)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := "sha256:" + strings.Repeat("ab", 32)
	for _, tc := range []struct{ server, pin string }{
		{"", good},
		{"http://vault:8443", good},
		{"https://user:pw@vault:8443", good},
		{"https://vault:8443/path", good},
		{"https://vault:8443?x=1", good},
		{"ftp://vault", good},
		{"https://", good},
		{"https://vault:8443", ""},
		{"https://vault:8443", "sha256:abcd"},
		{"https://vault:8443", strings.Repeat("ab", 32)},
	} {
		if _, err := api.New(api.Config{Server: tc.server, CAFingerprint: tc.pin}); !errors.Is(err, api.ErrUsage) {
			t.Errorf("%q %q: got %v, want ErrUsage", tc.server, tc.pin, err)
		}
	}
	if _, err := api.New(api.Config{Server: "https://vault:8443/", CAFingerprint: good}); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}

func TestProblemsBecomeSentinels(t *testing.T) {
	t.Parallel()
	all := []error{api.ErrUsage, api.ErrUnauthenticated, api.ErrRefused, api.ErrNotFound, api.ErrConflict, api.ErrSealed, api.ErrFailed, api.ErrNotReachable}
	problem := func(code string) string { return `{"title":"T","detail":"the detail","code":"` + code + `"}` }
	for _, tc := range []struct {
		status int
		body   string
		want   error
		text   string
	}{
		{422, problem("usage"), api.ErrUsage, "the detail"},
		{401, problem("unauthenticated"), api.ErrUnauthenticated, "the detail"},
		{403, problem("refused"), api.ErrRefused, "the detail"},
		{404, problem("not_found"), api.ErrNotFound, "the detail"},
		{409, problem("conflict"), api.ErrConflict, "the detail"},
		{503, problem("sealed"), api.ErrSealed, "the detail"},
		{500, problem("failed"), api.ErrFailed, "the detail"},
		{500, problem("something new"), api.ErrFailed, "the detail"},
		{403, "<html>", api.ErrRefused, "the server answered 403 Forbidden"},
		{400, "", api.ErrUsage, "the server answered 400 Bad Request"},
		{502, "", api.ErrFailed, "the server answered 502 Bad Gateway"},
		{429, "", api.ErrFailed, "the server answered 429 Too Many Requests"},
		{503, "", api.ErrFailed, "the server answered 503 Service Unavailable"},
		{307, "", api.ErrFailed, "the server failed: it answered with a redirect, which is never followed; check the server's URL"},
		{200, "not JSON", api.ErrFailed, "the server failed: its answer to GET /v1/whoami is not what this client knows; compare the versions of both"},
		{422, `{"code":"usage","detail":"wrong","errors":[{"message":"too long","location":"body.name","value":"hunter2"}]}`, api.ErrUsage, "wrong; body.name: too long"},
	} {
		t.Run(fmt.Sprint(tc.status, tc.body), func(t *testing.T) {
			t.Parallel()
			s := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v1/whoami" {
					t.Errorf("the redirect to %s was followed", r.URL.Path)
				}
				w.Header().Set("Location", "/v1/elsewhere")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			_, err := dial(t, s.URL, s.CAFingerprint, nil).Whoami(t.Context())
			for _, sentinel := range all {
				if errors.Is(err, sentinel) != (sentinel == tc.want) {
					t.Errorf("errors.Is(%v, %v) = %v", err, sentinel, sentinel != tc.want)
				}
			}
			if err == nil || err.Error() != tc.text {
				t.Errorf("got %q, want %q", err, tc.text)
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	endless := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
	}
	for _, status := range []int{200, 500} {
		s := apitest.Start(t, apitest.Chain{}, endless(status))
		if _, err := dial(t, s.URL, s.CAFingerprint, nil).Hosts(t.Context()); !errors.Is(err, api.ErrFailed) || status == 200 && err.Error() != "the server failed: its answer is too large" {
			t.Errorf("endless answer with %d: got %v, want ErrFailed", status, err)
		}
	}
	header := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
	}))
	if _, err := dial(t, header.URL, header.CAFingerprint, nil).Hosts(t.Context()); !errors.Is(err, api.ErrNotReachable) {
		t.Errorf("endless header: got %v, want ErrNotReachable", err)
	}
	large := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		apitest.Answer(w, 200, api.HostList{Items: []api.Host{{Name: strings.Repeat("x", 4<<20)}}})
	}))
	if list, err := dial(t, large.URL, large.CAFingerprint, nil).Hosts(t.Context()); err != nil || len(list.Items[0].Name) != 4<<20 {
		t.Errorf("a large list: %v", err)
	}
}

func TestLargeRequestsAreNotSent(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	s := apitest.Start(t, apitest.Chain{}, status(&reached))
	in := api.CredentialAdd{Name: "crm", Description: strings.Repeat("x", api.MaxRequest)}
	if _, err := dial(t, s.URL, s.CAFingerprint, nil).AddCredential(t.Context(), in, api.Values{}); !errors.Is(err, api.ErrUsage) || reached.Load() != 0 {
		t.Errorf("got %v after %d requests, want ErrUsage after none", err, reached.Load())
	}
}

func TestCancelEndsACall(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	s := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
	}))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	_, err := dial(t, s.URL, s.CAFingerprint, nil).Hosts(ctx)
	if !errors.Is(err, api.ErrNotReachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrNotReachable and context.Canceled", err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	if _, err := dial(t, address, "sha256:"+strings.Repeat("ab", 32), nil).Status(t.Context()); !errors.Is(err, api.ErrNotReachable) {
		t.Errorf("got %v, want ErrNotReachable", err)
	}
}

func TestPathsAreEscaped(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	s := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Method+" "+r.URL.EscapedPath()+" "+r.Header.Get("Authorization"))
		mu.Unlock()
		apitest.Answer(w, 200, struct{}{})
	}))
	c := dial(t, s.URL, s.CAFingerprint, text(t, "tok"))
	_, _ = c.Credential(t.Context(), "alice/payroll")
	_, _ = c.DeleteCredential(t.Context(), "a?b#c", 0)
	_, _ = c.Credential(t.Context(), "app:crm")
	for _, dots := range []string{"", ".", ".."} {
		if _, err := c.RevokeGrant(t.Context(), dots); !errors.Is(err, api.ErrUsage) {
			t.Errorf("%q: got %v, want ErrUsage", dots, err)
		}
	}
	want := []string{
		"GET /v1/credentials/alice%2Fpayroll Bearer tok",
		"DELETE /v1/credentials/a%3Fb%23c Bearer tok",
		"GET /v1/credentials/app:crm Bearer tok",
	}
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("got %q", seen)
	}
}

func decode(t *testing.T, r *http.Request, into any) {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		t.Error(err)
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	var got []string
	s := apitest.Start(t, apitest.Chain{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, strings.Join(r.Header.Values("Idempotency-Key"), "|"))
		apitest.Answer(w, http.StatusCreated, api.Role{})
	}))
	c := dial(t, s.URL, s.CAFingerprint, nil)
	for _, ctx := range []context.Context{t.Context(), api.WithKey(t.Context(), "k1")} {
		if _, err := c.AddRole(ctx, api.RoleAdd{Name: "r"}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"", "k1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
