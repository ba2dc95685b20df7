package barrier

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/strongroom/strongroom/shared/secret"
)

// A record's term is HMAC-SHA256(set-hash key, kind, ID, commit u64, SHA-256 of the ciphertext), where kind and ID come
// after their lengths as u32. The set hash is the sum of the terms of all records but the root record, as big-endian
// numbers of 256 bits, modulo 2^256: a change costs one addition and one subtraction, and without the key nobody can
// find other records with the same sum.

// sum is a number modulo 2^256, its lowest 64 bits first.
type sum [4]uint64

func sumOf(b [32]byte) (s sum) {
	for i := range s {
		s[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return s
}

func (s sum) bytes() []byte {
	var b [32]byte
	for i := range s {
		binary.BigEndian.PutUint64(b[24-8*i:], s[i])
	}
	return b[:]
}

func (s sum) plus(t sum) (r sum) {
	var carry uint64
	for i := range s {
		r[i], carry = bits.Add64(s[i], t[i], carry)
	}
	return r
}

func (s sum) minus(t sum) (r sum) {
	var borrow uint64
	for i := range s {
		r[i], borrow = bits.Sub64(s[i], t[i], borrow)
	}
	return r
}

// entry is what the index knows of a record.
type entry struct {
	commit uint64
	term   sum
}

// index holds an entry for every record but the root record, by kind and ID.
type index map[Kind]map[string]entry

type recordName struct {
	kind Kind
	id   string
}

// changes is what a transaction will do to the index; nil stands for a deletion.
type changes map[recordName]*entry

func (x index) set(kind Kind, id string, e entry) {
	if x[kind] == nil {
		x[kind] = map[string]entry{}
	}
	x[kind][id] = e
}

func (x index) apply(c changes) {
	for name, e := range c {
		if e != nil {
			x.set(name.kind, name.id, *e)
			continue
		}
		delete(x[name.kind], name.id)
	}
}

func (b *Barrier) term(r record, kind Kind, id string) sum {
	digest := sha256.Sum256(r.ciphertext)
	framed := appendText(appendText(make([]byte, 0, 8+len(kind)+len(id)+8), string(kind)), id)
	framed = binary.BigEndian.AppendUint64(framed, r.commit)
	return sumOf(secret.MAC(b.keys.setHash, framed, digest[:]))
}

// loadIndex decrypts every record and builds the index, which must be the set that the root record speaks of.
func (tx *Tx) loadIndex() error {
	b := tx.b
	b.index = index{}
	var set sum
	err := tx.store.Scan(nil, func(key, raw []byte) error {
		kind, id, err := splitKey(key)
		if err != nil {
			return err
		}
		if kind == kindRoot && id == onlyID {
			return nil
		}
		r, err := tx.decode(raw, kind, id)
		if err != nil {
			return err
		}
		if r.commit > b.root.commit || r.epoch > b.epoch {
			return fmt.Errorf("%w: %s/%s is of commit %d, epoch %d, the root record of %d, epoch %d",
				ErrRollback, kind, id, r.commit, r.epoch, b.root.commit, b.epoch)
		}
		if kind != kindKeyring { // which loadKeyring has opened
			if err := tx.tryOpen(r, kind, id); err != nil {
				return fmt.Errorf("%s/%s: %w", kind, id, err)
			}
		}
		e := entry{commit: r.commit, term: b.term(r, kind, id)}
		b.index.set(kind, id, e)
		set = set.plus(e.term)
		return nil
	})
	if err != nil {
		return err
	}
	if set != b.root.set {
		return fmt.Errorf("%w: an older record, or one that was removed or added, beside the root record of commit %d",
			ErrRollback, b.root.commit)
	}
	return nil
}

func (tx *Tx) tryOpen(r record, kind Kind, id string) error {
	key, err := tx.key(r.keyNumber)
	if err != nil {
		return err
	}
	plaintext, err := r.open(tx.b.arena, key, kind, id)
	plaintext.Wipe()
	return err
}
