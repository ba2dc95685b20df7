package barrier

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/store/storetest"
	"github.com/strongroom/strongroom/shared/secret"
)

const vault = "00112233445566778899aabbccddeeff"

// bench is a vault on disk with what opens it.
type bench struct {
	arena *secret.Arena
	root  *secret.Buffer
	path  string
	db    *store.DB
}

func newBench(t testing.TB) *bench {
	t.Helper()
	a, err := secret.NewArena(4 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.InUse() != 0 {
			t.Errorf("%d bytes of the arena were not wiped", a.InUse())
		}
		_ = a.Close()
	})
	root, err := a.From(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Wipe)
	s := &bench{arena: a, root: root, path: filepath.Join(t.TempDir(), "vault.db")}
	s.openStore(t)
	t.Cleanup(func() {
		_ = s.db.Close()
		s.openStore(t)
		if err := errors.Join(s.db.Check(), s.db.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *bench) openStore(t testing.TB) {
	t.Helper()
	open := store.Open
	if _, err := os.Stat(s.path); err != nil {
		open = store.Create
	}
	db, err := open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	s.db = db
}

func (s *bench) create(t testing.TB) *Barrier {
	t.Helper()
	b, err := Create(storetest.Rerun(t, s.db), s.arena, s.root, vault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func (s *bench) reopen(t testing.TB, b *Barrier) *Barrier {
	t.Helper()
	b.Close()
	again, err := Open(storetest.Rerun(t, s.db), s.arena, s.root, vault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	return again
}

func put(t testing.TB, b *Barrier, id, plaintext string) {
	t.Helper()
	if err := b.Update(func(tx *Tx) error { return tx.Put("item", id, []byte(plaintext)) }); err != nil {
		t.Fatal(err)
	}
}

func get(b *Barrier, id string) (plaintext string, err error) {
	err = b.View(func(tx *Tx) error {
		p, err := tx.Get("item", id)
		plaintext = string(p)
		return err
	})
	return plaintext, err
}

func want(t testing.TB, b *Barrier, id, plaintext string) {
	t.Helper()
	if got, err := get(b, id); got != plaintext || err != nil {
		t.Errorf("%s: %q, %v, want %q", id, got, err, plaintext)
	}
}

func TestRecordsComeBack(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	if b.Commit() != 1 {
		t.Errorf("commit %d", b.Commit())
	}
	put(t, b, "a", "one")
	put(t, b, "a", "two")
	put(t, b, "empty", "")
	err := b.Update(func(tx *Tx) error {
		if err := tx.Put("item", "gone", []byte("x")); err != nil {
			return err
		}
		tx.SetLog(42, [32]byte{1, 2})
		return tx.Delete("item", "gone")
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		want(t, b, "a", "two")
		want(t, b, "empty", "")
		if _, err := get(b, "gone"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if size, root := b.LogState(); b.Commit() != 5 || size != 42 || root != [32]byte{1, 2} {
			t.Errorf("commit %d, log of %d, %x", b.Commit(), size, root)
		}
		b = s.reopen(t, b)
	}
	put(t, b, "a", "three") // the log's state stays
	if size, _ := b.LogState(); size != 42 || b.Commit() != 6 {
		t.Errorf("commit %d, log of %d", b.Commit(), size)
	}
}

func TestSecretsStayInTheArena(t *testing.T) {
	t.Parallel()
	b := newBench(t).create(t)
	put(t, b, "a", "hunter2")
	err := b.View(func(tx *Tx) error {
		before := tx.b.arena.InUse()
		value, err := tx.GetSecret("item", "a")
		if err != nil {
			return err
		}
		if string(value.Reveal()) != "hunter2" || tx.b.arena.InUse() == before {
			t.Errorf("%q", value.Reveal())
		}
		value.Wipe()
		if tx.b.arena.InUse() != before {
			t.Error("something else stayed in the arena")
		}
		_, err = tx.GetSecret("item", "none")
		return err
	})
	if !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestAFailedUpdateChangesNothing(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	put(t, b, "a", "one")
	no := errors.New("no")
	for what, fn := range map[string]func(*Tx) error{
		"fn's error": func(tx *Tx) error { return no },
		"too many writes": func(tx *Tx) error { // 100 fit the store, but then the root record does not
			for i := range 100 {
				if err := tx.Put("item", fmt.Sprint("n", i), nil); err != nil {
					return err
				}
			}
			return nil
		},
		"too large": func(tx *Tx) error { return tx.Put("item", "big", make([]byte, MaxPlaintext+1)) },
	} {
		err := b.Update(func(tx *Tx) error {
			tx.SetLog(9, [32]byte{9})
			if what == "fn's error" {
				if err := errors.Join(tx.Put("item", "a", []byte("two")), tx.Claim("item", "n", "a")); err != nil {
					t.Error(err)
				}
				if p, err := tx.Get("item", "a"); string(p) != "two" || err != nil {
					t.Errorf("its own write: %q, %v", p, err)
				}
			}
			return fn(tx)
		})
		if err == nil || (!errors.Is(err, no) && !errors.Is(err, ErrLimit)) {
			t.Errorf("%s: %v", what, err)
		}
		if size, _ := b.LogState(); size != 0 || b.Commit() != 2 {
			t.Errorf("%s: commit %d, log of %d", what, b.Commit(), size)
		}
		want(t, b, "a", "one")
		if _, err := get(b, "n0"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = b.Update(func(tx *Tx) error { _ = tx.Put("item", "a", nil); panic("mine") })
	}()
	put(t, b, "b", "after")
	b = s.reopen(t, b)
	want(t, b, "a", "one")
	want(t, b, "b", "after")
	if b.Commit() != 3 {
		t.Errorf("commit %d", b.Commit())
	}
}

func TestLargestTransaction(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	err := b.Update(func(tx *Tx) error {
		if err := tx.Put("item", "big", bytes.Repeat([]byte("x"), MaxPlaintext)); err != nil {
			return err
		}
		for i := range 98 {
			if err := tx.Put("item", fmt.Sprint("n", i), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b = s.reopen(t, b)
	if p, err := get(b, "big"); len(p) != MaxPlaintext || err != nil {
		t.Error(len(p), err)
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	put(t, b, "b", "2")
	put(t, b, "a", "1")
	if err := b.Update(func(tx *Tx) error { return tx.Put("item2", "z", nil) }); err != nil {
		t.Fatal(err)
	}
	scan := func(tx *Tx) (found []string) {
		err := tx.Scan("item", func(id string, p []byte) error {
			found = append(found, id+"="+string(p))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return found
	}
	err := b.Update(func(tx *Tx) error {
		if got := scan(tx); !slices.Equal(got, []string{"a=1", "b=2"}) {
			t.Errorf("%q", got)
		}
		err := errors.Join(tx.Put("item", "c", []byte("3")), tx.Put("item", "b", []byte("4")), tx.Delete("item", "a"),
			tx.Put("item", "d", nil), tx.Delete("item", "d"))
		if got := scan(tx); !slices.Equal(got, []string{"b=4", "c=3"}) {
			t.Errorf("%q", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	err = b.View(func(tx *Tx) error { return tx.Scan("item", func(string, []byte) error { return enough }) })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
}

// TestViewsBesideUpdates: a View sees one commit, whole, and never takes a write for a rollback.
func TestViewsBesideUpdates(t *testing.T) {
	t.Parallel()
	b := newBench(t).create(t)
	put(t, b, "a", "0")
	put(t, b, "b", "0")
	stop, done := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := b.View(func(tx *Tx) error {
					first, err := tx.Get("item", "a")
					if err != nil {
						return err
					}
					second, err := tx.Get("item", "b")
					if err != nil || !bytes.Equal(first, second) {
						return fmt.Errorf("a is %q, b is %q: %w", first, second, err)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 50 {
		err := b.Update(func(tx *Tx) error {
			return errors.Join(tx.Put("item", "a", fmt.Append(nil, i)), tx.Put("item", "b", fmt.Append(nil, i)))
		})
		if err != nil {
			t.Error(err)
		}
	}
	close(stop)
	done.Wait()
}
