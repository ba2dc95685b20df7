package delivery

import (
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/wire"
)

// TestWelcomeProves: a host is told the log's key when it joins and again when it connects, and gets the checkpoint of
// now with the proof that it extends what the host saw.
func TestWelcomeProves(t *testing.T) {
	t.Parallel()
	f := open(t)
	seen := f.Checkpoints.Latest()
	a := f.enrol()
	if a.logKey != f.Log.LogKey() {
		t.Errorf("join tells the log key %q, want %q", a.logKey, f.Log.LogKey())
	}
	f.Checkpoints.Close() // signs a last time
	w := a.openSeen(seen.Text)
	got := f.read(w.GetCheckpoint(), w.GetLogKey())
	proof, err := checkpoint.Hashes(w.GetCheckpoint().GetConsistency())
	f.must(err)
	if err := got.Extends(seen.Checkpoint, proof); err != nil || got.Size <= seen.Size {
		t.Errorf("it has %d entries, the host saw %d: %v", got.Size, seen.Size, err)
	}
	if w := f.enrol().openSeen(nil); len(w.GetCheckpoint().GetConsistency()) != 0 || f.read(w.GetCheckpoint(), w.GetLogKey()).Size == 0 {
		t.Errorf("a host that saw nothing is told %v", w.GetCheckpoint())
	}
}

// TestPushedCheckpoints: each is proven from the one before, once the log has grown.
func TestPushedCheckpoints(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	w := a.openSeen(nil)
	told := f.read(w.GetCheckpoint(), w.GetLogKey())
	for range 2 {
		_, err := f.Log.Append(t.Context(), audit.Entry{Actor: "alice", Action: "user.login", Outcome: audit.Allowed})
		f.must(err)
		// A proof of that entry needs a checkpoint of now, and whoever shows it gets it proven.
		p, err := f.Checkpoints.Prove(t.Context(), f.Log.Size())
		f.must(err)
		_, _, err = f.Checkpoints.Since(t.Context(), "h0", []byte(p.Checkpoint))
		f.must(err)
		signal(f.delivery.grown)
		signal(f.delivery.grown)
		c := a.next().GetCheckpoint()
		proof, err := checkpoint.Hashes(c.GetConsistency())
		f.must(err)
		next := f.read(c, f.Log.LogKey())
		if err := next.Extends(told, proof); err != nil || next.Size <= told.Size {
			t.Fatalf("from %d to %d: %v", told.Size, next.Size, err)
		}
		told = next
	}
	if f.Checkpoints.Behind() != "" {
		t.Error(f.Checkpoints.Behind())
	}
}

func (f *fixture) read(c *wire.Checkpoint, logKey string) checkpoint.Checkpoint {
	f.t.Helper()
	got, err := checkpoint.Parse(logKey, c.GetText())
	f.must(err)
	return got
}
