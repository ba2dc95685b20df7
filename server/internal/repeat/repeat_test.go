package repeat_test

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/repeat"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/grant"
)

const kindThing barrier.Kind = "thing"

type fixture struct {
	*roomtest.Rooms
	t        *testing.T
	clock    *roomtest.Clock
	requests *repeat.Requests
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{Rooms: roomtest.Open(t), t: t, clock: roomtest.NewClock()}
	f.reopen()
	return f
}

func (f *fixture) reopen() {
	f.t.Helper()
	var err error
	if f.requests, err = repeat.Open(f.Barrier, f.clock.Now); err != nil {
		f.t.Fatal(err)
	}
}

func request(person, key, says string) repeat.Request {
	return repeat.Request{
		Who: grant.Person{ID: person}, Key: key, Route: "POST /v1/things", What: "thing-" + says,
		Content: func(h hash.Hash) { h.Write([]byte(says)) },
	}
}

var errThing = errors.New("the thing cannot be stored")

// make stores a thing with its request.
func (f *fixture) make(q repeat.Request, thing error) error {
	ctx, done := f.requests.Keep(f.t.Context(), q)
	err := f.Log.Change(ctx, f.Barrier, audit.Entry{Action: "thing.create", Outcome: audit.Allowed}, func(tx *barrier.Tx) error {
		return errors.Join(thing, tx.Put(kindThing, q.What, nil))
	})
	if err == nil {
		done()
	}
	return err
}

func (f *fixture) demand(q repeat.Request, what string, known, same bool) {
	f.t.Helper()
	gotWhat, gotKnown, gotSame, err := f.requests.Find(q)
	if err != nil || gotWhat != what || gotKnown != known || gotSame != same {
		f.t.Errorf("%s: %q %t %t, %v; want %q %t %t", q.Key, gotWhat, gotKnown, gotSame, err, what, known, same)
	}
}

// The thing and what is remembered of its request are there both, or neither.
func TestTogether(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	q := request("alice", "k", "a")
	if err := f.make(q, errThing); !errors.Is(err, errThing) {
		t.Fatal(err)
	}
	f.demand(q, "", false, false)
	if err := f.make(q, nil); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.demand(q, "thing-a", true, true)
	f.demand(request("alice", "k", "b"), "thing-a", true, false)
	f.demand(request("bob", "k", "a"), "", false, false)
	other := request("alice", "k", "b")
	if err := f.make(other, nil); !errors.Is(err, repeat.ErrKnown) {
		t.Errorf("a second request with the key: %v", err)
	}
	err := f.Barrier.View(func(tx *barrier.Tx) error {
		_, err := tx.Get(kindThing, other.What)
		return err
	})
	if !errors.Is(err, barrier.ErrNotFound) {
		t.Errorf("what the second request makes: %v", err)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	key := func(i int) string { return fmt.Sprintf("k%d", i) }
	if err := f.make(request("bob", "k", "b"), nil); err != nil {
		t.Fatal(err)
	}
	for i := range repeat.MaxKeys + 3 {
		f.clock.Add(time.Second)
		if err := f.make(request("alice", key(i), "a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		if err := f.Barrier.View(func(tx *barrier.Tx) error {
			n = 0
			return tx.Scan("repeat", func(string, []byte) error { n++; return nil })
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != repeat.MaxKeys+1 {
		t.Errorf("%d are remembered", n)
	}
	for i, known := range map[int]bool{0: false, 2: false, 3: true, repeat.MaxKeys + 2: true} {
		_, got, _, err := f.requests.Find(request("alice", key(i), "a"))
		if got != known || err != nil {
			t.Errorf("request %d is remembered: %t, %v", i, got, err)
		}
	}
	f.demand(request("bob", "k", "b"), "thing-b", true, true)
	// After a day they leave the store, a few with each change.
	f.clock.Add(repeat.Life)
	f.reopen()
	if err := f.make(request("bob", "k", "b"), nil); err != nil {
		t.Errorf("a key whose time is over: %v", err)
	}
	if n := count(); n != repeat.MaxKeys+1-10+1 {
		t.Errorf("%d are remembered a day later", n)
	}
}

// Of requests with one key the second waits until the first has ended, or its own client has gone.
func TestOneAfterTheOther(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	enter := func(ctx context.Context, q repeat.Request) (leave func()) {
		t.Helper()
		leave, err := f.requests.Enter(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	leave := enter(gone, request("1", "k", "a"))
	if _, err := f.requests.Enter(gone, request("1", "k", "b")); !errors.Is(err, context.Canceled) {
		t.Errorf("while one with its key is under way: %v, want that it waits", err)
	}
	enter(gone, request("1", "k2", "a"))()
	enter(gone, request("2", "k", "a"))()
	next := make(chan func())
	go func() {
		leave, err := f.requests.Enter(t.Context(), request("1", "k", "a"))
		if err != nil {
			t.Error(err)
			leave = func() {}
		}
		next <- leave
	}()
	leave()
	(<-next)()
	enter(gone, request("1", "k", "a"))()
}
