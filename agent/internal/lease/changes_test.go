package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
)

type awaited struct {
	now Version
	err error
}

// awaiting calls Await, and answers once it has begun to wait.
func (f *fixture) awaiting(ctx context.Context, ref string, job grant.Job, have Version) <-chan awaited {
	f.t.Helper()
	out := make(chan awaited, 1)
	go func() {
		now, err := f.Await(ctx, ref, job, have)
		out <- awaited{now, err}
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		waits := f.next != nil
		f.mu.Unlock()
		if waits {
			f.wantWaiting(out, "at first") // which lets it look
			return out
		}
		if time.Now().After(deadline) {
			f.t.Fatal("nobody waits")
		}
	}
}

func (f *fixture) wantAnswer(out <-chan awaited, want Version, is error) {
	f.t.Helper()
	select {
	case got := <-out:
		if got.now != want || !errors.Is(got.err, is) {
			f.t.Errorf("%+v; want %+v, %v", got, want, is)
		}
	case <-time.After(time.Minute):
		f.t.Fatal("it still waits")
	}
}

func (f *fixture) wantWaiting(out <-chan awaited, when string) {
	f.t.Helper()
	select {
	case got := <-out:
		f.t.Errorf("%s: %+v; want it to wait", when, got)
	case <-time.After(50 * time.Millisecond):
	}
}

// holdVersion puts a version into the cache as if it had just come.
func (f *fixture) holdVersion(id, name string, version uint64, grants ...grant.Grant) {
	f.t.Helper()
	l := f.leased(id, name, "tok", grants...)
	l.Version = version
	f.mu.Lock()
	epoch := f.epoch
	f.mu.Unlock()
	if err := f.keep(l, name, f.at, epoch); err != nil {
		f.t.Fatal(err)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	f := open(t)
	anybody := allowing("g", time.Hour, 0)
	f.hold("c1", "crm", "tok", anybody)
	f.hold("c2", "erp", "tok", anybody)
	if now, err := f.Await(t.Context(), "crm", etl, Version{"crm", 7}); err != nil || now != (Version{"crm", 1}) {
		t.Errorf("what changed before: %+v, %v", now, err)
	}
	if now, err := f.Await(t.Context(), "crm", etl, Version{"", 7}); err != nil || now != (Version{"crm", 1}) {
		t.Errorf("without a name: %+v, %v", now, err)
	}
	out := f.awaiting(t.Context(), "crm", etl, Version{"crm", 1})
	f.drop("c2")
	f.wantWaiting(out, "another credential was dropped")
	f.drop("c1")
	f.wantWaiting(out, "dropped, and the server is away")
	f.holdVersion("c1", "crm", 2, anybody)
	f.drop("c9")
	f.wantAnswer(out, Version{"crm", 2}, nil)

	// What a reference stands for is another credential, of the same version.
	out = f.awaiting(t.Context(), "erp", etl, Version{"erp-old", 2})
	f.holdVersion("c3", "erp", 2, anybody)
	f.kept([]string{"c1", "c3"})
	f.wantAnswer(out, Version{"erp", 2}, nil)
}

func TestAwaitEnds(t *testing.T) {
	t.Parallel()
	f := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.hold("c1", "crm", "tok", allowing("g", time.Hour, 0))
	out := f.awaiting(ctx, "crm", etl, Version{"crm", 1})
	cancel()
	f.wantAnswer(out, Version{}, context.Canceled)

	// Nothing is held, and nobody can be asked: it waits.
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Await(ctx, "none", etl, Version{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a server: %v", err)
	}
}

func TestAwaitIsJudged(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.hold("c1", "crm", "tok", allowing("g", time.Hour, 0, "etl"))
	if _, err := f.Await(t.Context(), "crm", bob, Version{"crm", 1}); !errors.Is(err, uplink.ErrRefused) {
		t.Errorf("another user: %v", err)
	}
	out := f.awaiting(t.Context(), "crm", etl, Version{"crm", 1})
	f.drop("c1")
	f.holdVersion("c1", "crm", 1, allowing("g", time.Hour, 0, "bob")) // the same version, for somebody else
	f.kept([]string{"c1"})
	f.wantAnswer(out, Version{}, uplink.ErrRefused)
}
