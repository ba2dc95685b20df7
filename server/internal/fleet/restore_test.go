package fleet_test

import (
	"errors"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
)

// putBack is what a restore does, with how many hosts and join tokens it finds.
func putBack(t *testing.T, r *roomtest.Rooms, clock *roomtest.Clock, hosts, joinTokens int) *fleet.Fleet {
	t.Helper()
	entry := audit.Entry{Actor: "system", Action: "vault.restore", Outcome: audit.Allowed}
	h, j, err := fleet.Restore(t.Context(), r.Barrier, r.Log, entry)
	if err != nil || h != hosts || j != joinTokens {
		t.Errorf("%d hosts, %d join tokens, %v; want %d and %d", h, j, err, hosts, joinTokens)
	}
	return reopen(t, r, clock)
}

// A host renewed twice since the backup, which has another renewal of it under way: its certificate is good once, and
// what is older than that is a clone's as ever.
func TestRestoredHostShowsALaterCertificate(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	first, host := enrolled(t, f)
	first.renew(t, f, clock) // whose answer was lost, so the host had another key certified
	later := shown(t, first.chain, clock)
	later.Generation, later.Key = 2, [32]byte{9}
	if _, err := f.Check(later); !errors.Is(err, fleet.ErrSuperseded) {
		t.Fatalf("the control: without a restore it is %v", err)
	}
	f = putBack(t, r, clock, 1, 1)
	if _, err := f.Admit(t.Context(), later); err != nil {
		t.Errorf("the later one: %v", err)
	}
	logged(t, r, host, "host.switch", audit.Allowed, "generation 2 is in use, the ones before have ended")
	if h, err := f.Get(host); err != nil || h.Restored || h.Generation != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	clock.Add(time.Second)
	if err := first.call(t, f, clock); !errors.Is(err, fleet.ErrFrozen) {
		t.Errorf("the one before: %v", err)
	}
}

// A host that has the certificate of then is back with it, once and for all.
func TestRestoredHostIsBack(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	first, host := enrolled(t, f)
	f = putBack(t, r, clock, 1, 1)
	told := 0
	f.OnChange(func(string) { told++ })
	for range 2 {
		if err := first.call(t, f, clock); err != nil {
			t.Error(err)
		}
	}
	logged(t, r, host, "host.return", audit.Allowed, "generation 1, the first time since the vault was restored")
	size := r.Log.Size()
	if err := first.call(t, f, clock); err != nil || r.Log.Size() != size || told != 0 {
		t.Errorf("a later call: %v, %d entries more, told %d times", err, r.Log.Size()-size, told)
	}
	first.renew(t, f, clock)
	late := shown(t, first.chain, clock)
	late.Generation, late.Key = 2, [32]byte{9}
	if _, err := f.Check(late); !errors.Is(err, fleet.ErrSuperseded) {
		t.Errorf("a later certificate than its own, after it is back: %v", err)
	}
}

func TestRestoreKeepsWhatWasStopped(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	first, host := enrolled(t, f)
	if err := f.Revoke(t.Context(), admin, host); err != nil {
		t.Fatal(err)
	}
	token := newToken(t, f, 1)
	f = putBack(t, r, clock, 1, 2)
	c := shown(t, first.chain, clock)
	c.Generation = 7
	for _, c := range []fleet.Certificate{c, shown(t, first.chain, clock)} {
		if _, err := f.Admit(t.Context(), c); !errors.Is(err, fleet.ErrRevoked) {
			t.Errorf("generation %d of a host that was revoked: %v", c.Generation, err)
		}
	}
	if _, err := join(t, f, token, newKey(t)); !errors.Is(err, fleet.ErrJoin) {
		t.Errorf("a join token of then: %v", err)
	}
	putBack(t, r, clock, 0, 0) // again, after a crash
}

// More records than a transaction takes.
func TestRestoreOfManyHosts(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	for range 170 {
		newToken(t, f, 1)
	}
	putBack(t, r, clock, 0, 170)
}
