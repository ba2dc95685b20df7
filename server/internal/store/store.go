// Package store keeps ordered keys and values, in transactions that survive a crash. Store is what every engine does,
// and storetest holds each to it; DB is the engine that there is, on one file.
//
// It is for opaque bytes: it knows nothing of records, encryption or names, and nothing readable may be given to it.
// It is the only package that imports bbolt. Everything bbolt does when its file is damaged (it panics, reads past
// the end of the file, follows pages in circles) comes out of here as ErrCorrupt.
//
// # On disk
//
// One bbolt file with one bucket, "strongroom". The key "\x00format" holds the format version, a 32-bit big-endian
// number, now 1. Keys that begin with a zero byte belong to this package; all others are the caller's.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/durable"
)

// Limits of one transaction, chosen so that they hold for every kind of store that is to come.
const (
	MaxKey    = 1<<10 - 1 // bytes in a key
	MaxValue  = 1<<20 - 1 // bytes in a value
	MaxWrites = 100       // calls of Put and Delete in a transaction
)

var (
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("store: in use by another process")
	// ErrCorrupt: the file is damaged. A store that has returned it refuses everything from then on.
	ErrCorrupt = errors.New("store: file is damaged")
	// ErrNewerFormat: the file was written by a later version of the product.
	ErrNewerFormat = errors.New("store: file has a newer format than this version can read")
	// ErrLimit: a key, a value or a transaction is larger than allowed, or a key is not the caller's to use.
	ErrLimit = errors.New("store: outside the limits of a transaction")
	// ErrUncertain: a commit failed so late that it may or may not be on disk. The store must be opened again.
	ErrUncertain = errors.New("store: outcome of the last write is not known, open the store again")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
)

const (
	formatVersion = 1
	lockWait      = time.Second
	growStep      = 256 << 10 // bytes by which the file grows; bbolt's own step is 16 MiB
)

var (
	bucketName = []byte("strongroom")
	formatKey  = []byte("\x00format")
)

// Store is an open store. Its methods may be called from several goroutines. Transactions must not be nested.
type Store interface {
	// View runs fn once, in a read transaction: fn sees the store as it was when the transaction began. It returns fn's
	// error, or ErrCorrupt if anything read in it was damaged, whatever fn made of that.
	View(fn func(Tx) error) error

	// Update runs fn in a write transaction, one at a time. When it returns nil all of fn's writes are on disk,
	// otherwise none is, except with ErrUncertain. fn may be run more than once, each time on the store as it then is
	// and without the writes of the run before: the last run alone counts, and fn must not keep what it did in an
	// earlier one.
	Update(fn func(Tx) error) error

	// Close waits for running transactions; later ones end with ErrClosed. Closing twice is harmless.
	Close() error
}

// Tx is a transaction. It is valid until the function it was given to returns, and for one goroutine.
type Tx interface {
	// Get returns the value of key, nil if there is none. The caller must not keep it beyond the transaction.
	Get(key []byte) []byte

	// Put sets the value of key. It keeps neither slice.
	Put(key, value []byte) error

	// Delete removes key; it is no error if there is none.
	Delete(key []byte) error

	// Scan calls fn for every key that begins with prefix, in the order of their bytes, until fn returns an error,
	// which Scan then returns. The slices are valid during the call of fn. fn must not write.
	Scan(prefix []byte, fn func(key, value []byte) error) error

	// ScanFrom is as Scan, for every key from the given one on, be it there or not.
	ScanFrom(first []byte, fn func(key, value []byte) error) error
}

// DB is a Store in one file.
type DB struct {
	path string
	bolt *bolt.DB
	file *os.File

	writing   sync.Mutex // held for the whole of a write transaction
	beginning sync.Mutex // one Begin at a time, so that none starts while another is failing inside bbolt's locks
	failed    atomic.Pointer[error]
}

// Create makes a new store at path, mode 0600, and opens it: os.ErrExist where there is one.
func Create(path string) (*DB, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("store: create %s: %w", path, os.ErrExist)
	}
	if err := create(path); err != nil {
		return nil, fmt.Errorf("store: create %s: %w", path, err)
	}
	return Open(path)
}

// Open opens the store at path: os.ErrNotExist where there is none. It waits up to one second for another process to
// let go of the file, then fails with ErrLocked. The pages that lead to the data are checked first, so that a damaged
// file gives ErrCorrupt here and is not changed.
func Open(path string) (*DB, error) {
	db := &DB{path: path}
	if err := db.open(); err != nil {
		if db.file != nil {
			// A panic inside bbolt leaves its mapping behind, and with it the lock.
			_ = unlock(db.file)
			_ = db.file.Close()
		}
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := db.view(checkFormat); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

func (db *DB) open() error {
	options := &bolt.Options{
		Timeout:         lockWait,
		FreelistType:    bolt.FreelistMapType,
		NoStatistics:    true,
		InitialMmapSize: initialMap,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			f, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
			if err != nil {
				return nil, err
			}
			db.file = f
			if err := lock(f, lockWait); err != nil {
				return nil, err
			}
			info, err := f.Stat()
			if err != nil {
				return nil, err
			}
			return f, checkFile(f, info.Size())
		},
	}
	var openErr error
	if err := guard(func() { db.bolt, openErr = bolt.Open(db.path, 0o600, options) }); err != nil {
		return err
	}
	if openErr != nil {
		return named(openErr)
	}
	db.bolt.AllocSize = growStep
	return nil
}

// create makes the file complete under another name first: a crash in the middle leaves no half store at path, and a
// store that appeared meanwhile is not replaced.
func create(path string) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	b, err := bolt.Open(f.Name(), 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	err = b.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucket(bucketName)
		if err != nil {
			return err
		}
		return bucket.Put(formatKey, binary.BigEndian.AppendUint32(nil, formatVersion))
	})
	if err := errors.Join(err, b.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return durable.SyncDir(dir)
}

func checkFormat(tx *transaction) error {
	v := tx.get(formatKey)
	if len(v) != 4 {
		return fmt.Errorf("%w: no format version in it", ErrCorrupt)
	}
	switch n := binary.BigEndian.Uint32(v); {
	case n > formatVersion:
		return fmt.Errorf("%w: it has format %d, this version reads up to %d", ErrNewerFormat, n, formatVersion)
	case n < formatVersion:
		return fmt.Errorf("%w: format version %d never existed", ErrCorrupt, n)
	}
	return nil
}

// Close also lets go of the file.
func (db *DB) Close() error {
	db.writing.Lock()
	defer db.writing.Unlock()
	if p := db.failed.Load(); p == nil {
		db.fail(ErrClosed)
		return db.bolt.Close()
	} else if errors.Is(*p, ErrClosed) {
		return nil
	}
	// bbolt may have failed with its own locks held and would wait for them for ever. Its mapping stays behind.
	db.failed.Store(&errClosed)
	return errors.Join(unlock(db.file), db.file.Close())
}

var errClosed = ErrClosed

// fail makes every later transaction return err; the first failure stays.
func (db *DB) fail(err error) { db.failed.CompareAndSwap(nil, &err) }

// View is a Store's. fn should be short: when the file outgrows its mapping, a commit waits for all views to end.
func (db *DB) View(fn func(Tx) error) error {
	return db.view(func(tx *transaction) error { return fn(tx) })
}

func (db *DB) view(fn func(*transaction) error) error {
	tx, err := db.begin(false)
	if err != nil {
		return err
	}
	defer tx.end()
	err = fn(tx)
	if tx.err != nil {
		return tx.err
	}
	return err
}

// Update is a Store's. This engine needs no second run of fn; others do.
func (db *DB) Update(fn func(Tx) error) error {
	db.writing.Lock()
	defer db.writing.Unlock()
	tx, err := db.begin(true)
	if err != nil {
		return err
	}
	defer tx.end()
	err = fn(tx)
	if tx.err != nil {
		return tx.err
	}
	if err != nil {
		return err
	}
	crash.Point("store.commit")
	id := tx.bolt.ID()
	var commitErr error
	if err := guard(func() { commitErr = tx.bolt.Commit() }); err != nil {
		db.fail(err)
		return err
	}
	crash.Point("store.committed")
	if commitErr != nil {
		return db.settle(id, commitErr)
	}
	return nil
}

// settle finds out what a failed commit left behind. If bbolt still reads the state from before, nothing happened and
// the store goes on (a full disk, for example). If it reads the new one, that was not synced and may yet be lost.
func (db *DB) settle(id int, cause error) error {
	tx, err := db.begin(false)
	if err != nil {
		return err
	}
	defer tx.end()
	if tx.bolt.ID() < id {
		return fmt.Errorf("store: commit: %w", cause)
	}
	err = fmt.Errorf("%w: %w", ErrUncertain, cause)
	db.fail(err)
	return err
}

func (db *DB) begin(writable bool) (*transaction, error) {
	db.beginning.Lock()
	defer db.beginning.Unlock()
	if p := db.failed.Load(); p != nil {
		return nil, *p
	}
	tx := &transaction{db: db}
	var beginErr error
	err := guard(func() {
		if tx.bolt, beginErr = db.bolt.Begin(writable); beginErr == nil {
			tx.bucket = tx.bolt.Bucket(bucketName)
		}
	})
	switch {
	case err != nil:
	case beginErr != nil:
		return nil, named(beginErr)
	case tx.bucket == nil:
		tx.end()
		err = fmt.Errorf("%w: its bucket is gone", ErrCorrupt)
	default:
		return tx, nil
	}
	db.fail(err)
	return nil, err
}

// Check compares everything in the file with everything else in it, for `check` and for tests: it reads the whole
// file and answers with the first difference, an ErrCorrupt. No write may run meanwhile; Check sees to that.
func (db *DB) Check() error {
	db.writing.Lock()
	defer db.writing.Unlock()
	return db.view(func(tx *transaction) error {
		var first error
		for err := range tx.bolt.Check() {
			if first == nil {
				first = damaged("%s", inWords(err))
			}
		}
		return first
	})
}
