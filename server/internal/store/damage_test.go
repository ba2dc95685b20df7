package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// sample is a store's file with a branch page, leaves, an overflow page and free pages.
func sample(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.db")
	db, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		err := db.Update(func(tx Tx) error {
			for i := range 90 {
				size := 100
				if i == 50 {
					size = 9000
				}
				if err := tx.Put(fmt.Appendf(nil, "k%02d", i), bytes.Repeat([]byte{byte(i + round)}, size)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// use does what a server does with a store: it opens it, reads everything, writes, closes.
func use(t testing.TB, path string, file []byte) error {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path)
	if err != nil {
		return err
	}
	db.bolt.NoSync, db.bolt.NoGrowSync = true, true // thousands of files are damaged here, none has to last
	readErr := db.View(func(tx Tx) error {
		for i := range 90 {
			tx.Get(fmt.Appendf(nil, "k%02d", i))
		}
		return tx.Scan(nil, func(_, _ []byte) error { return nil })
	})
	writeErr := db.Update(func(tx Tx) error {
		return errors.Join(tx.Delete([]byte("k10")), tx.Put([]byte("k11"), make([]byte, 5000)))
	})
	return errors.Join(readErr, writeErr, db.Close())
}

func onlyCorrupt(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNewerFormat) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestWholeSampleIsAccepted(t *testing.T) {
	t.Parallel()
	if err := use(t, filepath.Join(t.TempDir(), "f"), sample(t)); err != nil {
		t.Error(err)
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	path, file := filepath.Join(t.TempDir(), "f"), sample(t)
	used := int(lastMeta(t, file).pages) * 4096
	for n := 0; n < used; n += 512 {
		if err := use(t, path, file[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func lastMeta(t testing.TB, file []byte) meta {
	t.Helper()
	m, err := newestMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTruncatedWhileOpen makes the mapped pages vanish: each access is a SIGBUS.
func TestTruncatedWhileOpen(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 2 * 4096} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, sample(t), 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(func(tx Tx) error {
			if err := os.Truncate(path, size); err != nil {
				t.Error(err)
			}
			// With no page left the second one faults while bbolt holds its locks: the first must end without them.
			second := make(chan error)
			go func() { second <- db.View(func(tx Tx) error { tx.Get([]byte("k10")); return nil }) }()
			if err := <-second; !errors.Is(err, ErrCorrupt) {
				t.Errorf("second reader: %v", err)
			}
			tx.Get([]byte("k10"))
			return nil // the transaction knows better
		})
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("read: %v", err)
		}
		if err := db.Update(func(Tx) error { return nil }); !errors.Is(err, ErrCorrupt) {
			t.Errorf("update: %v", err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrCorrupt) { // not ErrLocked: Close gave the lock back
			t.Errorf("open: %v", err)
		}
	}
}

// TestGarbled overwrites pages with noise, and single bytes where bbolt keeps its structure.
func TestGarbled(t *testing.T) {
	t.Parallel()
	path, file := filepath.Join(t.TempDir(), "f"), sample(t)
	random := rand.New(rand.NewPCG(1, 2))
	used := int(lastMeta(t, file).pages) * 4096
	file = file[:used]
	for page := 0; page < used; page += 4096 {
		noise := bytes.Clone(file)
		for i := range 4096 {
			noise[page+i] = byte(random.Uint32())
		}
		onlyCorrupt(t, fmt.Sprintf("page %d", page/4096), use(t, path, noise))
	}
	for page := 0; page < used; page += 4096 {
		for i := range 32 {
			for _, value := range []byte{file[page+i] ^ 3, 0xFF} {
				changed := bytes.Clone(file)
				changed[page+i] = value
				onlyCorrupt(t, fmt.Sprintf("page %d byte %d = %#x", page/4096, i, value), use(t, path, changed))
			}
		}
	}
}

// TestCircle lets a branch page lead back to itself, on which bbolt alone recurses until the process dies, and gives
// the free list a length that would take all memory.
func TestCircle(t *testing.T) {
	t.Parallel()
	path, file := filepath.Join(t.TempDir(), "f"), sample(t)
	m := lastMeta(t, file)
	entry := file[m.root*4096+16:]
	root := native.Uint64(entry[native.Uint32(entry[4:])+native.Uint32(entry[8:]):])
	branch := file[root*4096:]
	if native.Uint16(branch[8:]) != branchPage {
		t.Fatalf("page %d of the sample is no branch", root)
	}
	for what, change := range map[string]func(file []byte){
		"itself":         func(f []byte) { native.PutUint64(f[root*4096+16+8:], root) },
		"a leaf twice":   func(f []byte) { copy(f[root*4096+16+16+8:][:8], f[root*4096+16+8:][:8]) },
		"beyond the end": func(f []byte) { native.PutUint64(f[root*4096+16+8:], 1<<40) },
		"the free list":  func(f []byte) { native.PutUint64(f[root*4096+16+8:], m.list) },
		"a long free list": func(f []byte) {
			native.PutUint16(f[m.list*4096+10:], 0xFFFF)
			native.PutUint64(f[m.list*4096+16:], 1<<40)
		},
		"a used page free": func(f []byte) { native.PutUint64(f[m.list*4096+16:], root) },
		"a leaf's number":  func(f []byte) { native.PutUint64(f[native.Uint64(branch[16+16+8:])*4096:], 1000) },
		"keys in disorder": func(f []byte) { f[root*4096+16+uint64(native.Uint32(branch[16:]))] = 'z' },
	} {
		changed := bytes.Clone(file)
		change(changed)
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestOlderMeta: with the newest first page gone bbolt falls back to the state before. That is a sound store; that it
// is an old one is for the barrier and the log to notice.
func TestOlderMeta(t *testing.T) {
	t.Parallel()
	path, file := filepath.Join(t.TempDir(), "f"), sample(t)
	m := lastMeta(t, file)
	file[(m.version%2)*4096+20] ^= 1
	if older := lastMeta(t, file); older.version != m.version-1 {
		t.Fatalf("version %d after %d", older.version, m.version)
	}
	if err := use(t, path, file); err != nil {
		t.Error(err)
	}
}

func TestForeignFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	for what, file := range map[string][]byte{
		"empty": {}, "text": []byte("not a database\n"), "zeros": make([]byte, 1<<16),
	} {
		if err := use(t, path, file); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	rewrite(t, path, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err })
	if _, err := Open(path); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// TestHugeEntry: a length that no Put allowed is damage, found before memory is asked for.
func TestHugeEntry(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	db, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	rewrite(t, path, func(tx *bolt.Tx) error {
		return tx.Bucket(bucketName).Put([]byte("k"), make([]byte, 2<<20))
	})
	db, err = Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx Tx) error { return tx.Scan(nil, func(_, _ []byte) error { return nil }) })
	if !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	file := sample(f)
	f.Add(uint32(0), []byte("noise"))
	used := int(lastMeta(f, file).pages) * 4096
	file = file[:used]
	for page := 0; page < used; page += 4096 {
		f.Add(uint32(page+8), []byte{1, 0, 255, 255})
	}
	path := filepath.Join(f.TempDir(), "f")
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		changed := bytes.Clone(file)
		copy(changed[int(at)%len(changed):], patch)
		own := fmt.Sprint(path, os.Getpid())
		onlyCorrupt(t, "fuzz", use(t, own, changed))
	})
}
