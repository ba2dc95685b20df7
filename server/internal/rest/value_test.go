package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/secret"
)

// sealedAdd is the body of a write whose one value is in an envelope for key.
func (s *site) sealedAdd(state reply, name, boundTo string) string {
	s.t.Helper()
	var out api.Envelope
	check(s.t, json.Unmarshal([]byte(state.body), &out))
	exporter := must(envelope.Exporter(state.tls))(s.t)
	sealer, enc, err := envelope.NewSealer(s.arena, out.PublicKey, envelope.ToServer, exporter)
	check(s.t, err)
	defer sealer.Wipe()
	value := must(sealer.Seal([]byte(canary), envelope.Context{Request: "r1", Credential: boundTo, Field: "password"}))(s.t)
	body := must(json.Marshal(api.CredentialAdd{
		Name: name, Application: "generic-rest", AuthType: "basic",
		Fields:  map[string]string{"url": "https://api.example.com", "username": "bot"},
		Secrets: map[string][]byte{"password": value}, Sealed: api.Sealed{Enc: enc, Request: "r1"},
	}))(s.t)
	return string(body)
}

func TestEnvelopesAreForOneRequestOnOneConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, other := s.raw(), s.raw()
	key := func(c *http.Client) reply { return s.do(c, s.request("GET", "/v1/envelope", "", "")) }
	add := func(c *http.Client, body string) reply {
		return s.do(c, s.request("POST", "/v1/credentials", s.token, body))
	}
	refused := func(what string, a reply) {
		t.Helper()
		if a.status != 409 || a.problem.Code != "envelope" || leaks(a.everything()) != "" {
			t.Errorf("%s: %d %s", what, a.status, a.body)
		}
	}
	before := s.arena.InUse()
	body := s.sealedAdd(key(c), "good", "good")
	if a := add(c, body); a.status != 201 {
		t.Fatalf("a good one: %d %s", a.status, a.body)
	}
	again := strings.Replace(body, `"name":"good"`, `"name":"other"`, 1)
	refused("a replay", add(c, body))
	refused("a replay under another name", add(c, again))
	key(c)
	refused("a replay after another key was asked for", add(c, body))
	refused("a connection that asked for nothing", add(other, s.sealedAdd(key(c), "a", "a")))
	body = s.sealedAdd(key(c), "a", "a")
	key(other)
	refused("a connection that asked for a key of its own", add(other, body))
	refused("a value that was sealed for another credential", add(c, s.sealedAdd(key(c), "a", "b")))
	body = strings.Replace(s.sealedAdd(key(c), "a", "a"), `"secrets":{`, `"secrets":{"z":"`+strings.Repeat("A", 64)+`",`, 1)
	refused("a good value before a bad one", add(c, body))
	body = s.sealedAdd(key(c), "a", "a")
	key(c)
	refused("a key that was replaced", add(c, body))
	body = s.sealedAdd(key(c), "a", "a")
	s.ahead.Store(int64(61 * time.Second))
	refused("a key after a minute", add(c, body))
	body = s.sealedAdd(key(c), "a", "a")
	s.ahead.Add(int64(59 * time.Second))
	if a := add(c, body); a.status != 201 {
		t.Errorf("a key after 59 seconds: %d %s", a.status, a.body)
	}
	if now := s.arena.InUse(); now != before {
		t.Errorf("%d bytes of the arena stay in use", now-before)
	}
}

func TestLargeValues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, c := t.Context(), s.client(s.token)
	before := s.arena.InUse()
	values := api.Values{Masked: map[string]*secret.Buffer{}}
	source := must(secret.NewArena(1 << 20))(t)
	t.Cleanup(func() { _ = source.Close() })
	for i := range 8 {
		values.Masked[fmt.Sprintf("v%d", i)] = must(source.From([]byte(strings.Repeat("x", 65536))))(t)
	}
	must(c.AddCredential(ctx, api.CredentialAdd{Name: "alice/large"}, values))(t)
	revealed := must(s.client(s.token).Reveal(ctx, "alice/large"))(t)
	if len(revealed.Secrets) != 8 || revealed.Secrets["v7"].Len() != 65536 {
		t.Errorf("%d values came back", len(revealed.Secrets))
	}
	revealed.Wipe()
	values.Masked["v8"] = must(source.From([]byte(strings.Repeat("x", 1024))))(t)
	_, err := c.AddCredential(ctx, api.CredentialAdd{Name: "alice/larger"}, values)
	wantErr(t, err, api.ErrUsage)
	if !strings.Contains(err.Error(), "secrets, variables and masked: at most 524288 bytes are allowed in all") {
		t.Errorf("too much at once: %v", err)
	}
	_, err = c.AddCredential(ctx, api.CredentialAdd{Name: "alice/long"},
		api.Values{Masked: map[string]*secret.Buffer{"v": must(source.From([]byte(strings.Repeat("x", 65537))))(t)}})
	wantErr(t, err, api.ErrUsage)
	if now := s.arena.InUse(); now != before {
		t.Errorf("%d bytes of the arena stay in use", now-before)
	}
}

func TestLoginWipesItsPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.raw()
	before := s.arena.InUse()
	for _, body := range []string{
		`{"user":"alice","password":"` + password + `"}`, `{"user":"alice","password":"\u0063orrect horse battery"}`,
		`{"user":"alice","password":"x"}`, `{"user":"","password":"x"}`, `{"password":"x","password":"y","user":"alice"}`, `{"password":"x","user":5}`,
	} {
		want := 422
		switch {
		case strings.Contains(body, "horse"):
			want = 200
		case strings.Contains(body, `"user":"alice"`):
			want = 401
		}
		if a := s.do(c, s.request("POST", "/v1/login", "", body)); a.status != want {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if now := s.arena.InUse(); now != before {
		t.Errorf("%d bytes of the arena stay in use", now-before)
	}
}

func TestCloseWaitsForRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	reader, writer := io.Pipe()
	req := must(http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/tokens", reader))(t)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	answered := make(chan reply, 1)
	go func() { answered <- s.do(s.raw(), req) }()
	_, err := io.WriteString(writer, `{"name":`)
	check(t, err)
	u := s.rest.current.Load()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		u.mu.Lock()
		n := u.requests
		u.mu.Unlock()
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the request did not arrive")
		}
	}
	closed := make(chan struct{})
	t.Cleanup(func() { s.rest.current.Store(nil) }) // it is closed once
	go func() {
		defer close(closed)
		u.close(time.Minute, time.Minute) // as Close does, which gives up after three seconds
	}()
	for shut := false; !shut; time.Sleep(time.Millisecond) {
		u.mu.Lock()
		shut = u.closed
		u.mu.Unlock()
	}
	if a := s.do(s.raw(), s.request("GET", "/v1/whoami", s.token, "")); a.status != 503 {
		t.Errorf("a request while closing: %d", a.status)
	}
	select {
	case <-closed:
		t.Fatal("Close did not wait for the request under way")
	case <-time.After(50 * time.Millisecond):
	}
	_, err = io.WriteString(writer, `"deploy"}`)
	check(t, err)
	check(t, writer.Close())
	if a := <-answered; a.status != 201 {
		t.Errorf("the request under way: %d %s", a.status, a.body)
	}
	<-closed
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged buffer
		r := REST{log: slog.New(slog.NewTextHandler(&logged, nil))}
		r.Open(&Rooms{})
		u := r.current.Load()
		leave, ok := u.enter()
		if _, also := u.enter(); !ok || !also {
			t.Fatal("it let nobody in")
		}
		leave()
		leave() // counts once
		started := time.Now()
		r.Close()
		if took := time.Since(started); took != 3*time.Second || !strings.Contains(logged.String(), "requests=1") {
			t.Errorf("it waited %v: %s", took, logged.String())
		}
		if u.ending.Err() == nil {
			t.Error("the request was not canceled")
		}
		if _, ok := u.enter(); ok || r.current.Load() != nil {
			t.Error("it let somebody in after it was closed")
		}
	})
}

// Close waits no longer than for the last request.
func TestCloseGoesWithTheLastRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logged buffer
		r := REST{log: slog.New(slog.NewTextHandler(&logged, nil))}
		r.Open(&Rooms{})
		u := r.current.Load()
		leave, _ := u.enter()
		time.AfterFunc(1900*time.Millisecond, func() {
			if u.ending.Err() != nil {
				t.Error("the request was canceled")
			}
			leave()
		})
		started := time.Now()
		r.Close()
		if took := time.Since(started); took != 1900*time.Millisecond || logged.String() != "" {
			t.Errorf("it waited %v: %s", took, logged.String())
		}
	})
}

// A request that Close gave up on must find the door shut.
func TestLateRequestsFindItSealed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rest.current.Load().end()
	a := s.do(s.raw(), s.request("GET", "/v1/tokens", s.token, ""))
	if a.status != 503 || a.problem.Code != "sealed" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestChangesOutliveTheirClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.rest.Close()
	ctx, hangUp := context.WithCancel(t.Context())
	gone, ended := make(chan struct{}), make(chan error, 1)
	s.rest.control.Unseal = func(ctx context.Context, _ Unsealing) (api.Seal, error) {
		hangUp()
		<-gone
		select {
		case <-ctx.Done():
			ended <- ctx.Err()
		case <-time.After(300 * time.Millisecond):
			ended <- nil
		}
		return api.Seal{}, nil
	}
	_, err := s.client("").Unseal(ctx, api.Unsealing{KeyFile: s.secret(keyText)})
	close(gone)
	wantErr(t, err, context.Canceled)
	check(t, <-ended)
}
