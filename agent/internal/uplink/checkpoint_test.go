package uplink

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/wire"
)

func (w *witness) knows() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last.Size
}

// pushCheckpoints sends what a test wants pushed.
func (f *far) pushCheckpoints(stream wire.Agents_WatchServer) {
	for {
		select {
		case c := <-f.pushed:
			if stream.Send(&wire.WatchEvent{Sequence: 7, Event: &wire.WatchEvent_Checkpoint{Checkpoint: c}}) != nil {
				return
			}
		case <-stream.Context().Done():
			return
		}
	}
}

func TestWhatIsAccepted(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	fork, other := l.forked(5), newLedger(t, ledgerSize)
	seen := l.at(2, 10, 0)
	without := l.at(2, 20, 0)
	broken := l.at(2, 20, 10)
	broken.Consistency[0] = bytes.Clone(broken.Consistency[0])
	broken.Consistency[0][3] ^= 1
	const admin = "tell an admin"
	for what, test := range map[string]struct {
		seen, comes *wire.Checkpoint
		why         string // "": it is accepted
	}{
		"the first":                 {nil, l.at(2, 10, 0), ""},
		"a longer one":              {seen, l.at(2, 20, 10), ""},
		"the same":                  {seen, l.at(2, 10, 10), ""},
		"a shorter one":             {seen, l.at(2, 9, 0), "what this host saw at entry 10 "},
		"a fork of the same size":   {seen, fork.at(2, 10, 10), "what this host saw at entry 10 "},
		"a longer fork":             {seen, fork.at(2, 20, 10), "what this host saw at entry 10 "},
		"without its proof":         {seen, without, "what this host saw at entry 10 "},
		"with a broken proof":       {seen, broken, "what this host saw at entry 10 "},
		"none":                      {seen, nil, "no checkpoint"},
		"none, and none was":        {nil, nil, "no checkpoint"},
		"another log's":             {seen, other.at(2, 20, 10), "not signed by this audit log's key"},
		"rubbish":                   {seen, &wire.Checkpoint{Text: []byte("rubbish")}, "malformed"},
		"a proof of rubbish":        {seen, &wire.Checkpoint{Text: l.at(2, 20, 10).GetText(), Consistency: [][]byte{{1}}}, "malformed"},
		"a lower epoch":             {seen, l.at(1, 20, 10), "epoch 1"},
		"a higher epoch":            {seen, l.at(3, 20, 10), ""},
		"a higher epoch, shorter":   {seen, l.at(3, 2, 0), ""},
		"a higher epoch, by others": {seen, other.at(3, 20, 10), "not signed by this audit log's key"},
	} {
		w := l.knowing(t.TempDir(), test.seen)
		var before []byte
		if test.seen != nil {
			before = test.seen.GetText()
		}
		if got := w.show(nil); !bytes.Equal(got, before) {
			t.Fatalf("%s: it shows %q", what, got)
		}
		err := w.accept(nil, l.key, test.comes, true)
		if test.why == "" {
			onDisk, errDisk := os.ReadFile(w.path)
			if err != nil || errDisk != nil || !bytes.Equal(onDisk, test.comes.GetText()) || !bytes.Equal(w.show(nil), onDisk) {
				t.Errorf("%s: %v; the file has %q, %v", what, err, onDisk, errDisk)
			}
			continue
		}
		if !errors.Is(err, ErrLog) || !errors.Is(err, ErrNotReachable) || turnedAway(err) || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s: %v, want it refused because of %q", what, err, test.why)
		}
		if strings.Contains(test.why, "what this host saw") && !strings.Contains(err.Error(), admin) {
			t.Errorf("%s: %v does not say what to do", what, err)
		}
		if onDisk, _ := os.ReadFile(w.path); !bytes.Equal(onDisk, before) || !bytes.Equal(w.show(nil), before) {
			t.Errorf("%s: what was seen before is forgotten", what)
		}
	}
}

// TestWhenItIsWritten: each welcome, and else after five minutes.
func TestWhenItIsWritten(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	w := l.knowing(t.TempDir(), nil)
	clock := time.Now()
	w.now = func() time.Time { return clock }
	size := int64(0)
	for i, step := range []struct {
		later   time.Duration
		welcome bool
		written bool
	}{
		{0, true, true}, {time.Minute, false, false}, {3*time.Minute + 59*time.Second, false, false}, {time.Second, false, true},
		{time.Minute, false, false}, {0, true, true}, {4 * time.Minute, false, false}, {time.Minute, false, true},
	} {
		clock = clock.Add(step.later)
		c := l.at(1, size+1, size)
		if err := w.accept(nil, l.key, c, step.welcome); err != nil {
			t.Fatal(err)
		}
		size++
		onDisk, err := os.ReadFile(w.path)
		if err != nil || bytes.Equal(onDisk, c.GetText()) != step.written {
			t.Errorf("step %d: written %t, %v", i, !step.written, err)
		}
	}
}

// TestStatesOfTheFile: what a crash or a disk can leave, a host starts with, and goes on from there.
func TestStatesOfTheFile(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	other := newLedger(t, ledgerSize)
	for what, test := range map[string]struct {
		files map[string][]byte
		from  int64 // what it shows; 0: nothing
	}{
		"never written":             {nil, 0},
		"killed before it was kept": {map[string][]byte{checkpointFile: l.at(1, 10, 0).GetText()}, 10},
		"killed while writing":      {map[string][]byte{checkpointFile: l.at(1, 10, 0).GetText(), ".checkpoint.new-1": []byte("strong")}, 10},
		"killed afterwards":         {map[string][]byte{checkpointFile: l.at(1, 20, 0).GetText()}, 20},
		"left from another server":  {map[string][]byte{checkpointFile: other.at(1, 20, 0).GetText()}, 0},
		"damaged":                   {map[string][]byte{checkpointFile: []byte("strongroom-audit")}, 0},
		"too long":                  {map[string][]byte{checkpointFile: make([]byte, 1<<20)}, 0},
	} {
		state := t.TempDir()
		for name, text := range test.files {
			if err := os.WriteFile(filepath.Join(state, name), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w := l.knowing(state, nil)
		if shown := w.show(nil); (shown == nil) != (test.from == 0) || shown != nil && !bytes.Equal(shown, test.files[checkpointFile]) {
			t.Errorf("%s: it shows %q", what, shown)
		}
		if err := w.accept(nil, l.key, l.at(1, 20, test.from), true); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if again := l.knowing(state, nil); again.last.Size != 20 {
			t.Errorf("%s: afterwards it starts with %d entries", what, again.last.Size)
		}
	}
}

// TestOneConnectionIsListenedTo: proofs begin at what the newest connection was shown.
func TestOneConnectionIsListenedTo(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	w := l.knowing(t.TempDir(), l.at(1, 10, 0))
	old, next := &connection{}, &connection{}
	w.show(old)
	w.show(next)
	if err := w.accept(old, l.key, l.at(1, 15, 10), false); err != nil || w.last.Size != 10 {
		t.Errorf("on the old connection: %v, %d entries", err, w.last.Size)
	}
	if err := w.accept(next, l.key, l.at(1, 12, 10), true); err != nil || w.last.Size != 12 {
		t.Errorf("on the new connection: %v, %d entries", err, w.last.Size)
	}
}

// witnessing runs a host that has seen something of a log, and counts the times it was told what it may keep.
func (f *far) witnessing(logKey string, seen *wire.Checkpoint) (u *Uplink, kept *atomic.Int32) {
	f.t.Helper()
	state := f.enrolled(time.Now())
	s, key, err := readStored(filepath.Join(state, identityFile))
	f.must(err)
	s.LogKey = logKey
	f.must(writeStored(filepath.Join(state, identityFile), s, key))
	if seen != nil {
		f.must(os.WriteFile(filepath.Join(state, checkpointFile), seen.GetText(), 0o600))
	}
	u, kept = f.uplink(state, time.Now), new(atomic.Int32)
	u.Subscribe(Subscriber{
		Drop: func(string) {}, Held: func() []Held { return []Held{{Credential: "c1"}} }, Kept: func([]string) { kept.Add(1) },
	})
	f.run(u)
	return u, kept
}

// TestServerThatWasPutBack is not asked for anything, and not asked often; what is held stays.
func TestServerThatWasPutBack(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	fork, other := l.forked(5), newLedger(t, ledgerSize)
	for what, promise := range map[string]func(*wire.Hello, *wire.Welcome){
		"older":                                func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = l.key, l.at(1, 9, 0) },
		"forked":                               func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = l.key, fork.at(1, 20, 10) },
		"another key":                          func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = other.key, other.at(1, 20, 10) },
		"another key for the key's checkpoint": func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = other.key, l.at(1, 20, 10) },
		"none":                                 func(_ *wire.Hello, w *wire.Welcome) { w.LogKey = l.key },
		"of before":                            func(*wire.Hello, *wire.Welcome) {},
	} {
		t.Run(what, func(t *testing.T) {
			f := newFar(t)
			shown := make(chan []byte, 10)
			f.promise = func(h *wire.Hello, w *wire.Welcome) {
				shown <- h.GetCheckpoint()
				promise(h, w)
			}
			seen := l.at(1, 10, 0)
			u, kept := f.witnessing(l.key, seen)
			f.within("it says why", func() bool { return strings.HasPrefix(u.State().Why, ErrLog.Error()) })
			if s := u.State(); s.Connected || s.Revoked || !strings.Contains(s.Why, "admin") {
				t.Errorf("state: %+v", s)
			}
			if _, err := u.List(t.Context()); !errors.Is(err, ErrNotReachable) {
				t.Errorf("asked for something: %v", err)
			}
			if got := <-shown; !bytes.Equal(got, seen.GetText()) {
				t.Errorf("it showed %q", got)
			}
			time.Sleep(2 * firstRetry)
			if n := len(shown); n != 0 || kept.Load() != 0 {
				t.Errorf("it tried %d times more; what it holds was touched %d times", n, kept.Load())
			}
		})
	}
}

func TestCheckpointsThatArePushed(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	f := newFar(t)
	f.pushed = make(chan *wire.Checkpoint)
	f.promise = func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = l.key, l.at(1, 12, 10) }
	u, kept := f.witnessing(l.key, l.at(1, 10, 0))
	f.within("it is connected", func() bool { return u.State().Connected })
	size := u.witness.knows
	f.pushed <- l.at(1, 20, 12)
	f.within("it took the next", func() bool { return size() == 20 })
	f.pushed <- l.forked(15).at(1, 25, 20)
	f.within("it is gone", func() bool { return !u.State().Connected })
	if s := u.State(); s.Revoked || !strings.Contains(s.Why, "what this host saw at entry 20 ") || size() != 20 || kept.Load() != 1 {
		t.Errorf("state: %+v, %d entries, told what to keep %d times", s, size(), kept.Load())
	}
}

// TestLogKeyOnFirstUse: a host that joined before keys were told takes the first, for good.
func TestLogKeyOnFirstUse(t *testing.T) {
	t.Parallel()
	l, other := newLedger(t, ledgerSize), newLedger(t, ledgerSize)
	f := newFar(t)
	f.pushed = make(chan *wire.Checkpoint)
	f.promise = func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = l.key, l.at(1, 11, 0) }
	u, _ := f.witnessing("", nil)
	f.within("it is connected", func() bool { return u.State().Connected })
	f.pushed <- l.at(1, 12, 11) // by the same key
	f.within("it took the next", func() bool { return u.witness.knows() == 12 })
	time.Sleep(10 * u.look)
	f.mu.Lock()
	if n := len(f.watching); n != 1 || !u.State().Connected {
		t.Errorf("taking the key made %d connections", n)
	}
	f.mu.Unlock()
	state := u.identity().state
	id, err := LoadIdentity(state)
	if err != nil || id.stored.LogKey != l.key || newWitness(id, u.log).last.Size != 11 {
		t.Fatalf("it stored %q, %v", id.stored.LogKey, err)
	}
	f2 := newFar(t)
	f2.promise = func(_ *wire.Hello, w *wire.Welcome) { w.LogKey, w.Checkpoint = other.key, other.at(1, 30, 0) }
	u2, _ := f2.witnessing(id.stored.LogKey, nil)
	f2.within("it refuses another", func() bool { return strings.HasPrefix(u2.State().Why, ErrLog.Error()) })

	// The renewal of a certificate keeps it.
	next, err := id.nextKey()
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := id.renewed([][]byte{f.certify("host", "h1", &next.PublicKey, time.Now())}, next, time.Now())
	if err != nil || renewed.stored.LogKey != l.key {
		t.Errorf("after a renewal: %v", err)
	}
}

// TestRenewalBesideCheckpoints: going over to a new connection is no gap in the proofs.
func TestRenewalBesideCheckpoints(t *testing.T) {
	t.Parallel()
	l := newLedger(t, ledgerSize)
	f := newFar(t)
	var size atomic.Int64
	size.Store(10)
	f.promise = func(h *wire.Hello, w *wire.Welcome) {
		from := int64(0)
		if c, err := checkpoint.Parse(l.key, h.GetCheckpoint()); err == nil {
			from = int64(c.Size)
		}
		w.LogKey, w.Checkpoint = l.key, l.at(1, size.Add(1), from)
	}
	u, _ := f.witnessing("", nil) // takes the key first, which makes another identity
	f.within("it is connected", func() bool { return u.State().Connected })
	u.mu.Lock()
	due := *u.id
	due.due = time.Time{}
	u.id = &due
	u.mu.Unlock()
	f.within("it went over", func() bool { return len(f.watching) >= 2 })
	f.within("it is connected", func() bool { return u.State().Connected })
	if _, err := u.List(context.Background()); err != nil && !strings.Contains(err.Error(), "List") {
		t.Errorf("List: %v", err)
	}
}
