package barrier

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

// records is what the store holds, by key.
type records map[string]string

func read(t testing.TB, db *store.DB) records {
	t.Helper()
	r := records{}
	err := db.View(func(tx store.Tx) error {
		return tx.Scan(nil, func(k, v []byte) error { r[string(k)] = string(v); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// write makes the store hold r and nothing else, behind the barrier's back.
func write(t testing.TB, db *store.DB, r records) {
	t.Helper()
	now := read(t, db)
	err := db.Update(func(tx store.Tx) error {
		for k := range now {
			if _, stays := r[k]; !stays {
				if err := tx.Delete([]byte(k)); err != nil {
					return err
				}
			}
		}
		for k, v := range r {
			if err := tx.Put([]byte(k), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// history is a vault's records after an earlier commit and after the last one.
func history(t testing.TB, b *Barrier, db *store.DB) (older, now records) {
	t.Helper()
	put(t, b, "a", "a1")
	put(t, b, "removed", "r")
	older = read(t, db)
	err := b.Update(func(tx *Tx) error {
		return errors.Join(tx.Put("item", "a", []byte("a2")), tx.Put("item", "b", []byte("b2")),
			tx.Delete("item", "removed"), tx.Claim("item", "nm", "a"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return older, read(t, db)
}

var tampering = map[string]struct {
	change func(r, older records)
	unseal error // what Open answers
	read   error // what a read of item a, or of all items, answers while the vault is open
}{
	"nothing":                {func(r, older records) {}, nil, nil},
	"an older record":        {func(r, older records) { r["item/a"] = older["item/a"] }, ErrRollback, ErrRollback},
	"removed":                {func(r, older records) { delete(r, "item/a") }, ErrRollback, ErrRollback},
	"removed unread":         {func(r, older records) { delete(r, "item/b") }, ErrRollback, ErrRollback},
	"put back":               {func(r, older records) { r["item/removed"] = older["item/removed"] }, ErrRollback, ErrRollback},
	"added under another ID": {func(r, older records) { r["item/x"] = r["item/a"] }, ErrCorrupt, ErrRollback},
	"swapped, one commit":    {func(r, older records) { r["item/a"], r["item/b"] = r["item/b"], r["item/a"] }, ErrCorrupt, ErrCorrupt},
	"another kind":           {func(r, older records) { r["other/a"] = r["item/a"] }, ErrCorrupt, nil},
	"emptied":                {func(r, older records) { r["item/a"] = "" }, ErrCorrupt, ErrCorrupt},
	"cut short":              {func(r, older records) { r["item/a"] = r["item/a"][:len(r["item/a"])-1] }, ErrCorrupt, ErrCorrupt},
	"lengthened":             {func(r, older records) { r["item/a"] += "x" }, ErrCorrupt, ErrCorrupt},
	"an older root record":   {func(r, older records) { r["root/main"] = older["root/main"] }, ErrRollback, nil},
	"no root record":         {func(r, older records) { delete(r, "root/main") }, ErrRollback, nil},
	"no keyring":             {func(r, older records) { delete(r, "keyring/main") }, ErrRollback, nil},
	"no record at all":       {func(r, older records) { clear(r) }, ErrRollback, ErrRollback},
	"a name removed": {func(r, older records) {
		for k := range r {
			if k[:5] == "name/" {
				delete(r, k)
			}
		}
	}, ErrRollback, ErrRollback},
	"a strange key": {func(r, older records) { r["Item a"] = r["item/a"] }, ErrCorrupt, nil},
	"a second root": {func(r, older records) { r["root/x"] = r["root/main"] }, ErrCorrupt, nil},
	"all but the root record older": {func(r, older records) {
		root := r["root/main"]
		clear(r)
		maps.Copy(r, older)
		r["root/main"] = root
	}, ErrRollback, ErrRollback},
}

func TestTamperedWhileSealed(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	older, now := history(t, b, s.db)
	b.Close()
	for what, tc := range tampering {
		changed := maps.Clone(now)
		tc.change(changed, older)
		write(t, s.db, changed)
		b, err := Open(s.db, s.arena, s.root, vault)
		if !errors.Is(err, tc.unseal) || (err == nil) != (tc.unseal == nil) {
			t.Errorf("%s: %v, want %v", what, err, tc.unseal)
		}
		if err == nil {
			b.Close()
		}
	}
}

func TestTamperedWhileOpen(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	older, now := history(t, b, s.db)
	for what, tc := range tampering {
		changed := maps.Clone(now)
		tc.change(changed, older)
		write(t, s.db, changed)
		_, getErr := get(b, "a")
		scanErr := b.View(func(tx *Tx) error { return tx.Scan("item", func(string, []byte) error { return nil }) })
		nameErr := b.View(func(tx *Tx) error { _, err := tx.Lookup("item", "nm"); return err })
		err := errors.Join(getErr, scanErr, nameErr)
		if !errors.Is(err, tc.read) || (err == nil) != (tc.read == nil) {
			t.Errorf("%s: %v, want %v", what, err, tc.read)
		}
	}
}

// TestWholeOlderStoreIsLeftToTheLog: without the log an older state that is whole cannot be told from the last one;
// what the barrier says of the log then is old as well, which is how the log tells.
func TestWholeOlderStoreIsLeftToTheLog(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	if err := b.Update(func(tx *Tx) error { tx.SetLog(7, [32]byte{7}); return nil }); err != nil {
		t.Fatal(err)
	}
	older := read(t, s.db)
	if err := b.Update(func(tx *Tx) error { tx.SetLog(8, [32]byte{8}); return nil }); err != nil {
		t.Fatal(err)
	}
	write(t, s.db, older)
	b = s.reopen(t, b)
	if size, root := b.LogState(); size != 7 || root != [32]byte{7} || b.Commit() != 2 {
		t.Error(size, root, b.Commit())
	}
}

// TestALostCommitDoesNotComeBack: the record that a failed transaction left in free pages has the right commit number
// but was never committed.
func TestALostCommitDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	var lost string
	_ = b.Update(func(tx *Tx) error {
		err := tx.Put("item", "a", []byte("lost"))
		lost = string(tx.store.Get([]byte("item/a")))
		return errors.Join(err, errors.New("no"))
	})
	put(t, b, "a", "kept")
	now := read(t, s.db)
	now["item/a"] = lost
	write(t, s.db, now)
	if got, err := get(b, "a"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%q, %v", got, err)
	}
	b.Close()
	if _, err := Open(s.db, s.arena, s.root, vault); !errors.Is(err, ErrRollback) {
		t.Error(err)
	}
}

// TestLaterEpoch: records of a time after the root record's are from another line of history.
func TestLaterEpoch(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	err := b.Update(func(tx *Tx) error {
		tx.epoch = 2
		defer func() { tx.epoch = 1 }()
		return tx.Put("item", "a", nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := Open(s.db, s.arena, s.root, vault); !errors.Is(err, ErrRollback) {
		t.Error(err)
	}
}

// TestEveryByte flips each byte of each record and of its key in the file, in every copy that the file has.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	_, now := history(t, b, s.db)
	b.Close()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	path, flips := s.path+".flipped", 0
	for key, value := range now {
		for part, text := range map[string]string{"key": key, "value": value} {
			for i := range len(text) {
				changed := flipAll(file, []byte(text), i, byte(1<<(flips%8)))
				flips++
				if err := s.openDamaged(t, path, changed); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrRollback) {
					t.Errorf("%s, byte %d of the %s: %v", key, i, part, err)
				}
			}
		}
	}
	if err := s.openDamaged(t, path, file); err != nil || flips < 600 {
		t.Errorf("the file as it was, after %d flips: %v", flips, err)
	}
	s.openStore(t)
}

func flipAll(file, text []byte, i int, bit byte) []byte {
	changed := bytes.Clone(file)
	for at := 0; ; at++ {
		next := bytes.Index(file[at:], text)
		if next < 0 {
			return changed
		}
		at += next
		changed[at+i] ^= bit
	}
}

// openDamaged opens a vault's file as a server does and reads everything in it.
func (s *bench) openDamaged(t testing.TB, path string, file []byte) error {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(path)
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := Open(db, s.arena, s.root, vault)
	if err != nil {
		return err
	}
	defer b.Close()
	return b.View(func(tx *Tx) error {
		var found []string
		err := tx.Scan("item", func(id string, p []byte) error { found = append(found, id, string(p)); return nil })
		if err == nil && fmt.Sprint(found) != "[a a2 b b2]" {
			t.Errorf("wrong answers: %q", found)
		}
		return err
	})
}
