package audit

import (
	"errors"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/barrier"
)

func TestRollback(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	empty := s.image()
	s.put("n1")
	story(t, s.Log, s.keys)
	older := s.image()
	s.put("n2")
	story(t, s.Log, s.keys)
	old := s.image()
	s.put("n3")
	s.add(3)
	story(t, s.Log, s.keys)
	now := s.image()

	// Another log of the same vault, of the same length, and one that shares the beginning and then differs.
	other := newLog(t, 2000)
	other.add(int(s.Size()))
	fork := s.open(folder(t, old.log), 2000)
	for range 6 {
		add(t, fork)
	}
	for _, test := range []struct {
		name string
		image
		want error
	}{
		{"nothing", now, nil},
		{"entries after the last change missing", now.without(3), nil},
		{"log older by a change", image{old.log, now.store}, ErrLogRolledBack},
		{"log older by two changes", image{older.log, now.store}, ErrLogRolledBack},
		{"log emptied", image{empty.log, now.store}, ErrLogRolledBack},
		{"log of another origin", image{files(t, other.dir), now.store}, ErrLogRolledBack},
		{"log that forked", image{files(t, fork.dir), now.store}, ErrLogRolledBack},
		{"vault older by a change", image{now.log, old.store}, ErrVaultRolledBack},
		{"vault older by two changes", image{now.log, older.store}, ErrVaultRolledBack},
		{"vault of the beginning", image{now.log, empty.store}, ErrVaultRolledBack},
		{"both older", old, nil},
	} {
		log, _, err := s.reconcile(test.image)
		if !errors.Is(err, test.want) || (test.want == nil) != (err == nil) {
			t.Errorf("%s: %v", test.name, err)
		}
		keys := s.keys
		if test.name == "log of another origin" {
			keys = other.keys
		}
		lines := story(t, log, keys)
		last := ""
		if len(lines) > 0 {
			last = lines[len(lines)-1]
		}
		if told := strings.HasPrefix(last, "failed "); told != (test.want != nil) {
			t.Errorf("%s: the log ends with %q", test.name, last)
		}
	}
}

// TestChangeBesideTheLog: a vault that went on without the log is not taken for one that goes with it.
func TestChangeBesideTheLog(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	err := s.vault.Update(func(tx *barrier.Tx) error { return tx.Put(noteKind, "n2", []byte("text")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reconcile(t.Context(), s.vault); !errors.Is(err, ErrLogRolledBack) {
		t.Errorf("Reconcile: %v", err)
	}
}
