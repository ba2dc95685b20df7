// Package roomtest opens the lower rooms on a temporary folder for the tests of the rooms above them: a real store, whose
// updates run twice as an engine may have them, barrier and log, no doubles. Only tests import it.
package roomtest

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/store/storetest"
	"github.com/strongroom/strongroom/shared/secret"
)

// Vault is the ID of the vault that Open makes.
const Vault = "00112233445566778899aabbccddeeff"

// Rooms is what Open made.
type Rooms struct {
	Dir         string
	Arena       *secret.Arena
	Barrier     *barrier.Barrier
	Log         *audit.Log
	Keys        audit.Keys
	Checkpoints *audit.Checkpoints
}

// Open makes an empty vault and its log, and closes both when the test ends.
func Open(t testing.TB) *Rooms {
	t.Helper()
	r := &Rooms{Dir: t.TempDir()}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	var err error
	r.Arena, err = secret.NewArena(1 << 20)
	must(err)
	t.Cleanup(func() { _ = r.Arena.Close() })
	db, err := store.Create(filepath.Join(r.Dir, "vault.db"))
	must(err)
	t.Cleanup(func() { _ = db.Close() })
	root, err := r.Arena.Random(32)
	must(err)
	r.Barrier, err = barrier.Create(storetest.Rerun(t, db), r.Arena, root, Vault)
	must(err)
	t.Cleanup(func() { r.Barrier.Close() })
	r.Keys, _, err = audit.Create(filepath.Join(r.Dir, "audit"), r.Arena, Vault)
	must(err)
	r.Log, err = audit.Open(filepath.Join(r.Dir, "audit"), r.Arena)
	must(err)
	t.Cleanup(func() { _ = r.Log.Close() })
	r.Checkpoints, err = r.Log.Checkpoints(t.Context(), r.Keys, r.Barrier.Epoch())
	must(err)
	t.Cleanup(r.Checkpoints.Close)
	return r
}

// repeated is what the log adds to the reason of refusals that repeat themselves.
var repeated = regexp.MustCompile(` \([0-9]+ more in the last minute\)$`)

// Newest returns the newest entries of the log, the last one first. A refusal that was only counted until now shows as
// an entry like any other.
func (r *Rooms) Newest(t testing.TB, n int) []audit.Entry {
	t.Helper()
	r.Log.FlushRefusals()
	page, err := r.Log.Read(context.Background(), r.Keys, audit.Query{Limit: n})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range page.Items {
		page.Items[i].Reason = repeated.ReplaceAllString(e.Reason, "")
	}
	return page.Items
}

// Clock is a clock that stands still until it is moved.
type Clock struct{ At time.Time }

// NewClock starts at a date that no test depends on.
func NewClock() *Clock { return &Clock{At: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time { return c.At }

// Add moves it.
func (c *Clock) Add(d time.Duration) { c.At = c.At.Add(d) }

// Measure does something as often as the benchmark wants it, and reports the median and the slowest hundredth.
func Measure(b *testing.B, do func(n int)) {
	b.Helper()
	var took []time.Duration
	n := 0
	for b.Loop() {
		began := time.Now()
		do(n)
		took = append(took, time.Since(began))
		n++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
