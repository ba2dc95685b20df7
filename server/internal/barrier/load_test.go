package barrier

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

// TestTheFirstFaultIsNamed: however the records are shared out, of several faults the first by key is the one.
func TestTheFirstFaultIsNamed(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	fill(t, b, 3000)
	b = s.reopen(t, b)
	if _, all, _ := b.Rekeying(); all != 3000 {
		t.Errorf("%d records", all)
	}
	b.Close()
	var keys []string
	err := s.db.View(func(tx store.Tx) error {
		return tx.Scan([]byte("item/"), func(key, _ []byte) error {
			keys = append(keys, string(key))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	// Its first byte says which format a record has, and is looked at before anything is decrypted.
	const format, last = 0, -1
	for _, fault := range []struct{ first, at int }{{2999, format}, {2998, last}, {1500, last}, {255, format}, {3, format}, {2, last}} {
		first := fault.first
		if err := s.db.Update(func(tx store.Tx) error {
			value := tx.Get([]byte(keys[first]))
			value[(fault.at+len(value))%len(value)] ^= 1
			return tx.Put([]byte(keys[first]), value)
		}); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := Open(s.db, s.arena, s.root, vault); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), keys[first]) {
				t.Errorf("of several faults from %s on: %v", keys[first], err)
			}
		}
	}
}

// TestOpenInLittleMemory: an arena without room for the workers' own buffers is enough for one record after the other.
func TestOpenInLittleMemory(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	fill(t, b, 600)
	put(t, b, "large", strings.Repeat("x", 40<<10))
	b.Close()
	taken, err := s.arena.New(s.arena.Size() - s.arena.InUse() - 60<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Wipe()
	b = s.reopen(t, b)
	if got, err := get(b, "large"); len(got) != 40<<10 || err != nil {
		t.Error(len(got), err)
	}
	if got, err := get(b, fmt.Sprintf("%032x", 0)); len(got) != 200 || err != nil {
		t.Error(len(got), err)
	}
}

// fill puts small records, as metadata and values are.
func fill(t testing.TB, b *Barrier, records int) {
	t.Helper()
	plaintext := make([]byte, 200)
	for n := 0; n < records; {
		from := n
		err := b.Update(func(tx *Tx) error {
			for n = from; n < records && n < from+99; n++ {
				if err := tx.Put("item", fmt.Sprintf("%032x", uint64(n)*0x9e3779b97f4a7c15), plaintext); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
