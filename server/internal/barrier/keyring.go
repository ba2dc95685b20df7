package barrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
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
//
// While the keyring is rotated (rekey.go) the format is 2, and the name-index key before stands behind the present one.
const (
	keyringFormat   = 1
	keyringRotating = 2
	keyringHead     = 1 + 4 + 2*secret.KeySize + 4
	keyringEntry    = 4 + secret.KeySize
	maxKeys         = 4096

	keyringInfo = "strongroom keyring v1"
	backupInfo  = "strongroom backup v1"
)

// keyring never changes: a rotation makes another one, which shares the keys that stay.
type keyring struct {
	current   uint32
	records   map[uint32]*secret.Buffer
	setHash   *secret.Buffer
	nameIndex *secret.Buffer
	previous  *secret.Buffer // the name-index key before; nil unless the keyring is rotated
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
func (k *keyring) wipe() { k.wipeBut(nil) }

// wipeBut zeroes the keys that are not in keep as well.
func (k *keyring) wipeBut(keep *keyring) {
	if k == nil || k == keep {
		return
	}
	kept := keep.all()
	for _, key := range k.all() {
		if !slices.Contains(kept, key) {
			key.Wipe()
		}
	}
}

func (k *keyring) all() []*secret.Buffer {
	if k == nil {
		return nil
	}
	return slices.AppendSeq([]*secret.Buffer{k.setHash, k.nameIndex, k.previous}, maps.Values(k.records))
}

// rotated is a keyring with new keys for everything, which has the old ones for what is still under them.
func (k *keyring) rotated(a *secret.Arena) (*keyring, error) {
	next, err := newKeyring(a)
	if err != nil {
		return nil, err
	}
	fresh := next.records[1]
	next.records = maps.Clone(k.records)
	next.current = k.current + 1
	next.records[next.current] = fresh
	next.previous = k.nameIndex
	return next, nil
}

// settled is the keyring without the keys that nothing is under any more.
func (k *keyring) settled() *keyring {
	return &keyring{
		current: k.current, records: map[uint32]*secret.Buffer{k.current: k.records[k.current]},
		setHash: k.setHash, nameIndex: k.nameIndex,
	}
}

func (k *keyring) rotating() bool { return k.previous != nil || len(k.records) > 1 }

func (k *keyring) encode(a *secret.Arena) (*secret.Buffer, error) {
	numbers := slices.Sorted(maps.Keys(k.records))
	keys := []*secret.Buffer{k.setHash, k.nameIndex}
	format := byte(keyringFormat)
	if k.previous != nil {
		keys, format = append(keys, k.previous), keyringRotating
	}
	out, err := a.New(1 + 4 + len(keys)*secret.KeySize + 4 + len(numbers)*keyringEntry)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		b := out.Reveal()
		b[0] = format
		binary.BigEndian.PutUint32(b[1:], k.current)
		b = b[5:]
		for _, key := range keys {
			b = b[copy(b, key.Reveal()):]
		}
		binary.BigEndian.PutUint32(b, uint32(len(numbers)))
		b = b[4:]
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
	head := keyringHead
	rotating := len(b) > 0 && b[0] == keyringRotating
	if rotating {
		head += secret.KeySize
	}
	if len(b) < head || b[0] != keyringFormat && !rotating {
		return nil, fmt.Errorf("%w: keyring of %d bytes or an unknown format", ErrCorrupt, len(b))
	}
	count := int(binary.BigEndian.Uint32(b[head-4:]))
	if count < 1 || count > maxKeys || len(b) != head+count*keyringEntry {
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
	if rotating {
		if k.previous, err = a.From(b[5+2*secret.KeySize:][:secret.KeySize]); err != nil {
			return k, err
		}
	}
	last := uint32(0)
	for e := b[head:]; len(e) > 0; e = e[keyringEntry:] {
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

// derive makes what is kept of the root key while the barrier is open.
func (b *Barrier) derive(root *secret.Buffer) (err error) {
	if root.Len() != secret.KeySize {
		return fmt.Errorf("barrier: root key of %d bytes, it takes %d", root.Len(), secret.KeySize)
	}
	if b.zero, err = b.arena.Derive(root, b.vault[:], keyringInfo, secret.KeySize); err != nil {
		return err
	}
	if b.backup, err = b.arena.Derive(root, b.vault[:], backupInfo, secret.KeySize); err != nil {
		b.zero.Wipe()
	}
	return err
}

// putKeyring takes one write. It changes nothing of what the barrier itself reads with.
func (tx *Tx) putKeyring() error {
	plaintext, err := tx.keys.encode(tx.b.arena)
	if err != nil {
		return err
	}
	defer plaintext.Wipe()
	return tx.putUnder(0, tx.b.zero, kindKeyring, onlyID, plaintext.Reveal())
}

func (tx *Tx) loadKeyring() error {
	raw := tx.store.Get(recordKey(kindKeyring, onlyID))
	if raw == nil {
		return fmt.Errorf("%w: there is no keyring", ErrRollback)
	}
	r, err := tx.b.decode(raw, kindKeyring, onlyID)
	if err != nil {
		return err
	}
	plaintext, err := r.open(tx.b.arena, tx.b.zero, kindKeyring, onlyID)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	defer plaintext.Wipe()
	tx.keys, err = decodeKeyring(tx.b.arena, plaintext.Reveal())
	tx.b.keys = tx.keys
	return err
}
