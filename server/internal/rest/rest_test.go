package rest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/claims"
	"github.com/strongroom/strongroom/server/internal/delivery"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/outbound"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/repeat"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/store/storetest"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

const (
	vaultID  = "00112233445566778899aabbccddeeff"
	password = "correct horse battery"
	keyText  = "strongroom-key-v1:5555555555555555555555555555555555555555555555555555555555555555\n" // opens control's vault
	otherKey = "strongroom-key-v1:6666666666666666666666666666666666666666666666666666666666666666\n"

	// control keeps the first share and refuses the other.
	shareTwo   = "strongroom-share-v1:00112233445566778899aabbccddeeff:0123456789abcdef:2:99:2222222222222222222222222222222222222222222222222222222222222222:d7751df2"
	shareThree = "strongroom-share-v1:00112233445566778899aabbccddeeff:0123456789abcdef:3:99:3333333333333333333333333333333333333333333333333333333333333333:fc3e05dc"
)

// site is a served API over real rooms in a temporary folder.
type site struct {
	t       testing.TB
	rest    *REST
	arena   *secret.Arena
	own     *secret.Arena // the test's
	rooms   *Rooms
	barrier *barrier.Barrier
	url     string
	pin     string
	token   string // of the admin alice
	logged  *buffer
	ahead   atomic.Int64 // how far the API's clock is ahead; by itself it stands still
}

// buffer is what the log wrote.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newSite is unsealed, and alice is signed in.
func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, logged: &buffer{}}
	s.arena = must(secret.NewArena(2 << 20))(t)
	t.Cleanup(func() { check(t, s.arena.Close()) })
	s.own = must(secret.NewArena(64 << 10))(t)
	t.Cleanup(func() { check(t, s.own.Close()) })
	s.rooms, s.barrier = newRooms(t, s.arena)
	s.rest = New(s.control(), s.arena, slog.New(slog.NewTextHandler(s.logged, nil)))
	began := time.Now()
	s.rest.now = func() time.Time { return began.Add(time.Duration(s.ahead.Load())) }
	s.rest.Open(s.rooms)
	s.serve()
	pass := must(s.arena.From([]byte(password)))(t)
	defer pass.Wipe()
	s.token = must(s.rooms.People.Login(t.Context(), people.Login{User: "alice", Password: pass}))(t).Token
	return s
}

// control opens for one key text, and seals as the server does.
func (s *site) control() Control {
	var sealed atomic.Bool
	return Control{
		Status: func() api.Status { return api.Status{Version: "v1", Sealed: sealed.Load(), Vault: vaultID} },
		Seal: func(context.Context, grant.Person) error {
			s.rest.Close()
			sealed.Store(true)
			return nil
		},
		Unseal: func(_ context.Context, with Unsealing) (api.Seal, error) {
			if with.Share != nil && string(with.Share.Reveal()) == shareTwo {
				return api.Seal{Sealed: true, Shares: &api.Shares{In: 7, Need: 99}}, nil
			}
			if with.Share != nil {
				return api.Seal{}, seal.ErrShare
			}
			for _, key := range []*secret.Buffer{with.KeyFile, with.Passphrase} {
				if key != nil && !secret.Equal(key.Reveal(), []byte(keyText)) {
					return api.Seal{}, errors.Join(errors.New("slot 1"), seal.ErrWrongKey)
				}
			}
			if with.KeyFile == nil && with.Passphrase == nil {
				return api.Seal{Sealed: sealed.Load()}, nil
			}
			sealed.Store(false)
			s.rest.Open(s.rooms)
			return api.Seal{}, nil
		},
		RefuseUnseal: func(_ context.Context, reason string, why error) error {
			_, _ = fmt.Fprintln(s.logged, "refused:", reason)
			return why
		},
	}
}

func newRooms(t testing.TB, arena *secret.Arena) (*Rooms, *barrier.Barrier) {
	t.Helper()
	dir := t.TempDir()
	root := must(arena.Random(32))(t)
	t.Cleanup(root.Wipe)
	db := must(store.Create(filepath.Join(dir, "vault.db")))(t)
	t.Cleanup(func() { check(t, db.Close()) })
	b := must(barrier.Create(storetest.Rerun(t, db), arena, root, vaultID))(t)
	t.Cleanup(b.Close)
	keys, _, err := audit.Create(filepath.Join(dir, "audit"), arena, vaultID)
	check(t, err)
	t.Cleanup(keys.Wipe)
	log := must(audit.Open(filepath.Join(dir, "audit"), arena))(t)
	t.Cleanup(func() { check(t, log.Close()) })
	entry := audit.Entry{Actor: "system", Action: "vault.create", Outcome: audit.Allowed}
	check(t, log.Change(t.Context(), b, entry, func(tx *barrier.Tx) error { return fleet.Create(tx, "test.local", time.Now()) }))
	known := must(catalogue.Load(configs.Applications))(t)
	settings := must(setting.Open(b, log))(t)
	rooms := &Rooms{
		Settings: settings, People: people.New(b, log, settings, time.Now), Audit: log, AuditKeys: keys,
		Fleet:         must(fleet.Open(b, log, vaultID, time.Now))(t),
		Vault:         must(vault.Open(b, log, arena, known, settings, time.Now))(t),
		AgentsAddress: "vault.test:7443",
	}
	rooms.Fleet.JudgeJoins(roomtest.AnyLabels)
	rooms.Repeats = must(repeat.Open(b, time.Now))(t)
	rooms.Checkpoints = must(log.Checkpoints(t.Context(), keys, b.Epoch()))(t)
	t.Cleanup(rooms.Checkpoints.Close)
	tokens := claims.New(settings, outbound.New(nil), slog.New(slog.DiscardHandler), time.Now)
	rooms.Delivery = delivery.New(rooms.Fleet, rooms.Vault, tokens, log, rooms.Checkpoints, arena, slog.New(slog.DiscardHandler), time.Now)
	t.Cleanup(rooms.Delivery.Stop)
	pass := must(arena.From([]byte(password)))(t)
	defer pass.Wipe()
	check(t, rooms.People.CreateAdmin(t.Context(), "alice", pass))
	return rooms, b
}

func (s *site) serve() {
	s.t.Helper()
	own := must(s.rooms.Fleet.ServerCertificate(identity.Console, []string{"127.0.0.1"}))(s.t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(s.t)
	server := &http.Server{
		Handler: overdue(s.rest.Handler()), ConnContext: s.rest.ConnContext,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}},
		ErrorLog:  slog.NewLogLogger(slog.NewTextHandler(s.logged, nil), slog.LevelInfo),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	s.t.Cleanup(func() {
		_ = server.Close()
		<-done
		s.rest.Close()
	})
	s.url, s.pin = "https://"+listener.Addr().String(), s.rooms.Fleet.RootFingerprint()
}

// overdue has the server's own time to answer be over before a request begins, as it would be of one that takes long: the
// routes have to extend it.
func overdue(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// It fails only where there is no connection.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(-time.Second))
		h.ServeHTTP(w, r)
	})
}

// client is a real client; an empty token is none.
func (s *site) client(token string) *api.Client {
	s.t.Helper()
	arena := must(secret.NewArena(1 << 20))(s.t)
	config := api.Config{Server: s.url, CAFingerprint: s.pin, Arena: arena}
	if token != "" {
		config.Token = must(arena.From([]byte(token)))(s.t)
	}
	c := must(api.New(config))(s.t)
	s.t.Cleanup(func() {
		c.Close()
		_ = arena.Close()
	})
	return c
}

func (s *site) secret(text string) *secret.Buffer {
	s.t.Helper()
	return must(s.own.From([]byte(text)))(s.t)
}

// raw is a connection of its own, for requests that no proper client makes.
func (s *site) raw() *http.Client {
	config := identity.PinnedClient(s.pin, "127.0.0.1")
	config.ServerName = "127.0.0.1"
	transport := &http.Transport{
		TLSClientConfig: config, MaxConnsPerHost: 1,
		ExpectContinueTimeout: time.Minute, // without it a body does not wait for the server to ask for it
	}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// reply is an answer as it came.
type reply struct {
	status  int
	header  http.Header
	body    string
	problem api.Problem
	tls     *tls.ConnectionState
}

// everything is what a scanner looks through.
func (a reply) everything() string {
	var all strings.Builder
	_ = a.header.Write(&all)
	return all.String() + a.body
}

func (s *site) request(method, path, token, body string) *http.Request {
	s.t.Helper()
	req := must(http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body)))(s.t)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet {
		req.Header.Set("If-Match", "*")
	}
	if len(body) > 256<<10 {
		// Else the server may hang up on what it has not read, and its answer be lost.
		req.Header.Set("Expect", "100-continue")
	}
	return req
}

func (s *site) do(c *http.Client, req *http.Request) reply {
	s.t.Helper()
	resp := must(c.Do(req))(s.t)
	defer resp.Body.Close()
	body := must(io.ReadAll(resp.Body))(s.t)
	out := reply{status: resp.StatusCode, header: resp.Header, body: string(body), tls: resp.TLS}
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		check(s.t, json.Unmarshal(body, &out.problem))
	}
	return out
}

// join enrols a host through the fleet.
func (s *site) join(token, name string) string {
	s.t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(s.t)
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))(s.t)
	joined := must(s.rooms.Fleet.Join(s.t.Context(), fleet.JoinRequest{
		Token: token, Certificate: csr, Name: name, OS: "linux", Version: "v1",
	}))(s.t)
	return joined.Host
}

// wantErr demands that an error of the client carries one sentinel.
func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
