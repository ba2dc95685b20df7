package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

const holdEnv = "STRONGROOM_TEST_HOLD_STORE"

// TestMain is also the second process of TestSecondProcess: it opens the store it is told to and keeps it.
func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		if _, err := openOrCreate(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// OpenChecked opens the store in dir; at the end of the test bbolt's own check has to find nothing.
func OpenChecked(t *testing.T, dir string) *DB {
	t.Helper()
	path := filepath.Join(dir, "vault.db")
	db, err := openOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		again, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(again.Check(), again.Close()); err != nil {
			t.Error(err)
		}
	})
	return db
}

func put(t *testing.T, db *DB, key, value string) {
	t.Helper()
	if err := db.Update(func(tx Tx) error { return tx.Put([]byte(key), []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func TestOpenMakesAPrivateFileAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	OpenChecked(t, dir)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestSecondProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.db")
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "held\n" {
		t.Fatal(line, err)
	}
	begin := time.Now()
	if _, err := Open(path); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	if waited := time.Since(begin); waited < 900*time.Millisecond || waited > 30*time.Second {
		t.Errorf("gave up after %v", waited)
	}
	_ = stdin.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
}

func TestNewerFormat(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]error{
		"\x00\x00\x00\x02": ErrNewerFormat,
		"\x00\x00\x00\x00": ErrCorrupt,
		"":                 ErrCorrupt,
		"\x00\x00\x00\x01": nil,
	} {
		path := filepath.Join(t.TempDir(), "vault.db")
		db, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		rewrite(t, path, func(tx *bolt.Tx) error { return tx.Bucket(bucketName).Put(formatKey, []byte(value)) })
		db, err = Open(path)
		if !errors.Is(err, want) {
			t.Errorf("%x: %v, want %v", value, err, want)
		}
		if err == nil {
			_ = db.Close()
		}
	}
}

// rewrite changes a closed store behind this package's back.
func rewrite(t *testing.T, path string, f func(*bolt.Tx) error) {
	t.Helper()
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Update(f), b.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAfterAFailedCommit(t *testing.T) {
	t.Parallel()
	db := OpenChecked(t, t.TempDir())
	put(t, db, "a", "1")
	tx, err := db.begin(false)
	if err != nil {
		t.Fatal(err)
	}
	now := tx.bolt.ID()
	tx.end()
	cause := errors.New("no space left on device")
	if err := db.settle(now+1, cause); !errors.Is(err, cause) || errors.Is(err, ErrUncertain) {
		t.Error(err)
	}
	put(t, db, "a", "2") // nothing had happened: the store goes on
	if err := db.settle(now+1, cause); !errors.Is(err, ErrUncertain) || !errors.Is(err, cause) {
		t.Error(err)
	}
	if err := db.View(func(Tx) error { return nil }); !errors.Is(err, ErrUncertain) {
		t.Error(err)
	}
}

func openOrCreate(path string) (*DB, error) {
	if _, err := os.Lstat(path); err != nil {
		return Create(path)
	}
	return Open(path)
}

// A store that is gone is not made anew, and one that is there is not replaced.
func TestMissingStore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vault.db")
	if _, err := Open(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opened what is not there: %v, want ErrNotExist", err)
	}
	db, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("created what is there: %v, want ErrExist", err)
	}
}
