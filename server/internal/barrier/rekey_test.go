package barrier

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

// step is one transaction of a rotation.
type step func(*Tx) error

func begin(tx *Tx) error { return tx.BeginRekey() }
func end(tx *Tx) error   { return tx.EndRekey() }

// rekeyAll brings over what there is, and says in how many transactions.
func rekeyAll(t testing.TB, b *Barrier) (steps int) {
	t.Helper()
	for from := ""; steps == 0 || from != ""; steps++ {
		from = rekeyFrom(t, b, from)
	}
	return steps
}

func rekeyFrom(t testing.TB, b *Barrier, from string) (next string) {
	t.Helper()
	do(t, b, func(tx *Tx) (err error) {
		next, err = tx.Rekey(from)
		return err
	})
	return next
}

func do(t testing.TB, b *Barrier, s step) {
	t.Helper()
	if err := b.Update(s); err != nil {
		t.Fatal(err)
	}
}

// populate makes n records with names, and says what there must be from then on.
func populate(t testing.TB, b *Barrier, n int) map[string]string {
	t.Helper()
	there := map[string]string{}
	for i := range n {
		id := fmt.Sprintf("r%03d", i)
		there[id] = "value " + id
		do(t, b, func(tx *Tx) error {
			return errors.Join(tx.Put("item", id, []byte(there[id])), tx.Claim("item", "name "+id, id))
		})
	}
	return there
}

// holds demands every record, by ID and by name, and no other.
func holds(t testing.TB, b *Barrier, there map[string]string) {
	t.Helper()
	err := b.View(func(tx *Tx) error {
		seen := 0
		err := tx.Scan("item", func(id string, p []byte) error {
			if seen++; there[id] != string(p) {
				return fmt.Errorf("%s is %q", id, p)
			}
			found, err := tx.Lookup("item", "name "+id)
			if err == nil && found != id {
				err = fmt.Errorf("the name of %s leads to %s", id, found)
			}
			return err
		})
		if err == nil && seen != len(there) {
			err = fmt.Errorf("%d records, want %d", seen, len(there))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestRekey stops a rotation behind each of its transactions, as a crash would, and opens the store again.
func TestRekey(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	there := populate(t, b, 100) // 100 records and 100 names: 300 writes
	old := read(t, s.db)
	reopened := func(underWay bool, left int) {
		t.Helper()
		b = s.reopen(t, b)
		if is, all, is2 := b.Rekeying(); is != underWay || all != 200 || is2 != left {
			t.Errorf("under way: %t, %d of %d left; want %t, %d of 200", is, is2, all, underWay, left)
		}
		holds(t, b, there)
	}
	reopened(false, 0)
	do(t, b, begin)
	reopened(true, 200)
	if err := b.Update(begin); !errors.Is(err, ErrRekeying) {
		t.Errorf("begun twice: %v", err)
	}
	if err := b.Update(end); !errors.Is(err, ErrRekeying) {
		t.Errorf("ended with 200 records under old keys: %v", err)
	}
	from, left := "", 200
	for _, left = range []int{120, 70, 30, 0} { // 80 writes at a time, of which a name takes two
		from = rekeyFrom(t, b, from)
		reopened(true, left)
		if left > 0 {
			if err := b.Update(end); !errors.Is(err, ErrRekeying) {
				t.Errorf("ended with %d records under old keys: %v", left, err)
			}
		}
	}
	if from != "" {
		t.Errorf("to go on at %q", from)
	}
	// What is written meanwhile is under the new keys at once.
	do(t, b, func(tx *Tx) error {
		return errors.Join(tx.Put("item", "r000", []byte("changed")), tx.Release("item", "name r001"), tx.Delete("item", "r001"),
			tx.Put("item", "r100", []byte("new")), tx.Claim("item", "name r100", "r100"))
	})
	there["r000"], there["r100"] = "changed", "new"
	delete(there, "r001")
	do(t, b, end)
	reopened(false, 0)
	if err := b.Update(func(tx *Tx) error { _, err := tx.Rekey(""); return err }); !errors.Is(err, ErrRekeying) {
		t.Errorf("none is under way: %v", err)
	}
	now := read(t, s.db)
	for key, value := range now {
		if old[key] == value {
			t.Errorf("%s is as it was", key)
		}
		if r, err := decodeRecord([]byte(value)); err != nil || r.keyNumber != 2 && key != "keyring/main" {
			t.Errorf("%s is under key %d, %v", key, r.keyNumber, err)
		}
		if _, before := old[key]; before && key[:5] == "name/" {
			t.Errorf("%s has its ID still", key)
		}
	}
	if len(b.keys.records) != 1 || b.keys.previous != nil {
		t.Errorf("the old keys are there: %d", len(b.keys.records))
	}
	// An old record that is put back is noticed, though it was right once.
	b.Close()
	if err := s.db.Update(func(tx store.Tx) error { return tx.Put([]byte("item/r002"), []byte(old["item/r002"])) }); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.db, s.arena, s.root, vault); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrRollback) {
		t.Errorf("an old record under an old key: %v", err)
	}
}

// TestNamesWhileRekeying: a name has one owner, wherever its record is.
func TestNamesWhileRekeying(t *testing.T) {
	t.Parallel()
	b := newBench(t).create(t)
	there := populate(t, b, 3)
	do(t, b, begin)
	do(t, b, func(tx *Tx) error {
		if err := tx.Claim("item", "name r000", "other"); !errors.Is(err, ErrTaken) {
			t.Errorf("a name that is where the old key puts it: %v", err)
		}
		if err := tx.Claim("item", "name r000", "r000"); err != nil {
			t.Errorf("claimed again by its owner: %v", err)
		}
		if err := tx.Release("item", "name r001"); err != nil {
			t.Errorf("released where the old key puts it: %v", err)
		}
		if _, err := tx.Lookup("item", "name r001"); !errors.Is(err, ErrNotFound) {
			t.Errorf("released: %v", err)
		}
		return tx.Claim("item", "name r001", "r001") // where the new one does
	})
	holds(t, b, there)
	if steps := rekeyAll(t, b); steps != 1 {
		t.Errorf("%d transactions for six records", steps)
	}
	holds(t, b, there)
	do(t, b, end)
	holds(t, b, there)
	do(t, b, func(tx *Tx) error {
		if err := tx.Claim("item", "name r000", "other"); !errors.Is(err, ErrTaken) {
			t.Error(err)
		}
		return tx.Release("item", "name r000")
	})
}

// TestAFailedRekeyChangesNothing: keys that a transaction made and did not commit are gone with it.
func TestAFailedRekeyChangesNothing(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	there := populate(t, b, 2)
	no, used := errors.New("no"), s.arena.InUse()
	for what, f := range map[string]step{
		"begun": begin,
		"ended": func(tx *Tx) error { return errors.Join(tx.BeginRekey(), tx.EndRekey()) },
	} {
		if err := b.Update(func(tx *Tx) error { return errors.Join(f(tx), no) }); !errors.Is(err, no) {
			t.Errorf("%s: %v", what, err)
		}
		if underWay, _, _ := b.Rekeying(); underWay || s.arena.InUse() != used {
			t.Errorf("%s: under way: %t, %d bytes stayed in the arena", what, underWay, s.arena.InUse()-used)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_ = b.Update(func(tx *Tx) error { _ = tx.BeginRekey(); panic("mine") })
	}()
	if s.arena.InUse() != used {
		t.Error("a panic left keys behind")
	}
	holds(t, s.reopen(t, b), there)
	if err := b.View(begin); err == nil {
		t.Error("begun in a View")
	}
}

// TestLargeRecordsAreRekeyed: a transaction takes so many bytes, and one record at least.
func TestLargeRecordsAreRekeyed(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	for i := range 10 {
		put(t, b, fmt.Sprint("big", i), string(bytes.Repeat([]byte{byte('a' + i)}, MaxPlaintext)))
	}
	do(t, b, begin)
	if steps := rekeyAll(t, b); steps < 3 {
		t.Errorf("10 MiB in %d transactions", steps)
	}
	do(t, b, end)
	b = s.reopen(t, b)
	for i := range 10 {
		if got, err := get(b, fmt.Sprint("big", i)); err != nil || len(got) != MaxPlaintext || got[0] != byte('a'+i) {
			t.Errorf("record %d: %d bytes, %v", i, len(got), err)
		}
	}
}

// TestRekeyBesideOthers: three rotations while others read and write.
func TestRekeyBesideOthers(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	there := populate(t, b, 60)
	stop, done := make(chan struct{}), sync.WaitGroup{}
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	var counts [2]int
	for w := range counts {
		done.Go(func() {
			id := fmt.Sprint("writer", w)
			for running() {
				counts[w]++
				text := fmt.Sprint(counts[w])
				err := b.Update(func(tx *Tx) error {
					if err := errors.Join(tx.Put("own", id, []byte(text)), tx.Claim("own", id+text, id)); err != nil || counts[w] == 1 {
						return err
					}
					return tx.Release("own", fmt.Sprint(id, counts[w]-1))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done.Go(func() {
		for running() {
			holds(t, b, there)
		}
	})
	for range 3 {
		do(t, b, begin)
		rekeyAll(t, b)
		do(t, b, end)
	}
	close(stop)
	done.Wait()
	b = s.reopen(t, b)
	holds(t, b, there)
	for w, n := range counts {
		err := b.View(func(tx *Tx) error {
			got, err := tx.Get("own", fmt.Sprint("writer", w))
			if err == nil && string(got) != fmt.Sprint(n) {
				err = fmt.Errorf("%q, want %d", got, n)
			}
			_, lookup := tx.Lookup("own", fmt.Sprintf("writer%d%d", w, n))
			return errors.Join(err, lookup)
		})
		if err != nil {
			t.Errorf("writer %d: %v", w, err)
		}
	}
	if b.keys.current != 4 || len(b.keys.records) != 1 {
		t.Errorf("key %d of %d", b.keys.current, len(b.keys.records))
	}
}
