package barrier

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/strongroom/strongroom/shared/secret"
)

const identityInfo = "strongroom backup identity v1"

// BackupKey gives the key of one backup, by the backup's salt; the caller wipes it.
func (b *Barrier) BackupKey(salt []byte) (*secret.Buffer, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.keys == nil {
		return nil, ErrClosed
	}
	return b.arena.Derive(b.backup, salt, identityInfo, secret.KeySize)
}

// BackupKey gives the key of a backup of the vault whose root key root is, as the method does. root stays the caller's.
func BackupKey(a *secret.Arena, root *secret.Buffer, vault string, salt []byte) (*secret.Buffer, error) {
	id, err := hex.DecodeString(vault)
	if err != nil || len(id) != vaultSize || root.Len() != secret.KeySize {
		return nil, fmt.Errorf("%w: a vault ID or a root key of the wrong length", ErrInvalid)
	}
	all, err := a.Derive(root, id, backupInfo, secret.KeySize)
	if err != nil {
		return nil, err
	}
	defer all.Wipe()
	return a.Derive(all, salt, identityInfo, secret.KeySize)
}

// RaiseEpoch begins another line of the vault's history: commit numbers go on, and whoever saw a later commit of the
// epoch before can tell that this vault was put back on purpose. It counts when the transaction is committed.
func (tx *Tx) RaiseEpoch() error {
	switch {
	case tx.changes == nil:
		return errors.New("barrier: another epoch in a View")
	case tx.epoch == math.MaxUint32:
		return fmt.Errorf("%w: there are no more epochs", ErrLimit)
	}
	tx.epoch++
	return nil
}
