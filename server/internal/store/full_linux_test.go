package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// TestFullDisk: a commit for which there is no room leaves the store as it was, as often as it is tried; the store is
// whole, serves reads, and goes on when there is room, without being opened again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := kit.Disk(t, 4<<20)
	path := filepath.Join(disk, "vault.db")
	db, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	have := map[string]int{} // keys that were acknowledged, and the length of their values
	put := func(key string, size int) error {
		err := db.Update(func(tx Tx) error { return tx.Put([]byte(key), value(key, size)) })
		if err == nil {
			have[key] = size
		}
		return err
	}
	for i := range 30 {
		if err := put(fmt.Sprintf("before-%d", i), 3000); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 5 {
		// Each time another part of a commit is the first that has no room; and in each the file has to grow.
		filler := kit.Fill(t, disk, int64(round)*8<<10)
		size := fileSize(t, path)
		refused, changed := 0, 0
		for i := range 40 {
			err := put(fmt.Sprintf("round-%d-%d", round, i), 20_000+i*5000)
			if err != nil && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("round %d: %v", round, err)
			}
			if err != nil {
				refused++
			}
			if put(fmt.Sprintf("before-%d", i%30), 3000+i) == nil {
				changed++
			}
		}
		if err := db.Check(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		demandAll(t, db, have)
		t.Logf("round %d: %d of 40 refused, %d of 40 small ones done, the file grew by %d", round, refused, changed, fileSize(t, path)-size)
		if refused < 30 {
			t.Errorf("round %d: only %d of 40 were refused", round, refused)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := put(fmt.Sprintf("after-%d", round), 100_000); err != nil {
			t.Fatalf("with room again: %v", err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := again.Check(); err != nil {
		t.Error(err)
	}
	demandAll(t, again, have)
}

func value(key string, size int) []byte {
	sum := sha256.Sum256([]byte(key))
	return bytes.Repeat(sum[:], size/len(sum)+1)[:size]
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// demandAll demands what is in have, and nothing else.
func demandAll(t *testing.T, db *DB, have map[string]int) {
	t.Helper()
	found := 0
	err := db.View(func(tx Tx) error {
		return tx.Scan(nil, func(key, got []byte) error {
			found++
			if size, ok := have[string(key)]; !ok || !bytes.Equal(got, value(string(key), size)) {
				t.Errorf("%s has %d bytes, not what was acknowledged", key, len(got))
			}
			return nil
		})
	})
	if err != nil || found != len(have) {
		t.Fatalf("%d keys are there, %d were acknowledged: %v", found, len(have), err)
	}
}
