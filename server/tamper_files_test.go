package server

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/secret"
)

func storeKeys(t *testing.T, path string) (keys []string) {
	t.Helper()
	for key := range readStore(t, path) {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// readStore is what the store holds, by key.
func readStore(t *testing.T, path string) map[string]string {
	t.Helper()
	db := must(store.Open(path))(t)
	defer db.Close()
	out := map[string]string{}
	err := db.View(func(tx store.Tx) error {
		return tx.Scan(nil, func(k, value []byte) error { out[string(k)] = string(value); return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == reserveFile {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func newTestArena(t testing.TB, size int) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The store's file begins with two pages that say where everything else is; the one with the later transaction holds.
const pageSize = 4096

// newestMeta is the first page that holds.
func newestMeta(file []byte) []byte {
	first, second := file[:pageSize], file[pageSize:2*pageSize]
	if binary.NativeEndian.Uint64(second[16+48:]) > binary.NativeEndian.Uint64(first[16+48:]) {
		return second
	}
	return first
}

// usedPages is where the pages end that the store has ever used: the number of them is in both of its first pages.
func usedPages(t *testing.T, path string) int {
	t.Helper()
	first := newestMeta(must(os.ReadFile(path))(t))
	return int(binary.NativeEndian.Uint64(first[16+40:])) * pageSize
}

// writeStore makes the store hold these records and no others, without the barrier.
func writeStore(t *testing.T, path string, records map[string]string) {
	t.Helper()
	now := readStore(t, path)
	db := must(store.Open(path))(t)
	defer db.Close()
	err := db.Update(func(tx store.Tx) error {
		for key := range now {
			if _, stays := records[key]; !stays {
				if err := tx.Delete([]byte(key)); err != nil {
					return err
				}
			}
		}
		for key, value := range records {
			if now[key] == value {
				continue
			}
			if err := tx.Put([]byte(key), []byte(value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func patch(t *testing.T, path string, at int, with []byte) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(with, int64(at))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// must ends the test where making something failed.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
