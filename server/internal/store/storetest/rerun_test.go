package storetest

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

func openRerunning(t *testing.T) store.Store {
	t.Helper()
	db, err := store.Create(filepath.Join(t.TempDir(), "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return Rerun(t, db)
}

// Every function runs twice, also one that fails, and the second run's end is the update's.
func TestRerun(t *testing.T) {
	t.Parallel()
	s := openRerunning(t)
	first, second := errors.New("first"), errors.New("second")
	for _, c := range []struct{ ends [2]error }{
		{[2]error{nil, nil}},
		{[2]error{first, nil}},
		{[2]error{nil, second}},
		{[2]error{first, second}},
	} {
		runs := 0
		err := s.Update(func(store.Tx) error { runs++; return c.ends[runs-1] })
		if runs != 2 || !errors.Is(err, c.ends[1]) || errors.Is(err, first) {
			t.Errorf("%v: %d runs, %v", c.ends, runs, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(func(store.Tx) error { t.Error("ran"); return nil }); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}
