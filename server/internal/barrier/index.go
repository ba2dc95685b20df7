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
	records map[Kind]*shelf
	under   map[uint32]int // how many records are under each key
}

type recordName struct {
	kind Kind
	id   string
}

// changes is what a transaction will do to the index; nil stands for a deletion.
type changes map[recordName]*entry

func newIndex() index { return index{map[Kind]*shelf{}, map[uint32]int{}} }

func (x index) get(kind Kind, id string) (entry, bool) { return x.records[kind].get(id) }

func (x index) set(kind Kind, id string, e entry) {
	of := x.records[kind]
	if of == nil {
		of = &shelf{}
		x.records[kind] = of
	}
	if old, replaced := of.set(id, e); replaced {
		x.under[old.key]--
	}
	x.under[e.key]++
}

func (x index) apply(c changes) {
	for name, e := range c {
		if e != nil {
			x.set(name.kind, name.id, *e)
		} else if old, removed := x.records[name.kind].remove(name.id); removed {
			x.under[old.key]--
		}
	}
}

// count is the number of records of a kind.
func (x index) count(kind Kind) int {
	if of := x.records[kind]; of != nil {
		return of.length
	}
	return 0
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
	scratch = appendTerm(scratch[:0], e, kind, id)
	return sumOf(secret.MAC(k.setHash, scratch)), scratch
}

// appendTerm appends what a record's term is the code of.
func appendTerm(b []byte, e *entry, kind Kind, id string) []byte {
	b = appendText(appendText(b, string(kind)), id)
	b = binary.BigEndian.AppendUint64(b, e.commit)
	return append(b, e.digest[:]...)
}

// maxTerm is the longest message of a term.
const maxTerm = 4 + maxKind + 4 + maxID + 8 + sha256.Size

// summing adds up the terms of many records, some at a time.
type summing struct {
	under    *secret.Buffer // the set-hash key
	text     []byte         // the messages, one behind the other; it never grows
	messages [][]byte
	macs     [][sha256.Size]byte
	total    sum
}

func newSumming(under *secret.Buffer) *summing {
	return &summing{under: under, text: make([]byte, 0, chunkRecords*maxTerm), macs: make([][sha256.Size]byte, chunkRecords)}
}

func (s *summing) add(kind Kind, id string, e *entry) {
	at := len(s.text)
	s.text = appendTerm(s.text, e, kind, id)
	s.messages = append(s.messages, s.text[at:])
	if len(s.messages) == chunkRecords {
		s.flush()
	}
}

func (s *summing) flush() {
	secret.MACs(s.macs, s.under, s.messages)
	for _, mac := range s.macs[:len(s.messages)] {
		s.total = s.total.plus(sumOf(mac))
	}
	s.text, s.messages = s.text[:0], s.messages[:0]
}

// take returns the sum of what was added since the last time.
func (s *summing) take() sum {
	s.flush()
	total := s.total
	s.total = sum{}
	return total
}

// sum is the set hash of all records as they will be with this transaction.
func (tx *Tx) sum() sum {
	all := newSumming(tx.keys.setHash)
	for kind, of := range tx.b.index.records {
		of.each(func(id string, e *entry) {
			if _, changed := tx.changes[recordName{kind, id}]; !changed {
				all.add(kind, id, e)
			}
		})
	}
	for name, e := range tx.changes {
		if e != nil {
			all.add(name.kind, name.id, e)
		}
	}
	return all.take()
}
