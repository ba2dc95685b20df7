package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// conformance is what every store has to do; open opens the store of a directory again and again.
func conformance(t *testing.T, open func(t *testing.T, dir string) *DB) {
	for name, check := range map[string]func(*testing.T, *DB){
		"values come back":            valuesComeBack,
		"a failed update is undone":   failedUpdateIsUndone,
		"a view does not change":      viewDoesNotChange,
		"views cannot write":          viewsCannotWrite,
		"scan goes by prefix":         scanGoesByPrefix,
		"scan ends where told":        scanEndsWhereTold,
		"limits":                      limits,
		"slices stay the caller's":    slicesStayTheCallers,
		"a panic undoes and goes on":  panicUndoesAndGoesOn,
		"closed":                      closed,
		"updates run one at a time":   updatesRunOneAtATime,
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
		db := open(t, dir)
		put(t, db, "a", "1")
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wantValue(t, open(t, dir), "a", "1")
	})
}

func put(t *testing.T, db *DB, key, value string) {
	t.Helper()
	if err := db.Update(func(tx *Tx) error { return tx.Put([]byte(key), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func wantValue(t *testing.T, db *DB, key, want string) {
	t.Helper()
	err := db.View(func(tx *Tx) error {
		if got := tx.Get([]byte(key)); string(got) != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func valuesComeBack(t *testing.T, db *DB) {
	put(t, db, "a", "1")
	put(t, db, "a", "2")
	put(t, db, "empty", "")
	wantValue(t, db, "a", "2")
	err := db.View(func(tx *Tx) error {
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
	err = db.Update(func(tx *Tx) error {
		return errors.Join(tx.Delete([]byte("a")), tx.Delete([]byte("none")))
	})
	if err != nil {
		t.Error(err)
	}
	wantValue(t, db, "a", "")
}

func failedUpdateIsUndone(t *testing.T, db *DB) {
	put(t, db, "a", "1")
	no := errors.New("no")
	err := db.Update(func(tx *Tx) error {
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
	wantValue(t, db, "a", "1")
	wantValue(t, db, "b", "")
}

func viewDoesNotChange(t *testing.T, db *DB) {
	put(t, db, "a", "1")
	err := db.View(func(tx *Tx) error {
		done := make(chan struct{})
		go func() { defer close(done); put(t, db, "a", "2") }()
		<-done
		if got := tx.Get([]byte("a")); string(got) != "1" {
			t.Errorf("a changed under a view: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	wantValue(t, db, "a", "2")
}

func viewsCannotWrite(t *testing.T, db *DB) {
	err := db.View(func(tx *Tx) error {
		if tx.Put([]byte("a"), nil) == nil || tx.Delete([]byte("a")) == nil {
			t.Error("a view wrote")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	put(t, db, "a", "1") // and the store is still of use
}

func keys(t *testing.T, db *DB, prefix string) []string {
	t.Helper()
	var found []string
	err := db.View(func(tx *Tx) error {
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

func scanGoesByPrefix(t *testing.T, db *DB) {
	for _, k := range []string{"b/2", "a", "b/1", "b", "c/1", "b0", "b/10", "\xff"} {
		put(t, db, k, "v"+k)
	}
	if got := keys(t, db, "b/"); !slices.Equal(got, []string{"b/1=vb/1", "b/10=vb/10", "b/2=vb/2"}) {
		t.Errorf("b/: %q", got)
	}
	want := []string{"a=va", "b=vb", "b/1=vb/1", "b/10=vb/10", "b/2=vb/2", "b0=vb0", "c/1=vc/1", "\xff=v\xff"}
	if got := keys(t, db, ""); !slices.Equal(got, want) {
		t.Errorf("all: %q", got)
	}
	if got := keys(t, db, "d"); got != nil {
		t.Errorf("d: %q", got)
	}
}

func scanEndsWhereTold(t *testing.T, db *DB) {
	put(t, db, "a", "")
	put(t, db, "b", "")
	enough, seen := errors.New("enough"), 0
	err := db.View(func(tx *Tx) error {
		return tx.Scan(nil, func(_, _ []byte) error { seen++; return enough })
	})
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("%v after %d", err, seen)
	}
}

func limits(t *testing.T, db *DB) {
	try := func(key, value []byte) error {
		return db.Update(func(tx *Tx) error { return tx.Put(key, value) })
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
		if err := try(tc.key, tc.value); !errors.Is(err, ErrLimit) {
			t.Errorf("key of %d, value of %d: %v", len(tc.key), len(tc.value), err)
		}
	}
	write := func(n int) error {
		return db.Update(func(tx *Tx) error {
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
	if err := write(101); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}

func slicesStayTheCallers(t *testing.T, db *DB) {
	key, value := []byte("key"), []byte("value")
	err := db.Update(func(tx *Tx) error {
		err := tx.Put(key, value)
		copy(key, "xxx")
		copy(value, "xxxxx")
		return err
	})
	if err != nil {
		t.Error(err)
	}
	wantValue(t, db, "key", "value")
}

func panicUndoesAndGoesOn(t *testing.T, db *DB) {
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("the caller's panic became %v", p)
			}
		}()
		_ = db.Update(func(tx *Tx) error {
			_ = tx.Put([]byte("a"), []byte("1"))
			panic("mine")
		})
	}()
	wantValue(t, db, "a", "")
	put(t, db, "a", "2")
	wantValue(t, db, "a", "2")
}

func closed(t *testing.T, db *DB) {
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	nothing := func(*Tx) error { t.Error("ran"); return nil }
	if err := db.View(nothing); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := db.Update(nothing); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func updatesRunOneAtATime(t *testing.T, db *DB) {
	put(t, db, "n", "")
	const writers = 8
	done := make(chan error)
	for range writers {
		go func() {
			done <- db.Update(func(tx *Tx) error {
				return tx.Put([]byte("n"), append(tx.Get([]byte("n")), 'x'))
			})
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	wantValue(t, db, "n", "xxxxxxxx")
}

func noWriteWhileScanning(t *testing.T, db *DB) {
	put(t, db, "a", "1")
	err := db.Update(func(tx *Tx) error {
		return tx.Scan(nil, func(k, _ []byte) error { return tx.Delete(k) })
	})
	if err == nil || errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
	wantValue(t, db, "a", "1")
}

func reservedKeys(t *testing.T, db *DB) {
	err := db.View(func(tx *Tx) error {
		if v := tx.Get([]byte("\x00format")); v != nil {
			t.Errorf("format: %x", v)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := keys(t, db, "\x00"); got != nil {
		t.Errorf("%q", got)
	}
}
