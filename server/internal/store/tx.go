package store

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// transaction is the Tx of a DB.
type transaction struct {
	db       *DB
	bolt     *bolt.Tx
	bucket   *bolt.Bucket
	writes   int
	scanning bool
	err      error // the first damage met; it becomes the transaction's result
}

func (tx *transaction) Get(key []byte) []byte {
	if checkKey(key) != nil {
		return nil
	}
	return tx.get(key)
}

func (tx *transaction) get(key []byte) (value []byte) {
	tx.guard(func() error {
		v := tx.bucket.Get(key)
		if v == nil {
			return nil
		}
		var err error
		// bbolt's slice lies in the mapped file, where a read can fault: it never leaves the guard.
		value, err = appendChecked([]byte{}, v, MaxValue)
		return err
	})
	return value
}

func (tx *transaction) Put(key, value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("%w: value of %d bytes, at most %d are allowed", ErrLimit, len(value), MaxValue)
	}
	if err := tx.checkWrite(key); err != nil {
		return err
	}
	return tx.guard(func() error { return tx.bucket.Put(key, bytes.Clone(value)) })
}

func (tx *transaction) Delete(key []byte) error {
	if err := tx.checkWrite(key); err != nil {
		return err
	}
	return tx.guard(func() error { return tx.bucket.Delete(key) })
}

func (tx *transaction) Scan(prefix []byte, fn func(key, value []byte) error) error {
	return tx.scan(prefix, prefix, fn)
}

func (tx *transaction) ScanFrom(first []byte, fn func(key, value []byte) error) error {
	return tx.scan(first, nil, fn)
}

func (tx *transaction) scan(first, prefix []byte, fn func(key, value []byte) error) error {
	defer func(outer bool) { tx.scanning = outer }(tx.scanning)
	tx.scanning = true
	cursor := tx.bucket.Cursor()
	advance := func() ([]byte, []byte) { return cursor.Seek(first) }
	var key, value []byte
	for more := true; more; advance = cursor.Next {
		err := tx.guard(func() error {
			k, v := advance()
			if more = k != nil && bytes.HasPrefix(k, prefix); !more {
				return nil
			}
			if v == nil || len(k) == 0 {
				return fmt.Errorf("%w: an entry without a key or a value", ErrCorrupt)
			}
			var err error
			if key, err = appendChecked(key[:0], k, MaxKey); err != nil {
				return err
			}
			value, err = appendChecked(value[:0], v, MaxValue)
			return err
		})
		if err != nil {
			return err
		}
		if !more || key[0] == formatKey[0] {
			continue
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
	return nil
}

// appendChecked refuses a length that no Put allowed before it makes room for it: damage must not cost memory.
func appendChecked(dst, src []byte, limit int) ([]byte, error) {
	if len(src) > limit {
		return nil, fmt.Errorf("%w: an entry of %d bytes", ErrCorrupt, len(src))
	}
	return append(dst, src...), nil
}

func checkKey(key []byte) error {
	switch {
	case len(key) == 0 || len(key) > MaxKey:
		return fmt.Errorf("%w: key of %d bytes, 1 to %d are allowed", ErrLimit, len(key), MaxKey)
	case key[0] == formatKey[0]:
		return fmt.Errorf("%w: keys that begin with a zero byte are reserved", ErrLimit)
	}
	return nil
}

func (tx *transaction) checkWrite(key []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if tx.scanning {
		return errors.New("store: write during a scan")
	}
	if tx.writes++; tx.writes > MaxWrites {
		return fmt.Errorf("%w: more than %d writes", ErrLimit, MaxWrites)
	}
	return nil
}

// guard runs f, a step inside bbolt, and remembers damage so that neither this transaction nor a later one goes on.
func (tx *transaction) guard(f func() error) error {
	if tx.err != nil {
		return tx.err
	}
	var stepErr error
	err := guard(func() { stepErr = f() })
	if err == nil {
		err = named(stepErr)
	}
	if errors.Is(err, ErrCorrupt) {
		tx.err = err
		tx.db.fail(err)
	}
	return err
}

// end gives the transaction back; after a commit it does nothing.
func (tx *transaction) end() {
	if p := tx.db.failed.Load(); p != nil && !errors.Is(*p, ErrClosed) {
		return // bbolt may hold its locks for ever: Close does without it
	}
	if err := guard(func() { _ = tx.bolt.Rollback() }); err != nil {
		tx.db.fail(err)
	}
}

// guard turns a panic or a memory fault in f into ErrCorrupt.
func guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damaged("%s", inWords(p))
		}
	}()
	f()
	return nil
}

var otherPage = regexp.MustCompile(`Page expected to be: (\d+), but self identifies as (\d+)`)

// inWords is what bbolt panicked with, or found.
func inWords(found any) string {
	text := fmt.Sprintf("%.200s", fmt.Sprint(found))
	if m := otherPage.FindStringSubmatch(text); m != nil {
		return "page " + m[1] + " calls itself " + m[2]
	}
	for _, begin := range []string{"panic: ", "assertion failed: ", "runtime error: "} {
		text = strings.TrimPrefix(text, begin)
	}
	return text
}

// named turns bbolt's errors into this package's.
func named(err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch),
		errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrInvalidMapping),
		errors.Is(err, berrors.ErrIncompatibleValue):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}
