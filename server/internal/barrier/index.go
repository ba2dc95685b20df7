package barrier

import (
	"crypto/sha256"
	"encoding/binary"
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
	key    uint32            // the number of the key that it is under
	digest [sha256.Size]byte // of the ciphertext
}

// index holds an entry for every record but the root record, by kind and ID.
type index struct {
	records map[Kind]map[string]entry
	under   map[uint32]int // how many records are under each key
}

type recordName struct {
	kind Kind
	id   string
}

// changes is what a transaction will do to the index; nil stands for a deletion.
type changes map[recordName]*entry

func newIndex() index { return index{map[Kind]map[string]entry{}, map[uint32]int{}} }

func (x index) get(kind Kind, id string) (entry, bool) {
	e, known := x.records[kind][id]
	return e, known
}

func (x index) set(kind Kind, id string, e entry) {
	of := x.records[kind]
	if of == nil {
		of = map[string]entry{}
		x.records[kind] = of
	}
	if old, known := of[id]; known {
		x.under[old.key]--
	}
	x.under[e.key]++
	of[id] = e
}

func (x index) apply(c changes) {
	for name, e := range c {
		if e != nil {
			x.set(name.kind, name.id, *e)
			continue
		}
		if old, known := x.get(name.kind, name.id); known {
			x.under[old.key]--
			delete(x.records[name.kind], name.id)
		}
	}
}

// length is the number of records, the keyring's not counted, and of those that are not under the key of that number.
func (x index) length(current uint32) (all, older int) {
	for number, n := range x.under {
		if number == 0 {
			continue
		}
		all += n
		if number != current {
			older += n
		}
	}
	return all, older
}

func entryOf(r record) entry {
	return entry{commit: r.commit, key: r.keyNumber, digest: sha256.Sum256(r.ciphertext)}
}

// term appends its message to scratch, which the next call can use again.
func (k *keyring) term(scratch []byte, e *entry, kind Kind, id string) (sum, []byte) {
	scratch = appendText(appendText(scratch[:0], string(kind)), id)
	scratch = binary.BigEndian.AppendUint64(scratch, e.commit)
	scratch = append(scratch, e.digest[:]...)
	return sumOf(secret.MAC(k.setHash, scratch)), scratch
}

// sum is the set hash of all records as they will be with this transaction.
func (tx *Tx) sum() (set sum) {
	var scratch []byte
	add := func(kind Kind, id string, e *entry) {
		var term sum
		term, scratch = tx.keys.term(scratch, e, kind, id)
		set = set.plus(term)
	}
	for kind, of := range tx.b.index.records {
		for id, e := range of {
			if _, changed := tx.changes[recordName{kind, id}]; !changed {
				add(kind, id, &e)
			}
		}
	}
	for name, e := range tx.changes {
		if e != nil {
			add(name.kind, name.id, e)
		}
	}
	return set
}
