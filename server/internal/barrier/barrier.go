// Package barrier keeps encrypted records in the store, and notices when what the store gives back is not what was
// last put in: changed, older, removed, added or swapped records are named errors, never answers.
//
// It must not decide who may read a record, must not audit, and never puts a secret on the heap: metadata is read with
// Get, secret values with GetSecret. What is readable in the store is kinds and IDs, so IDs must be opaque; names go
// through Claim.
//
// # What is in the store
//
// All numbers are big-endian. A record's key is its kind, "/", its ID. Its value (record.go):
//
//	format u8 = 1 | algorithm u8 = 1 | key number u32 | vault 16 bytes | epoch u32 | commit u64 | salt 32 bytes | ciphertext
//
// Algorithm 1 is AES-256-GCM under HKDF-SHA256(numbered key, salt, "strongroom record v1"), with a nonce of zeros since
// the salt is new each time and the key so used once. The associated data are the 34 bytes before the salt, then kind
// and ID, each after its length as a u32.
//
// Three kinds belong to this package: "keyring" (keyring.go), "root" (root.go) and "name" (names.go). The set hash and
// the terms it is the sum of are described in index.go.
//
// The keyring can be rotated while the records are in use (rekey.go).
//
// The epoch, from the root record's header, is for restoring an older backup on purpose. A record of a later epoch
// than the root record's is refused.
package barrier

import (
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/secret"
)

var (
	// ErrNotFound: there is no such record or name.
	ErrNotFound = errors.New("barrier: no such record")
	// ErrTaken: the name belongs to another record.
	ErrTaken = errors.New("barrier: name is taken")
	// ErrRollback: the records are not those of the last commit: an older, removed or added one, or an older root.
	ErrRollback = errors.New("barrier: records are not the last ones written")
	// ErrCorrupt: a record was changed or moved, or the store is damaged. It is the store's own error.
	ErrCorrupt = store.ErrCorrupt
	// ErrLimit: a record or a transaction is too large. It is the store's own error.
	ErrLimit = store.ErrLimit
	// ErrUncertain: what was written may be there or not. It is the store's own error.
	ErrUncertain = store.ErrUncertain
	// ErrInvalid: a kind, an ID or a name that cannot be used.
	ErrInvalid = errors.New("barrier: not usable as kind, ID or name")
	// ErrExists: the store holds a vault already.
	ErrExists = errors.New("barrier: the store holds a vault already")
	// ErrClosed: the barrier was closed.
	ErrClosed = errors.New("barrier: closed")
)

// MaxPlaintext is the longest record in bytes. A transaction takes 99 writes: Put, Delete, Claim and Release.
const MaxPlaintext = 1<<20 - 1<<10

// Barrier is an unsealed vault's records. Its methods may be called from several goroutines.
type Barrier struct {
	db    store.Store
	arena *secret.Arena
	vault [vaultSize]byte

	writing sync.Mutex // held for the whole of Update

	// mu is held for reading by View, and for writing while a commit and the state below change together, so that no
	// View sees the records of one commit and the index of another.
	mu    sync.RWMutex
	keys  *keyring // nil once closed
	index index
	root  rootRecord
	epoch uint32

	// What the root key gives, which is not kept itself. They are wiped with keys.
	zero   *secret.Buffer // wraps the keyring
	backup *secret.Buffer // see SealBackup
}

// Create makes the first records of a new vault, whose ID is 32 lower-case hex digits, in an empty store. root, the
// 32-byte root key, stays the caller's.
func Create(db store.Store, a *secret.Arena, root *secret.Buffer, vault string) (*Barrier, error) {
	b, err := newBarrier(db, a, vault)
	if err != nil {
		return nil, err
	}
	if err := b.derive(root); err != nil {
		return nil, err
	}
	b.epoch = 1
	if b.keys, err = newKeyring(a); err == nil {
		err = b.update(func(tx *Tx) error {
			if err := tx.store.Scan(nil, func(_, _ []byte) error { return ErrExists }); err != nil {
				return err
			}
			return tx.putKeyring()
		})
	}
	if err != nil {
		b.wipe()
		return nil, fmt.Errorf("barrier: make keyring: %w", err)
	}
	return b, nil
}

// Open reads a vault's records: it decrypts every one of them and compares the set with what the root record says of
// it. Secrets are decrypted in the arena, which needs room for the largest. root stays the caller's.
func Open(db store.Store, a *secret.Arena, root *secret.Buffer, vault string) (*Barrier, error) {
	b, err := newBarrier(db, a, vault)
	if err != nil {
		return nil, err
	}
	if err := b.derive(root); err != nil {
		return nil, err
	}
	err = db.View(func(stx store.Tx) error {
		tx := &Tx{b: b, store: stx}
		if err := tx.loadKeyring(); err != nil {
			return err
		}
		if err := tx.loadRoot(); err != nil {
			return err
		}
		return tx.loadIndex()
	})
	if err != nil {
		b.wipe()
		return nil, err
	}
	return b, nil
}

func newBarrier(db store.Store, a *secret.Arena, vault string) (*Barrier, error) {
	b := &Barrier{db: db, arena: a, index: newIndex()}
	id, err := hex.DecodeString(vault)
	if err != nil || len(id) != vaultSize {
		return nil, fmt.Errorf("%w: vault ID %q must be %d hex digits", ErrInvalid, vault, 2*vaultSize)
	}
	copy(b.vault[:], id)
	return b, nil
}

// Close waits for running transactions and wipes the keys. The store and the root key stay the caller's.
func (b *Barrier) Close() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wipe()
	b.keys = nil
	b.index = index{}
}

// wipe wipes every key that is held.
func (b *Barrier) wipe() {
	b.keys.wipe()
	b.zero.Wipe()
	b.backup.Wipe()
}

// View runs fn on the records of the last commit. Transactions must not be nested, neither kind in neither: that can
// wait for itself for ever. A commit waits for running views, so fn should be short.
func (b *Barrier) View(fn func(*Tx) error) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return ErrClosed
	}
	return b.db.View(func(stx store.Tx) error {
		return fn(&Tx{b: b, store: stx, keys: b.keys, epoch: b.epoch})
	})
}

// Update runs fn in a transaction that takes the next commit number, also if fn writes nothing. When Update returns nil
// all of it is on disk, otherwise none is (but see store.ErrUncertain), and the barrier is as it was before. fn may run
// again; what an earlier run did is then forgotten.
func (b *Barrier) Update(fn func(*Tx) error) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	if b.keys == nil { // only Close changes it, under writing
		return ErrClosed
	}
	return b.update(fn)
}

func (b *Barrier) update(fn func(*Tx) error) error {
	locked := false
	defer func() {
		if locked {
			b.mu.Unlock()
		}
	}()
	tx := &Tx{keys: b.keys}
	// Keys that a transaction made and did not bring into the barrier.
	defer func() { tx.keys.wipeBut(b.keys) }()
	err := b.db.Update(func(stx store.Tx) error {
		tx.keys.wipeBut(b.keys) // of an earlier run
		next := b.root
		next.commit++
		tx = &Tx{b: b, store: stx, keys: b.keys, epoch: b.epoch, changes: changes{}, root: next}
		if err := fn(tx); err != nil {
			return err
		}
		if err := tx.putRoot(); err != nil {
			return err
		}
		// From here on the store may show the new commit, so no View may run until the index does too.
		if !locked {
			b.mu.Lock()
			locked = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.index.apply(tx.changes)
	b.root, b.epoch = tx.root, tx.epoch
	old := b.keys
	b.keys = tx.keys
	old.wipeBut(b.keys) // nobody reads with them: views wait for mu
	return nil
}

// Commit is the number of the last commit; Create makes commit 1.
func (b *Barrier) Commit() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.root.commit
}

// Epoch is the vault's: 1, and one more after each restore on purpose.
func (b *Barrier) Epoch() uint32 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.epoch
}

// LogState is what the last commit says of the audit log: its size in entries and its root hash.
func (b *Barrier) LogState() (size uint64, root [32]byte) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.root.logSize, b.root.logRoot
}
