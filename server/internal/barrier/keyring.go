package barrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/strongroom/strongroom/shared/secret"
)

// The keyring's plaintext, which exists in the arena only:
//
//	format u8 = 1 | current key number u32 | set-hash key 32 bytes | name-index key 32 bytes | count u32 |
//	count × (key number u32 | record key 32 bytes), the numbers ascending from 1 or more
//
// New records are written under the current key; the others are there for records written before. The keyring's own
// record has key number 0, which stands for HKDF-SHA256(root key, vault, "strongroom keyring v1").
const (
	keyringFormat = 1
	keyringHead   = 1 + 4 + 2*secret.KeySize + 4
	keyringEntry  = 4 + secret.KeySize
	maxKeys       = 4096

	keyringInfo = "strongroom keyring v1"
)

type keyring struct {
	current   uint32
	records   map[uint32]*secret.Buffer
	setHash   *secret.Buffer
	nameIndex *secret.Buffer
}

func newKeyring(a *secret.Arena) (*keyring, error) {
	k := &keyring{current: 1, records: map[uint32]*secret.Buffer{}}
	record, err1 := a.Random(secret.KeySize)
	k.records[1] = record
	var err2, err3 error
	k.setHash, err2 = a.Random(secret.KeySize)
	k.nameIndex, err3 = a.Random(secret.KeySize)
	if err := errors.Join(err1, err2, err3); err != nil {
		k.wipe()
		return nil, err
	}
	return k, nil
}

// wipe zeroes the keys; a nil keyring has none.
func (k *keyring) wipe() {
	if k == nil {
		return
	}
	k.setHash.Wipe()
	k.nameIndex.Wipe()
	for _, key := range k.records {
		key.Wipe()
	}
}

func (k *keyring) encode(a *secret.Arena) (*secret.Buffer, error) {
	numbers := make([]uint32, 0, len(k.records))
	for n := range k.records {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	out, err := a.New(keyringHead + len(numbers)*keyringEntry)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		b := out.Reveal()
		b[0] = keyringFormat
		binary.BigEndian.PutUint32(b[1:], k.current)
		copy(b[5:], k.setHash.Reveal())
		copy(b[5+secret.KeySize:], k.nameIndex.Reveal())
		binary.BigEndian.PutUint32(b[5+2*secret.KeySize:], uint32(len(numbers)))
		b = b[keyringHead:]
		for _, n := range numbers {
			binary.BigEndian.PutUint32(b, n)
			copy(b[4:], k.records[n].Reveal())
			b = b[keyringEntry:]
		}
	})
	return out, nil
}

// decodeKeyring moves the keys out of b, which must be in the arena and is zeroed on the way.
func decodeKeyring(a *secret.Arena, b []byte) (k *keyring, err error) {
	if len(b) < keyringHead || b[0] != keyringFormat {
		return nil, fmt.Errorf("%w: keyring of %d bytes or an unknown format", ErrCorrupt, len(b))
	}
	count := int(binary.BigEndian.Uint32(b[5+2*secret.KeySize:]))
	if count < 1 || count > maxKeys || len(b) != keyringHead+count*keyringEntry {
		return nil, fmt.Errorf("%w: keyring of %d bytes for %d keys", ErrCorrupt, len(b), count)
	}
	k = &keyring{current: binary.BigEndian.Uint32(b[1:]), records: make(map[uint32]*secret.Buffer, count)}
	defer func() {
		if err != nil {
			k.wipe()
			k = nil
		}
	}()
	if k.setHash, err = a.From(b[5:][:secret.KeySize]); err != nil {
		return k, err
	}
	if k.nameIndex, err = a.From(b[5+secret.KeySize:][:secret.KeySize]); err != nil {
		return k, err
	}
	last := uint32(0)
	for e := b[keyringHead:]; len(e) > 0; e = e[keyringEntry:] {
		n := binary.BigEndian.Uint32(e)
		if n <= last {
			return k, fmt.Errorf("%w: keyring's key %d comes after %d", ErrCorrupt, n, last)
		}
		last = n
		if k.records[n], err = a.From(e[4:keyringEntry]); err != nil {
			return k, err
		}
	}
	if k.records[k.current] == nil {
		return k, fmt.Errorf("%w: keyring lacks its current key %d", ErrCorrupt, k.current)
	}
	return k, nil
}

// keyZero is the key of the keyring's own record; the caller wipes it.
func (b *Barrier) keyZero(root *secret.Buffer) (*secret.Buffer, error) {
	if root.Len() != secret.KeySize {
		return nil, fmt.Errorf("barrier: root key of %d bytes, it takes %d", root.Len(), secret.KeySize)
	}
	return b.arena.Derive(root, b.vault[:], keyringInfo, secret.KeySize)
}

func (tx *Tx) putKeyring(root *secret.Buffer) error {
	zero, err := tx.b.keyZero(root)
	if err != nil {
		return err
	}
	defer zero.Wipe()
	plaintext, err := tx.b.keys.encode(tx.b.arena)
	if err != nil {
		return err
	}
	defer plaintext.Wipe()
	return tx.putUnder(0, zero, kindKeyring, onlyID, plaintext.Reveal())
}

func (tx *Tx) loadKeyring(root *secret.Buffer) error {
	raw := tx.store.Get(recordKey(kindKeyring, onlyID))
	if raw == nil {
		return fmt.Errorf("%w: there is no keyring", ErrRollback)
	}
	r, err := tx.decode(raw, kindKeyring, onlyID)
	if err != nil {
		return err
	}
	zero, err := tx.b.keyZero(root)
	if err != nil {
		return err
	}
	defer zero.Wipe()
	plaintext, err := r.open(tx.b.arena, zero, kindKeyring, onlyID)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	defer plaintext.Wipe()
	tx.b.keys, err = decodeKeyring(tx.b.arena, plaintext.Reveal())
	return err
}
