package barrier

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

type numbered struct{ N int }

// scanned is what a scan of all numbered records gives, up to an error of fn at the one that stops it.
func scanned(b *Barrier, stop int) (got []int, err error) {
	enough := errors.New("enough")
	err = b.View(func(tx *Tx) error {
		return ScanJSON(tx, "number", func(d numbered) error {
			if d.N == stop {
				return enough
			}
			if _, err := tx.Get("number", fmt.Sprintf("%05d", d.N)); err != nil {
				return err
			}
			got = append(got, d.N)
			return nil
		})
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return got, err
}

// TestScanJSON: few records or many, they come in order and once, and fn may read others meanwhile.
func TestScanJSON(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	var all []int
	for _, records := range []int{0, 1, fewRecords - 1, fewRecords, 20*portionRecords - 1, 20 * portionRecords, 20*portionRecords + 1} {
		for len(all) < records {
			first := len(all)
			for n := range min(99, records-first) {
				all = append(all, first+n)
			}
			if err := b.Update(func(tx *Tx) error {
				for _, n := range all[first:] {
					if err := tx.PutJSON("number", fmt.Sprintf("%05d", n), numbered{n}); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := scanned(b, -1); err != nil || !slices.Equal(got, all) {
			t.Fatalf("%d records: %d, %v", records, len(got), err)
		}
		for _, stop := range []int{0, records / 2, records - 1} {
			if got, err := scanned(b, stop); err != nil || !slices.Equal(got, all[:max(min(stop, records), 0)]) {
				t.Fatalf("%d records up to %d: %d, %v", records, stop, len(got), err)
			}
		}
	}
	if err := b.Update(func(tx *Tx) error { return tx.Put("number", "00700", []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	if got, err := scanned(b, -1); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "number/00700") || !slices.Equal(got, all[:700]) {
		t.Errorf("one that is no JSON: %d, %v", len(got), err)
	}
}

// TestScanJSONFindsTampering: what the store changed, took away or added behind the barrier's back is named.
func TestScanJSONFindsTampering(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	const records = 10 * portionRecords
	for n := 0; n < records; n += 80 {
		if err := b.Update(func(tx *Tx) error {
			for i := n; i < n+80; i++ {
				if err := tx.PutJSON("number", fmt.Sprintf("%05d", i), numbered{i}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(n int) []byte { return fmt.Appendf(nil, "number/%05d", n) }
	for _, c := range []struct {
		change func(tx store.Tx) error
		want   error
		text   string
	}{
		{func(tx store.Tx) error { return tx.Delete(at(600)) }, ErrRollback, "639 records of kind number, there should be 640"},
		{func(tx store.Tx) error { return tx.Put([]byte("number/00500a"), tx.Get(at(500))) }, ErrRollback, `number/"00500a" was added`},
		{func(tx store.Tx) error { return tx.Put(at(300), tx.Get(at(301))) }, ErrCorrupt, "number/00300"},
		{func(tx store.Tx) error { return tx.Put(at(2), []byte("short")) }, ErrCorrupt, "number/00002"},
	} {
		if err := s.db.Update(c.change); err != nil {
			t.Fatal(err)
		}
		if _, err := scanned(b, -1); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%v, want %v: %s", err, c.want, c.text)
		}
	}
}
