package barrier

import (
	"errors"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	update := func(fn func(*Tx) error) error { return b.Update(fn) }
	owner := func(kind Kind, name string) (id string, err error) {
		err = b.View(func(tx *Tx) error { id, err = tx.Lookup(kind, name); return err })
		return id, err
	}
	if err := update(func(tx *Tx) error { return tx.Claim("item", "alice/payroll", "id1") }); err != nil {
		t.Fatal(err)
	}
	b = s.reopen(t, b)
	if id, err := owner("item", "alice/payroll"); id != "id1" || err != nil {
		t.Error(id, err)
	}
	if err := update(func(tx *Tx) error { return tx.Claim("item", "alice/payroll", "id2") }); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	if err := update(func(tx *Tx) error { return tx.Claim("item", "alice/payroll", "id1") }); err != nil {
		t.Error(err)
	}
	// The same name under another kind, and the same bytes cut elsewhere, are other names.
	if _, err := owner("other", "alice/payroll"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := owner("itema", "lice/payroll"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	err := update(func(tx *Tx) error {
		if err := tx.Release("item", "alice/payroll"); err != nil {
			return err
		}
		if err := tx.Release("item", "alice/payroll"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		return tx.Claim("item", "alice/payroll", "id3")
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := owner("item", "alice/payroll"); id != "id3" || err != nil {
		t.Error(id, err)
	}
}

func TestRefusedArguments(t *testing.T) {
	t.Parallel()
	b := newBench(t).create(t)
	err := b.Update(func(tx *Tx) error {
		for _, kind := range []Kind{"", "root", "keyring", "name", "Item", "a/b", "1a", "a b", Kind(strings.Repeat("k", 33))} {
			_, getErr := tx.Get(kind, "a")
			_, secretErr := tx.GetSecret(kind, "a")
			_, lookupErr := tx.Lookup(kind, "a")
			for i, err := range []error{
				getErr, secretErr, lookupErr, tx.Put(kind, "a", nil), tx.Delete(kind, "a"), tx.Claim(kind, "a", "a"),
				tx.Release(kind, "a"), tx.Scan(kind, func(string, []byte) error { return nil }),
			} {
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("kind %q, call %d: %v", kind, i, err)
				}
			}
		}
		for _, id := range []string{"", "a/b", "a b", "ä", strings.Repeat("i", 129), "\x00"} {
			if err := tx.Put("item", id, nil); !errors.Is(err, ErrInvalid) {
				t.Errorf("ID %q: %v", id, err)
			}
		}
		for _, name := range []string{"", strings.Repeat("n", 1025)} {
			if err := tx.Claim("item", name, "a"); !errors.Is(err, ErrInvalid) {
				t.Errorf("name of %d: %v", len(name), err)
			}
		}
		if err := tx.Delete("item", "none"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = b.View(func(tx *Tx) error {
		if tx.Put("item", "a", nil) == nil || tx.Delete("item", "a") == nil || tx.Claim("item", "a", "a") == nil {
			t.Error("a View wrote")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCreateAndOpenRefuse(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	if _, err := Open(s.db, s.arena, s.root, vault); !errors.Is(err, ErrRollback) {
		t.Errorf("an empty store: %v", err)
	}
	if _, err := Create(s.db, s.arena, s.root, "00"); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	b := s.create(t)
	if _, err := Create(s.db, s.arena, s.root, vault); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	b.Close()
	nothing := func(*Tx) error { t.Error("ran"); return nil }
	if err := b.View(nothing); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := b.Update(nothing); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	_, err := Open(s.db, s.arena, s.root, "ff"+vault[2:])
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "belongs to vault "+vault) {
		t.Errorf("another vault: %v", err)
	}
	other, err := s.arena.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Wipe()
	if _, err := Open(s.db, s.arena, other, vault); !errors.Is(err, ErrCorrupt) {
		t.Errorf("another root key: %v", err)
	}
}
