// Package storetest holds every engine of the store to what store.Store promises, and has one of its own, which runs
// closures again, for the tests of the rooms above. Only tests import it.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

// Conformance is what every engine has to do. open opens the store that belongs to a folder, an empty one at first, and
// sees to it that it is closed when the test ends.
func Conformance(t *testing.T, open func(t *testing.T, dir string) store.Store) {
	for name, check := range map[string]func(*testing.T, store.Store){
		"values come back":            valuesComeBack,
		"a failed update is undone":   failedUpdateIsUndone,
		"a view does not change":      viewDoesNotChange,
		"a view runs once":            viewRunsOnce,
		"views cannot write":          viewsCannotWrite,
		"scan goes by prefix":         scanGoesByPrefix,
		"scan begins where told":      scanBeginsWhereTold,
		"scan ends where told":        scanEndsWhereTold,
		"limits":                      limits,
		"slices stay the caller's":    slicesStayTheCallers,
		"a panic undoes and goes on":  panicUndoesAndGoesOn,
		"closed":                      closed,
		"updates run one at a time":   updatesRunOneAtATime,
		"an update's last run counts": lastRunCounts,
		"no write while scanning":     noWriteWhileScanning,
		"reserved keys are not there": reservedKeys,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t, t.TempDir()))
		})
	}
	t.Run("what was written outlives closing", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		s := open(t, dir)
		put(t, s, "a", "1")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		wantValue(t, open(t, dir), "a", "1")
	})
}

func put(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if err := s.Update(func(tx store.Tx) error { return tx.Put([]byte(key), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	err := s.View(func(tx store.Tx) error {
		if got := tx.Get([]byte(key)); string(got) != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func valuesComeBack(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	put(t, s, "a", "2")
	put(t, s, "empty", "")
	wantValue(t, s, "a", "2")
	err := s.View(func(tx store.Tx) error {
		if v := tx.Get([]byte("empty")); v == nil || len(v) != 0 {
			t.Errorf("empty value: %#v", v)
		}
		if v := tx.Get([]byte("none")); v != nil {
			t.Errorf("absent key: %#v", v)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = s.Update(func(tx store.Tx) error {
		return errors.Join(tx.Delete([]byte("a")), tx.Delete([]byte("none")))
	})
	if err != nil {
		t.Error(err)
	}
	wantValue(t, s, "a", "")
}

func failedUpdateIsUndone(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	no := errors.New("no")
	err := s.Update(func(tx store.Tx) error {
		if err := errors.Join(tx.Put([]byte("a"), []byte("2")), tx.Put([]byte("b"), []byte("2"))); err != nil {
			t.Error(err)
		}
		if got := tx.Get([]byte("a")); string(got) != "2" {
			t.Errorf("its own write: %q", got)
		}
		return no
	})
	if !errors.Is(err, no) {
		t.Error(err)
	}
	wantValue(t, s, "a", "1")
	wantValue(t, s, "b", "")
}

func viewDoesNotChange(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	err := s.View(func(tx store.Tx) error {
		done := make(chan struct{})
		go func() { defer close(done); put(t, s, "a", "2") }()
		<-done
		if got := tx.Get([]byte("a")); string(got) != "1" {
			t.Errorf("a changed under a view: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wantValue(t, s, "a", "2")
}

func viewRunsOnce(t *testing.T, s store.Store) {
	runs := 0
	if err := s.View(func(store.Tx) error { runs++; return nil }); err != nil || runs != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

func viewsCannotWrite(t *testing.T, s store.Store) {
	err := s.View(func(tx store.Tx) error {
		if tx.Put([]byte("a"), nil) == nil || tx.Delete([]byte("a")) == nil {
			t.Error("a view wrote")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	put(t, s, "a", "1") // and the store is still of use
}

func keys(t *testing.T, s store.Store, prefix string) []string {
	t.Helper()
	var found []string
	err := s.View(func(tx store.Tx) error {
		return tx.Scan([]byte(prefix), func(k, v []byte) error {
			found = append(found, string(k)+"="+string(v))
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

func scanGoesByPrefix(t *testing.T, s store.Store) {
	for _, k := range []string{"b/2", "a", "b/1", "b", "c/1", "b0", "b/10", "\xff"} {
		put(t, s, k, "v"+k)
	}
	if got := keys(t, s, "b/"); !slices.Equal(got, []string{"b/1=vb/1", "b/10=vb/10", "b/2=vb/2"}) {
		t.Errorf("b/: %q", got)
	}
	want := []string{"a=va", "b=vb", "b/1=vb/1", "b/10=vb/10", "b/2=vb/2", "b0=vb0", "c/1=vc/1", "\xff=v\xff"}
	if got := keys(t, s, ""); !slices.Equal(got, want) {
		t.Errorf("all: %q", got)
	}
	if got := keys(t, s, "d"); got != nil {
		t.Errorf("d: %q", got)
	}
}

func scanBeginsWhereTold(t *testing.T, s store.Store) {
	for _, k := range []string{"c", "a", "b/1", "b"} {
		put(t, s, k, "")
	}
	for first, want := range map[string]string{"": "a b b/1 c ", "b": "b b/1 c ", "b/0": "b/1 c ", "d": ""} {
		var found string
		err := s.View(func(tx store.Tx) error {
			return tx.ScanFrom([]byte(first), func(k, _ []byte) error { found += string(k) + " "; return nil })
		})
		if err != nil || found != want {
			t.Errorf("from %q: %q, %v, want %q", first, found, err, want)
		}
	}
}

func scanEndsWhereTold(t *testing.T, s store.Store) {
	put(t, s, "a", "")
	put(t, s, "b", "")
	enough, seen := errors.New("enough"), 0
	err := s.View(func(tx store.Tx) error {
		return tx.Scan(nil, func(_, _ []byte) error { seen++; return enough })
	})
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("%v after %d", err, seen)
	}
}

func limits(t *testing.T, s store.Store) {
	try := func(key, value []byte) error {
		return s.Update(func(tx store.Tx) error { return tx.Put(key, value) })
	}
	if err := try(bytes.Repeat([]byte("k"), 1023), make([]byte, 1048575)); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct{ key, value []byte }{
		{bytes.Repeat([]byte("k"), 1024), nil},
		{nil, nil},
		{[]byte("\x00format"), []byte{0, 0, 0, 9}},
		{[]byte("k"), make([]byte, 1048576)},
	} {
		if err := try(tc.key, tc.value); !errors.Is(err, store.ErrLimit) {
			t.Errorf("key of %d, value of %d: %v", len(tc.key), len(tc.value), err)
		}
	}
	write := func(n int) error {
		return s.Update(func(tx store.Tx) error {
			for i := range n {
				if err := tx.Put(fmt.Appendf(nil, "n%d", i), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := write(100); err != nil {
		t.Error(err)
	}
	if err := write(101); !errors.Is(err, store.ErrLimit) {
		t.Error(err)
	}
}

func slicesStayTheCallers(t *testing.T, s store.Store) {
	err := s.Update(func(tx store.Tx) error {
		key, value := []byte("key"), []byte("value")
		err := tx.Put(key, value)
		copy(key, "xxx")
		copy(value, "xxxxx")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wantValue(t, s, "key", "value")
}

func panicUndoesAndGoesOn(t *testing.T, s store.Store) {
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("the caller's panic became %v", p)
			}
		}()
		_ = s.Update(func(tx store.Tx) error {
			_ = tx.Put([]byte("a"), []byte("1"))
			panic("mine")
		})
	}()
	wantValue(t, s, "a", "")
	put(t, s, "a", "2")
	wantValue(t, s, "a", "2")
}

func closed(t *testing.T, s store.Store) {
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	nothing := func(store.Tx) error { t.Error("ran"); return nil }
	if err := s.View(nothing); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	if err := s.Update(nothing); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
}

func updatesRunOneAtATime(t *testing.T, s store.Store) {
	put(t, s, "n", "")
	const writers = 8
	done := make(chan error)
	for range writers {
		go func() {
			done <- s.Update(func(tx store.Tx) error {
				return tx.Put([]byte("n"), append(tx.Get([]byte("n")), 'x'))
			})
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wantValue(t, s, "n", "xxxxxxxx")
}

// lastRunCounts demands that a run begins without the writes of the run before, and that those of the last are kept.
func lastRunCounts(t *testing.T, s store.Store) {
	runs := 0
	err := s.Update(func(tx store.Tx) error {
		runs++
		if found := tx.Get([]byte("run")); found != nil {
			t.Errorf("run %d finds what run %s wrote", runs, found)
		}
		return errors.Join(tx.Put([]byte("run"), fmt.Append(nil, runs)), tx.Put(fmt.Appendf(nil, "of %d", runs), nil))
	})
	if err != nil {
		t.Error(err)
	}
	last := fmt.Sprint(runs)
	if got := keys(t, s, ""); !slices.Equal(got, []string{"of " + last + "=", "run=" + last}) {
		t.Errorf("after %s runs: %q", last, got)
	}
}

func noWriteWhileScanning(t *testing.T, s store.Store) {
	put(t, s, "a", "1")
	err := s.Update(func(tx store.Tx) error {
		return tx.Scan(nil, func(k, _ []byte) error { return tx.Delete(k) })
	})
	if err == nil || errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
	wantValue(t, s, "a", "1")
}

func reservedKeys(t *testing.T, s store.Store) {
	err := s.View(func(tx store.Tx) error {
		if v := tx.Get([]byte("\x00format")); v != nil {
			t.Errorf("format: %x", v)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := keys(t, s, "\x00"); got != nil {
		t.Errorf("%q", got)
	}
}
