package local

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/internal/lease"
	"github.com/strongroom/strongroom/agent/internal/uplink"
)

// waitingRoom is the API of an agent whose server is away, so that whoever asks for changes waits.
func waitingRoom(t *testing.T, patience time.Duration) (*Local, string) {
	t.Helper()
	arena := newArena(t)
	log := slog.New(slog.DiscardHandler)
	up := uplink.New(&uplink.Identity{Host: "h1"}, uplink.Route{}, arena, log, "test")
	l := New(lease.New(up, time.Now), nil, up, &uplink.Identity{Host: "h1"}, arena, log)
	l.patience = patience
	path := socket(t)
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Serve(listener) }()
	t.Cleanup(func() {
		_ = l.server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l, path
}

const askChanges = "GET /v1/credentials/changes?ref=crm&version=1 HTTP/1.1\r\nHost: strongroom\r\nX-Strongroom: 1\r\n\r\n"

func ask(t *testing.T, path, request string) net.Conn {
	t.Helper()
	c := dial(t, path)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

func answerOn(t *testing.T, c net.Conn) *http.Response {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Body.Close() })
	return r
}

// wantWaiters waits until that many questions are kept open.
func (l *Local) wantWaiters(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		l.waiting.mu.Lock()
		got := l.waiting.all
		l.waiting.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", got, want)
		}
	}
}

func TestChangesTakesItsTime(t *testing.T) {
	t.Parallel()
	// Longer than the server has for reading a request, and longer than it keeps an idle write.
	l, path := waitingRoom(t, 6*time.Second)
	began := time.Now()
	c := ask(t, path, askChanges)
	r := answerOn(t, c)
	if took := time.Since(began); r.StatusCode != 204 || took < 6*time.Second || took > time.Minute {
		t.Errorf("%d after %v, want 204 after 6 s", r.StatusCode, took)
	}
	l.wantWaiters(t, 0)
	if _, err := io.WriteString(c, strings.Replace(askChanges, "version=1", "version=x", 1)); err != nil {
		t.Fatal(err)
	}
	if r := answerOn(t, c); r.StatusCode != 400 { // the connection is as good as before
		t.Errorf("the next request: %d", r.StatusCode)
	}
}

func TestWhoHangsUpWaitsNoMore(t *testing.T) {
	t.Parallel()
	l, path := waitingRoom(t, time.Hour)
	var all []net.Conn
	for range 5 {
		all = append(all, ask(t, path, askChanges))
	}
	l.wantWaiters(t, 5)
	for _, c := range all {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.wantWaiters(t, 0)
}

// A user's waiters leave half of the user's connections to reads; who finds no place is told when to come again.
func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	l, path := waitingRoom(t, time.Hour)
	for range 16 {
		ask(t, path, askChanges)
	}
	l.wantWaiters(t, 16)
	began := time.Now()
	r := answerOn(t, ask(t, path, askChanges))
	if took := time.Since(began); r.StatusCode != 204 || r.Header.Get("Retry-After") != "30" || took > time.Minute {
		t.Errorf("waiter 17: %d, Retry-After %q after %v", r.StatusCode, r.Header.Get("Retry-After"), took)
	}
	if r := answerOn(t, ask(t, path, strings.Replace(askChanges, "/credentials/changes", "/status", 1))); r.StatusCode != 200 {
		t.Errorf("another request beside the waiters: %d", r.StatusCode)
	}
}

func TestShutdownEndsWaiters(t *testing.T) {
	t.Parallel()
	l, path := waitingRoom(t, time.Hour)
	c := ask(t, path, askChanges)
	l.wantWaiters(t, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if r := answerOn(t, c); r.StatusCode != 204 {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestChangesRefusesWhatIsNoQuestion(t *testing.T) {
	t.Parallel()
	_, path := waitingRoom(t, time.Hour)
	for request, want := range map[string]int{
		strings.Replace(askChanges, "ref=crm", "ref=CRM", 1):                        400,
		strings.Replace(askChanges, "version=1", "version=-1", 1):                   400,
		strings.Replace(askChanges, "version=1", "", 1):                             400,
		strings.Replace(askChanges, "X-Strongroom: 1\r\n", "", 1):                   400,
		strings.Replace(askChanges, "X-Strongroom", "Origin: x\r\nX-Strongroom", 1): 400,
	} {
		if r := answerOn(t, ask(t, path, request)); r.StatusCode != want {
			t.Errorf("%q: %d, want %d", request, r.StatusCode, want)
		}
	}
}

// What a read may take is not cut off by the time that the server has for reading a request.
func TestReadsMayTakeLong(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	path := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
			ended <- errors.New("its context ended")
		case <-time.After(5500 * time.Millisecond):
			ended <- nil
		}
	}))
	ask(t, path, askChanges)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
