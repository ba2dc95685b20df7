package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A copy is the store at its beginning, whatever is written while it is written out.
func TestCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Create(filepath.Join(dir, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	put := func(i int, text string) {
		if err := db.Update(func(tx Tx) error { return tx.Put(fmt.Appendf(nil, "k%03d", i), []byte(text)) }); err != nil {
			t.Error(err)
		}
	}
	for i := range 100 {
		put(i, "before")
	}
	c, err := db.Copy()
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range 200 {
			put(i, "after")
		}
	})
	var out bytes.Buffer
	n, err := c.WriteTo(&out)
	if err != nil || n != c.Size() || n != int64(out.Len()) {
		t.Errorf("%d of %d bytes, %v", n, c.Size(), err)
	}
	writing.Wait()
	full := errors.New("full")
	if _, err := c.WriteTo(failing{full}); !errors.Is(err, full) {
		t.Error(err)
	}
	c.Close()
	c.Close()
	copied := filepath.Join(dir, "b.db")
	if err := os.WriteFile(copied, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	count := 0
	err = errors.Join(again.Check(), again.View(func(tx Tx) error {
		return tx.ScanFrom([]byte("k001x"), func(key, value []byte) error {
			if count++; string(value) != "before" || string(key) < "k002" {
				t.Errorf("%s is %s", key, value)
			}
			return nil
		})
	}))
	if err != nil || count != 98 {
		t.Errorf("%d keys behind k001x, %v", count, err)
	}
	if err := db.View(func(tx Tx) error {
		if got := tx.Get([]byte("k199")); string(got) != "after" {
			t.Errorf("%q", got)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
