package uplink

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

// Each state that a crash can leave the folder in: the host starts, and its next
// renewal asks with the key that an earlier one may have asked with.
func TestStatesOfARenewal(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	next := f.newKey()
	write := func(name string, s stored) func(string) {
		return func(state string) { f.must(writeStored(filepath.Join(state, name), s, next)) }
	}
	text := func(content string) func(string) {
		return func(state string) {
			f.must(os.WriteFile(filepath.Join(state, nextFile), []byte(content), 0o600))
		}
	}
	for _, s := range []struct {
		what    string
		crash   func(state string)
		current bool // the renewed key is the host's
		pending bool // it is asked with again
		kept    bool // next.json is there after the start
	}{
		{"nothing begun", func(string) {}, false, false, false},
		{"while next.json was written", func(state string) {
			f.must(os.WriteFile(filepath.Join(state, ".next.json.new-1"), []byte(`{"form`), 0o600))
		}, false, false, false},
		{"before or after asking", write(nextFile, stored{Host: "h1"}), false, true, true},
		{"while identity.json was written", func(state string) {
			write(nextFile, stored{Host: "h1"})(state)
			f.must(os.WriteFile(filepath.Join(state, ".identity.json.new-1"), []byte(`{"form`), 0o600))
		}, false, true, true},
		{"before next.json was removed", func(state string) {
			write(nextFile, stored{Host: "h1"})(state)
			id, err := LoadIdentity(state)
			f.must(err)
			id.stored.Certificates = [][]byte{f.certify("host", "h1", &next.PublicKey, time.Now())}
			write(identityFile, id.stored)(state)
		}, true, false, false},
		{"left from an earlier enrolment", write(nextFile, stored{Host: "h0"}), false, false, false},
		{"next.json is damaged", text(`{"format": 1, "host": "h1", "key": "AAAA"}`), false, false, true},
		{"next.json is empty", text(""), false, false, true},
	} {
		t.Run(s.what, func(t *testing.T) {
			state := f.enrolled(time.Now())
			s.crash(state)
			id, err := LoadIdentity(state)
			if err != nil {
				t.Fatal(err)
			}
			if id.key.Equal(next) != s.current {
				t.Errorf("it starts with the renewed key: %t, want %t", !s.current, s.current)
			}
			_, err = os.Stat(filepath.Join(state, nextFile))
			if errors.Is(err, fs.ErrNotExist) == s.kept {
				t.Errorf("next.json: %v, want it there: %t", err, s.kept)
			}
			key, err := id.nextKey()
			if err != nil {
				t.Fatal(err)
			}
			if key.Equal(next) != s.pending || key.Equal(id.key) {
				t.Errorf("it asks with the pending key: %t, want %t; with the current one: %t", key.Equal(next), s.pending, key.Equal(id.key))
			}
			// What it asks with is durable.
			id, err = LoadIdentity(state)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := id.nextKey(); err != nil || !again.Equal(key) {
				t.Errorf("after another crash it asks with another key, %v", err)
			}
		})
	}
}

// A certificate that is of no use never takes the place of one that is.
func TestUselessCertificatesAreNotStored(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	state := f.enrolled(time.Now())
	id, err := LoadIdentity(state)
	f.must(err)
	before, err := os.ReadFile(filepath.Join(state, identityFile))
	f.must(err)
	key, err := id.nextKey()
	f.must(err)
	for what, chain := range map[string][][]byte{
		"none": nil, "garbage": {[]byte("garbage")},
		"another host's": {f.certify("host", "h2", &key.PublicKey, time.Now())},
		"another key's":  {f.certify("host", "h1", &f.newKey().PublicKey, time.Now())},
	} {
		if _, err := id.renewed(chain, key, time.Now()); err == nil || !strings.Contains(err.Error(), "of no use") {
			t.Errorf("%s: %v", what, err)
		}
	}
	after, err := os.ReadFile(filepath.Join(state, identityFile))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("identity.json changed, %v", err)
	}
}

func TestRenewalIsDueAtHalfLifeAndSpread(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	from := time.Now().Add(-time.Hour).Round(time.Second)
	dues := map[time.Time]bool{}
	for range 20 {
		id, err := LoadIdentity(f.enrolled(from))
		f.must(err)
		if after := id.due.Sub(from); after < 12*time.Hour || after >= 12*time.Hour+144*time.Minute {
			t.Errorf("due after %s, want 12h to 14h24m", after)
		}
		dues[id.due] = true
	}
	if len(dues) < 15 {
		t.Errorf("20 hosts renew at %d different times", len(dues))
	}
	// This host's clock is a day ahead: it does not renew all the time.
	id, err := LoadIdentity(f.enrolled(from))
	f.must(err)
	key, err := id.nextKey()
	f.must(err)
	ahead := from.Add(25 * time.Hour)
	id, err = id.renewed([][]byte{f.certify("host", "h1", &key.PublicKey, from)}, key, ahead)
	if err != nil || id.due.Before(ahead.Add(12*time.Hour)) {
		t.Errorf("due %s after it was renewed, %v", id.due.Sub(ahead), err)
	}
}

// clock runs, and can be set.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func TestRenewsWhileConnected(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.lose = 2
	state := f.enrolled(time.Now().Add(-time.Hour))
	var c clock
	u := f.uplink(state, c.now)
	first := u.identity()
	var wiped, disconnected atomic.Int32
	kept := make(chan []string, 9)
	u.Subscribe(Subscriber{
		Drop: func(string) { wiped.Add(1) },
		Held: func() []Held { return []Held{{Credential: "c1", Version: 7, Terms: []byte("terms")}} },
		Kept: func(ids []string) {
			if ids == nil {
				wiped.Add(1)
			}
			kept <- ids
		},
	})
	f.run(u)
	f.within("connected", func() bool { return u.State().Connected })
	since := u.State().Since
	time.Sleep(50 * time.Millisecond)
	f.mu.Lock()
	if len(f.asked) != 0 {
		t.Error("it renewed before half its life")
	}
	f.mu.Unlock()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if !u.State().Connected {
				disconnected.Add(1)
			}
			if _, err := u.Lease(context.Background(), "crm", grant.Job{User: "etl"}); err != nil {
				t.Errorf("a job asked while the certificate was renewed: %v", err)
			}
		}
	}()
	c.ahead.Store(int64(14 * time.Hour))
	f.within("a watch with the new key", func() bool { return len(f.watching) == 2 })
	f.within("the new certificate", func() bool { return !u.State().Expires.Equal(first.Expires) })
	f.within("the end of going over", func() bool { return len(kept) == 2 })
	close(stop)
	<-stopped
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) != 3 || !bytes.Equal(f.asked[0], f.asked[1]) || !bytes.Equal(f.asked[0], f.asked[2]) || !bytes.Equal(f.asked[0], f.watching[1]) {
		t.Errorf("%d renewals, want 3 with one key, since two answers were lost, and the watch with it", len(f.asked))
	}
	if len(f.watching) == 2 && bytes.Equal(f.watching[0], f.watching[1]) {
		t.Error("the key is the old one")
	}
	if h := f.presents[1]; len(h) != 1 || h[0].GetCredential() != "c1" || h[0].GetVersion() != 7 || string(h[0].GetTerms()) != "terms" {
		t.Errorf("presented %v", h)
	}
	if len(kept) != 2 || !slices.Equal(<-kept, []string{"c1"}) || !slices.Equal(<-kept, []string{"c1"}) {
		t.Error("what the server confirmed at each of the two connections is not kept")
	}
	if wiped.Load() != 0 || disconnected.Load() != 0 || !u.State().Since.Equal(since) {
		t.Errorf("dropped %d, disconnected %d, since %s: want nothing lost", wiped.Load(), disconnected.Load(), u.State().Since)
	}
	if _, err := os.Stat(filepath.Join(state, nextFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("next.json: %v, want it gone", err)
	}
	id, err := LoadIdentity(state)
	if err != nil || !id.key.Equal(u.identity().key) || id.key.Equal(first.key) {
		t.Errorf("after a restart it would not go on with the new key: %v", err)
	}
}

// A question that the server no longer answers on the old connection waits until
// the new one is welcomed.
func TestQuestionsWaitForTheNewConnection(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	var c clock
	u := f.uplink(f.enrolled(time.Now()), c.now)
	f.run(u)
	f.within("connected", func() bool { return u.State().Connected })
	f.mu.Lock()
	f.welcome = make(chan struct{})
	f.mu.Unlock()
	c.ahead.Store(int64(15 * time.Hour))
	f.within("a watch with the new key", func() bool { return len(f.watching) == 2 })
	go func() {
		time.Sleep(200 * time.Millisecond)
		close(f.welcome)
	}()
	if _, err := u.Lease(t.Context(), "crm", grant.Job{User: "etl"}); err != nil {
		t.Error(err)
	}
}

func TestRecoversAfterItsCertificateEnded(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.lose = 1
	state := f.enrolled(time.Now().Add(-72 * time.Hour))
	u := f.uplink(state, time.Now)
	old := u.identity().key
	f.run(u)
	f.within("connected", func() bool { return u.State().Connected })
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) != 2 || !bytes.Equal(f.asked[0], f.asked[1]) || !bytes.Equal(f.asked[1], f.watching[0]) {
		t.Errorf("asked %d times, want twice with one key, since an answer was lost, and the watch with it", len(f.asked))
	}
	der, err := x509.MarshalPKIXPublicKey(&old.PublicKey)
	if err != nil || bytes.Equal(der, f.asked[0]) {
		t.Errorf("the key is the old one, %v", err)
	}
	if left := time.Until(u.State().Expires); left < 23*time.Hour {
		t.Errorf("the certificate ends in %s", left)
	}
}

// A certificate that is good by this host's clock, but perhaps not by the
// server's, is recovered from where connecting fails.
func TestRecoveryShortlyBeforeTheEnd(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	for _, c := range []struct {
		left  time.Duration
		again bool
		asked int
	}{{time.Hour, false, 0}, {time.Hour, true, 1}, {3 * time.Hour, true, 0}, {-time.Second, false, 1}} {
		u := f.uplink(f.enrolled(time.Now().Add(c.left-24*time.Hour)), time.Now)
		f.asked = nil
		if err := u.recoverEnded(t.Context(), c.again); err != nil || len(f.asked) != c.asked {
			t.Errorf("%s left, again %t: asked %d times, want %d; %v", c.left, c.again, len(f.asked), c.asked, err)
		}
	}
	f.lose = 2
	if err := f.uplink(f.enrolled(time.Now().Add(time.Hour-24*time.Hour)), time.Now).recoverEnded(t.Context(), true); err != nil {
		t.Errorf("with an hour left: %v, want that it connects all the same", err)
	}
	if err := f.uplink(f.enrolled(time.Now().Add(-48*time.Hour)), time.Now).recoverEnded(t.Context(), false); !errors.Is(err, ErrNotReachable) {
		t.Errorf("%v, want ErrNotReachable", err)
	}
}

func TestRefusedRecoveryWipes(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.refuse = status.Error(codes.PermissionDenied, "this host cannot recover its certificate: enrol it again")
	u := f.uplink(f.enrolled(time.Now().Add(-48*time.Hour)), time.Now)
	wiped := make(chan struct{}, 9)
	u.to.Kept = func(ids []string) {
		if ids == nil {
			wiped <- struct{}{}
		}
	}
	f.run(u)
	const why = "the server did not renew the certificate of this host, which has ended: enrol it again"
	select {
	case <-wiped:
		if s := u.State(); !s.Revoked || s.Why != why {
			t.Errorf("wiped, %+v", s)
		}
	case <-time.After(time.Minute):
		t.Fatal("what it holds is not wiped")
	}
}

func TestFrozenIsTurnedAway(t *testing.T) {
	t.Parallel()
	f := newFar(t)
	f.wipe = wire.MessageFrozen
	u := f.uplink(f.enrolled(time.Now()), time.Now)
	f.run(u)
	f.within("turned away", func() bool { s := u.State(); return s.Revoked && s.Why == wire.MessageFrozen })
	err := toError(status.Error(codes.PermissionDenied, wire.MessageFrozen))
	if !errors.Is(err, ErrFrozen) || !turnedAway(err) || turnedAway(ErrRefused) || turnedAway(ErrNotReachable) {
		t.Errorf("%v", err)
	}
}
