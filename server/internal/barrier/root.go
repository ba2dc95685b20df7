package barrier

import (
	"encoding/binary"
	"fmt"
)

// The root record's plaintext: what one commit says of all records and of the audit log.
//
//	format u8 = 1 | commit u64 | log size u64 | log root 32 bytes | fence u64 | set hash 32 bytes
//
// It is written in every transaction and is the only record that the set hash leaves out. The fence is for several
// servers on one store and is 0 now.
const (
	rootFormat = 1
	rootSize   = 1 + 8 + 8 + 32 + 8 + 32
)

type rootRecord struct {
	commit  uint64
	logSize uint64
	logRoot [32]byte
	fence   uint64
	set     sum
}

func (r rootRecord) encode() []byte {
	b := make([]byte, 0, rootSize)
	b = append(b, rootFormat)
	b = binary.BigEndian.AppendUint64(b, r.commit)
	b = binary.BigEndian.AppendUint64(b, r.logSize)
	b = append(b, r.logRoot[:]...)
	b = binary.BigEndian.AppendUint64(b, r.fence)
	return append(b, r.set.bytes()...)
}

func decodeRoot(b []byte) (rootRecord, error) {
	if len(b) != rootSize || b[0] != rootFormat {
		return rootRecord{}, fmt.Errorf("%w: root record of %d bytes or an unknown format", ErrCorrupt, len(b))
	}
	return rootRecord{
		commit:  binary.BigEndian.Uint64(b[1:]),
		logSize: binary.BigEndian.Uint64(b[9:]),
		logRoot: [32]byte(b[17:]),
		fence:   binary.BigEndian.Uint64(b[49:]),
		set:     sumOf([32]byte(b[57:])),
	}, nil
}

// putRoot closes a transaction: the set hash covers all its changes.
func (tx *Tx) putRoot() error {
	b := tx.b
	h := header{keyNumber: tx.keys.current, vault: b.vault, epoch: tx.epoch, commit: tx.root.commit}
	raw, err := sealRecord(b.arena, tx.keys.records[tx.keys.current], h, kindRoot, onlyID, tx.root.encode())
	if err != nil {
		return fmt.Errorf("barrier: root record: %w", err)
	}
	return tx.store.Put(recordKey(kindRoot, onlyID), raw)
}

func (tx *Tx) loadRoot() error {
	raw := tx.store.Get(recordKey(kindRoot, onlyID))
	if raw == nil {
		return fmt.Errorf("%w: there is no root record", ErrRollback)
	}
	r, err := tx.b.decode(raw, kindRoot, onlyID)
	if err != nil {
		return err
	}
	key, err := tx.keys.key(r.keyNumber)
	if err != nil {
		return fmt.Errorf("root record: %w", err)
	}
	plaintext, err := r.openPublic(tx.b.arena, key, kindRoot, onlyID)
	if err != nil {
		return fmt.Errorf("root record: %w", err)
	}
	root, err := decodeRoot(plaintext)
	if err != nil {
		return err
	}
	tx.b.root, tx.b.epoch = root, r.epoch
	return nil
}
