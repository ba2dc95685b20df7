package barrier

import (
	"crypto/sha256"
	"fmt"

	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/secret"
)

// Tx is a transaction. It is valid until the function it was given to returns, and for one goroutine.
type Tx struct {
	b       *Barrier
	store   store.Tx
	keys    *keyring   // the barrier's, or those that this transaction will make its own
	epoch   uint32     // likewise
	changes changes    // nil in a View
	root    rootRecord // what this transaction will commit
	scratch []byte
}

// Get returns a record's plaintext on the heap: for metadata, never for secret values. ErrNotFound if there is none.
func (tx *Tx) Get(kind Kind, id string) ([]byte, error) {
	if err := checkCaller(kind, id); err != nil {
		return nil, err
	}
	return tx.get(kind, id)
}

func (tx *Tx) get(kind Kind, id string) ([]byte, error) {
	r, key, err := tx.find(kind, id)
	if err != nil {
		return nil, err
	}
	plaintext, err := r.openPublic(tx.b.arena, key, kind, id)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", kind, id, err)
	}
	return plaintext, nil
}

// GetSecret returns a record's plaintext in the arena, and nowhere else; the caller wipes it.
func (tx *Tx) GetSecret(kind Kind, id string) (*secret.Buffer, error) {
	if err := checkCaller(kind, id); err != nil {
		return nil, err
	}
	r, key, err := tx.find(kind, id)
	if err != nil {
		return nil, err
	}
	plaintext, err := r.open(tx.b.arena, key, kind, id)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", kind, id, err)
	}
	return plaintext, nil
}

// Put writes a record. plaintext may be a secret buffer's bytes: it is read, not kept.
func (tx *Tx) Put(kind Kind, id string, plaintext []byte) error {
	if err := checkCaller(kind, id); err != nil {
		return err
	}
	return tx.put(kind, id, plaintext)
}

func (tx *Tx) put(kind Kind, id string, plaintext []byte) error {
	return tx.putUnder(tx.keys.current, tx.keys.records[tx.keys.current], kind, id, plaintext)
}

func (tx *Tx) putUnder(number uint32, key *secret.Buffer, kind Kind, id string, plaintext []byte) error {
	if tx.changes == nil {
		return fmt.Errorf("barrier: write of %s/%s in a View", kind, id)
	}
	if len(plaintext) > MaxPlaintext {
		return fmt.Errorf("%w: %s/%s of %d bytes, at most %d are allowed", ErrLimit, kind, id, len(plaintext), MaxPlaintext)
	}
	h := header{keyNumber: number, vault: tx.b.vault, epoch: tx.epoch, commit: tx.root.commit}
	raw, err := sealRecord(tx.b.arena, key, h, kind, id, plaintext)
	if err != nil {
		return fmt.Errorf("barrier: encrypt %s/%s: %w", kind, id, err)
	}
	if err := tx.store.Put(recordKey(kind, id), raw); err != nil {
		return err
	}
	r, err := decodeRecord(raw)
	if err != nil {
		return err
	}
	e := entryOf(r)
	tx.note(kind, id, &e)
	return nil
}

// Delete removes a record. ErrNotFound if there is none.
func (tx *Tx) Delete(kind Kind, id string) error {
	if err := checkCaller(kind, id); err != nil {
		return err
	}
	return tx.delete(kind, id)
}

func (tx *Tx) delete(kind Kind, id string) error {
	if tx.changes == nil {
		return fmt.Errorf("barrier: deletion of %s/%s in a View", kind, id)
	}
	if _, known := tx.lookup(kind, id); !known {
		return fmt.Errorf("%w: %s/%s", ErrNotFound, kind, id)
	}
	if err := tx.store.Delete(recordKey(kind, id)); err != nil {
		return err
	}
	tx.note(kind, id, nil)
	return nil
}

// note carries a change into the set hash and remembers it for the index.
func (tx *Tx) note(kind Kind, id string, e *entry) {
	if old, known := tx.lookup(kind, id); known {
		tx.root.set = tx.root.set.minus(tx.term(&old, kind, id))
	}
	if e != nil {
		tx.root.set = tx.root.set.plus(tx.term(e, kind, id))
	}
	tx.changes[recordName{kind, id}] = e
}

func (tx *Tx) term(e *entry, kind Kind, id string) (t sum) {
	t, tx.scratch = tx.keys.term(tx.scratch, e, kind, id)
	return t
}

// SetLog sets what this commit says of the audit log. Without it the commit repeats what the last one said.
func (tx *Tx) SetLog(size uint64, root [32]byte) {
	tx.root.logSize, tx.root.logRoot = size, root
}

// Scan calls fn for every record of a kind in the order of their IDs, until fn returns an error, which Scan then
// returns. The plaintext is on the heap and belongs to fn. fn must not write.
func (tx *Tx) Scan(kind Kind, fn func(id string, plaintext []byte) error) error {
	if err := checkCaller(kind, onlyID); err != nil {
		return err
	}
	seen := 0
	prefix := recordKey(kind, "")
	err := tx.store.Scan(prefix, func(storeKey, raw []byte) error {
		id := string(storeKey[len(prefix):])
		r, key, err := tx.check(raw, kind, id)
		if err != nil {
			return err
		}
		plaintext, err := r.openPublic(tx.b.arena, key, kind, id)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", kind, id, err)
		}
		seen++
		return fn(id, plaintext)
	})
	if err != nil {
		return err
	}
	if want := tx.count(kind); seen != want {
		return fmt.Errorf("%w: %d records of kind %s, there should be %d", ErrRollback, seen, kind, want)
	}
	return nil
}

// lookup answers from this transaction's changes, then from the index.
func (tx *Tx) lookup(kind Kind, id string) (entry, bool) {
	if e, changed := tx.changes[recordName{kind, id}]; changed {
		if e == nil {
			return entry{}, false
		}
		return *e, true
	}
	return tx.b.index.get(kind, id)
}

func (tx *Tx) count(kind Kind) int {
	n := tx.b.index.count(kind)
	for name, e := range tx.changes {
		if name.kind != kind {
			continue
		}
		_, before := tx.b.index.get(kind, name.id)
		switch after := e != nil; {
		case after && !before:
			n++
		case before && !after:
			n--
		}
	}
	return n
}

// find reads a record and the key it is under. Whether there is one is for the index to say, not for the store.
func (tx *Tx) find(kind Kind, id string) (record, *secret.Buffer, error) {
	raw := tx.store.Get(recordKey(kind, id))
	if raw == nil {
		if _, known := tx.lookup(kind, id); known {
			return record{}, nil, fmt.Errorf("%w: %s/%s was removed", ErrRollback, kind, id)
		}
		return record{}, nil, fmt.Errorf("%w: %s/%s", ErrNotFound, kind, id)
	}
	return tx.check(raw, kind, id)
}

// check compares a record with the index: its commit, and because a commit that never happened may have left its
// pages behind, the ciphertext too.
func (tx *Tx) check(raw []byte, kind Kind, id string) (record, *secret.Buffer, error) {
	e, known := tx.lookup(kind, id)
	if !known {
		return record{}, nil, fmt.Errorf("%w: %s/%.80q was added", ErrRollback, kind, id)
	}
	r, err := tx.b.decode(raw, kind, id)
	if err != nil {
		return record{}, nil, err
	}
	if r.commit != e.commit {
		return record{}, nil, fmt.Errorf("%w: %s/%s is of commit %d, the last was %d", ErrRollback, kind, id, r.commit, e.commit)
	}
	if sha256.Sum256(r.ciphertext) != e.digest {
		return record{}, nil, fmt.Errorf("%w: %s/%s is not what commit %d wrote", ErrCorrupt, kind, id, e.commit)
	}
	key, err := tx.keys.key(r.keyNumber)
	if err != nil {
		return record{}, nil, fmt.Errorf("%s/%s: %w", kind, id, err)
	}
	return r, key, nil
}

func (b *Barrier) decode(raw []byte, kind Kind, id string) (record, error) {
	r, err := decodeRecord(raw)
	if err != nil {
		return record{}, fmt.Errorf("%s/%s: %w", kind, id, err)
	}
	if r.vault != b.vault {
		return record{}, fmt.Errorf("%w: %s/%s belongs to vault %x, this is %x", ErrCorrupt, kind, id, r.vault, b.vault)
	}
	return r, nil
}

func (k *keyring) key(number uint32) (*secret.Buffer, error) {
	key := k.records[number]
	if key == nil {
		return nil, fmt.Errorf("%w: the keyring has no key %d", ErrCorrupt, number)
	}
	return key, nil
}
