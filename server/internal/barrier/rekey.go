package barrier

import (
	"errors"
	"fmt"
	"math"

	"github.com/strongroom/strongroom/shared/secret"
)

// A rotation of the keyring replaces all its keys while the records stay in use. BeginRekey makes new ones current in
// one transaction: what is written from then on is under the new record key, a new name's ID comes from the new
// name-index key, and the set hash is the sum under the new set-hash key at once, since terms are in no record. Calls of
// Rekey, each in a transaction of its own, bring over what was there before: other records under the new record key,
// and names under that and the ID that the new name-index key gives. A name that is under the new record key so has
// the new ID too. EndRekey drops the old keys once no record is under them, by the index's own count.
//
// Between these transactions everything can be read, before a crash and after it: the keyring has the old keys as long
// as a record needs them. What was overwritten stays in free pages of the store, under the old keys, until it is written
// over; the root key stays the same.

// ErrRekeying: the keyring is being rotated already, or it is not, or records are still under its old keys.
var ErrRekeying = errors.New("barrier: not at this point of the keyring's rotation")

// What one transaction of a rotation does at most.
const (
	rekeyWrites = 80      // a name takes two
	rekeyBytes  = 4 << 20 // of records
	rekeyLook   = 5000    // at records that are done already
)

// Rekeying says whether the keyring is being rotated, how many records there are, and how many are still under keys
// that are not current.
func (b *Barrier) Rekeying() (underWay bool, all, left int) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return false, 0, 0
	}
	all, left = b.index.length(b.keys.current)
	return b.keys.rotating(), all, left
}

// BeginRekey puts new keys beside those that there are. It takes one write, and about a second for a million records,
// during which no other transaction commits. ErrRekeying where the rotation before is not at its end.
func (tx *Tx) BeginRekey() error {
	switch {
	case tx.changes == nil:
		return errors.New("barrier: a rotation in a View")
	case tx.keys.rotating():
		return fmt.Errorf("%w: the one before is not at its end", ErrRekeying)
	case tx.keys.current == math.MaxUint32:
		return fmt.Errorf("%w: there are no more key numbers", ErrLimit)
	}
	next, err := tx.keys.rotated(tx.b.arena)
	if err != nil {
		return fmt.Errorf("barrier: make keyring: %w", err)
	}
	tx.keys = next
	if err := tx.putKeyring(); err != nil {
		return err
	}
	tx.root.set = tx.sum()
	return nil
}

// errEnough ends a scan.
var errEnough = errors.New("enough for one transaction")

// Rekey brings the next records over, from the one whose key in the store is from, empty at first; it returns where to
// go on, empty at the end. It takes up to 80 writes.
func (tx *Tx) Rekey(from string) (next string, err error) {
	if tx.changes == nil || !tx.keys.rotating() {
		return "", fmt.Errorf("%w: none is under way", ErrRekeying)
	}
	records, next, err := tx.older(from)
	if err != nil {
		return "", err
	}
	for _, r := range records {
		if r.kind == kindName {
			err = tx.rekeyName(r.id)
		} else {
			err = tx.rekeyRecord(r.kind, r.id)
		}
		if err != nil {
			return "", err
		}
	}
	return next, nil
}

// older finds the records from one place on that are not under the current key, as many as a transaction takes.
func (tx *Tx) older(from string) (found []recordName, next string, err error) {
	look, writes, bytes := 0, 0, 0
	err = tx.store.ScanFrom([]byte(from), func(key, raw []byte) error {
		kind, id, err := splitKey(string(key))
		if err != nil {
			return err
		}
		next = string(key)
		if look++; look > rekeyLook {
			return errEnough
		}
		e, known := tx.lookup(kind, id)
		if !known || e.key == tx.keys.current || kind == kindKeyring {
			return nil // what is not known is the root record, or was not put there by us: a read says so
		}
		cost := 1
		if kind == kindName {
			cost = 2
		}
		if writes += cost; writes > rekeyWrites {
			return errEnough
		}
		if bytes += len(raw); bytes > rekeyBytes && len(found) > 0 {
			return errEnough
		}
		found = append(found, recordName{kind, id})
		return nil
	})
	if err == nil {
		next = ""
	} else if errors.Is(err, errEnough) {
		err = nil
	}
	return found, next, err
}

func (tx *Tx) rekeyRecord(kind Kind, id string) error {
	r, key, err := tx.find(kind, id)
	if err != nil {
		return err
	}
	plaintext, err := r.open(tx.b.arena, key, kind, id)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", kind, id, err)
	}
	defer plaintext.Wipe()
	return tx.put(kind, id, plaintext.Reveal())
}

func (tx *Tx) rekeyName(id string) error {
	plaintext, err := tx.get(kindName, id)
	if err != nil {
		return err
	}
	c, err := decodeClaim(plaintext)
	if err != nil {
		return err
	}
	now := blindID(tx.keys.nameIndex, c.kind, c.name)
	if now == id {
		return tx.put(kindName, id, plaintext)
	}
	if _, twice := tx.lookup(kindName, now); twice {
		return fmt.Errorf("%w: a name of kind %s is there twice", ErrCorrupt, c.kind)
	}
	if err := tx.delete(kindName, id); err != nil {
		return err
	}
	return tx.put(kindName, now, plaintext)
}

// EndRekey drops the keys that nothing is under any more. It takes one write. ErrRekeying where a record still needs
// one of them.
func (tx *Tx) EndRekey() error {
	if tx.changes == nil || !tx.keys.rotating() {
		return fmt.Errorf("%w: none is under way", ErrRekeying)
	}
	if _, left := tx.b.index.length(tx.keys.current); left > 0 {
		return fmt.Errorf("%w: %d records are under old keys", ErrRekeying, left)
	}
	tx.keys = tx.keys.settled()
	return tx.putKeyring()
}

// IsRoot says whether a root key is this vault's.
func (b *Barrier) IsRoot(root *secret.Buffer) bool {
	zero, err := b.arena.Derive(root, b.vault[:], keyringInfo, secret.KeySize)
	if err != nil {
		return false
	}
	defer zero.Wipe()
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.keys != nil && secret.Equal(zero.Reveal(), b.zero.Reveal())
}
