package claims

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
)

// fixture is a cache with a server that says what it is told to, and a clock that is moved by hand.
type fixture struct {
	*Cache
	t  *testing.T
	at time.Time

	mu    sync.Mutex
	left  time.Duration
	err   error
	asked []string // tokens
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, at: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC), left: 5 * time.Minute}
	f.Cache = New(f.answer, func() time.Time { return f.at })
	return f
}

func (f *fixture) answer(_ context.Context, token string, _ grant.Job) (uplink.Verified, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, token)
	if f.err != nil {
		return uplink.Verified{}, f.err
	}
	return uplink.Verified{Claims: []string{"https://ci:sub=" + token}, Left: f.left}, nil
}

// want checks what a token gives, and whether the server was asked.
func (f *fixture) want(what, token string, asks bool, wanted error) {
	f.t.Helper()
	before := len(f.asked)
	got, err := f.Of(f.t.Context(), token, grant.Job{User: "etl"})
	if !errors.Is(err, wanted) || (err == nil) != slices.Equal(got, []string{"https://ci:sub=" + token}) || err != nil && got != nil {
		f.t.Errorf("%s: %q, %v, want %v", what, got, err, wanted)
	}
	if (len(f.asked) > before) != asks {
		f.t.Errorf("%s: the server was asked %d times", what, len(f.asked)-before)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	f := open(t)
	if got, err := f.Of(t.Context(), "", grant.Job{}); got != nil || err != nil || len(f.asked) != 0 {
		t.Errorf("no token: %q, %v", got, err)
	}
	f.want("the first time", "one", true, nil)
	f.want("another", "two", true, nil)
	f.at = f.at.Add(59 * time.Second)
	f.want("within a minute", "one", false, nil)
	f.want("one that is alike", "on", true, nil)
	f.at = f.at.Add(time.Second)
	f.want("after a minute", "one", true, nil)
	f.want("at once", "one", false, nil)

	f.at = f.at.Add(time.Minute)
	refused := fmt.Errorf("%w: it has ended", uplink.ErrToken)
	f.err = refused
	f.want("the settings say no by now", "one", true, uplink.ErrToken)
	f.err = uplink.ErrNotReachable
	f.want("and it is not taken from before", "one", true, uplink.ErrNotReachable)
	f.err = nil
	f.want("taken again", "one", true, nil)
}

// Without the server, what it found counts until the token's end and not a second longer.
func TestWithoutTheServer(t *testing.T) {
	t.Parallel()
	for _, away := range []error{uplink.ErrNotReachable, uplink.ErrUnjudged} {
		f := open(t)
		f.want("at first", "one", true, nil)
		f.err = away
		f.want("not seen before", "two", true, away)
		f.at = f.at.Add(5*time.Minute - time.Second)
		f.want("before its end", "one", true, nil)
		f.at = f.at.Add(time.Second)
		f.want("at its end", "one", true, away)
		f.at = f.at.Add(-time.Minute)
		f.want("with the clock set back", "one", true, away)
	}
	for _, no := range []error{uplink.ErrRevoked, uplink.ErrFrozen, errors.New("another")} {
		f := open(t)
		f.want("at first", "one", true, nil)
		f.at, f.err = f.at.Add(time.Minute), no
		f.want("the host is revoked", "one", true, no)
		f.err = uplink.ErrNotReachable
		f.want("and then away", "one", true, uplink.ErrNotReachable)
	}
}

func TestShortToken(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.left = 10 * time.Second
	f.want("at first", "one", true, nil)
	f.at = f.at.Add(9 * time.Second)
	f.want("before its end", "one", false, nil)
	f.at, f.err = f.at.Add(time.Second), uplink.ErrToken
	f.want("at its end", "one", true, uplink.ErrToken)
}

// Time counts from before the question, since the server's count may have begun with it.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	f := open(t)
	answer := f.verify
	f.verify = func(ctx context.Context, token string, job grant.Job) (uplink.Verified, error) {
		f.at = f.at.Add(10 * time.Second)
		return answer(ctx, token, job)
	}
	f.want("at first", "one", true, nil)
	f.at = f.at.Add(49 * time.Second)
	f.want("59 seconds after the question", "one", false, nil)
	f.at = f.at.Add(time.Second)
	f.want("a minute after the question", "one", true, nil)
}

func TestManyTokens(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range maxTokens {
		f.want("one of many", strconv.Itoa(i), true, nil)
		f.at = f.at.Add(time.Millisecond)
	}
	f.want("one more", "more", true, nil)
	f.want("the second is there", "1", false, nil)
	f.want("the first gave way", "0", true, nil)
	if len(f.known) != maxTokens {
		t.Errorf("%d are known", len(f.known))
	}
	f.at = f.at.Add(5 * time.Minute)
	f.want("after all have ended", "new", true, nil)
	if len(f.known) != 1 {
		t.Errorf("%d are known", len(f.known))
	}
}

// Those who show one token at the same time share a question; who goes away takes nothing from the others.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	asked := 0
	came, goOn := make(chan struct{}), make(chan struct{})
	c := New(func(ctx context.Context, _ string, _ grant.Job) (uplink.Verified, error) {
		asked++
		close(came)
		<-goOn
		return uplink.Verified{Claims: []string{"x"}, Left: time.Hour}, ctx.Err()
	}, time.Now)
	gone, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := c.Of(gone, "one", grant.Job{}); !errors.Is(err, context.Canceled) {
			t.Errorf("who went away: %v", err)
		}
	})
	<-came
	leave()
	for range 20 {
		all.Go(func() {
			if got, err := c.Of(t.Context(), "one", grant.Job{}); err != nil || len(got) != 1 {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	close(goOn)
	all.Wait()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// Nothing of a token stays.
func TestTokenIsNotKept(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.verify = func(context.Context, string, grant.Job) (uplink.Verified, error) {
		return uplink.Verified{Claims: []string{"https://ci:sub=job"}, Left: time.Hour}, nil
	}
	if _, err := f.Of(t.Context(), "canary", grant.Job{}); err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprintf("%#v %q", f.known, slices.Collect(maps.Keys(f.known))); !strings.Contains(all, "https://ci:sub=job") || strings.Contains(all, "canary") {
		t.Errorf("known is %s", all)
	}
}
