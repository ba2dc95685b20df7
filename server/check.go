package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/secret"
)

// Checked is what Check found whole.
type Checked struct {
	Vault     string `json:"vault"`
	OpensWith string `json:"opens_with"`
	Entries   uint64 `json:"log_entries"`
	Opened    bool   `json:"opened"` // whether the records were looked at, too
	Records   int    `json:"records,omitempty"`
	Commit    uint64 `json:"commit,omitempty"`
	Epoch     uint32 `json:"epoch,omitempty"`
	Rekeying  bool   `json:"rekeying,omitempty"` // the next unsealing goes on with it
}

// Check looks through a vault that no server has open, and changes nothing. With
// what opens it every record is decrypted, and vault and log are compared. The
// error is the first fault.
func Check(data string, with api.Authority) (out Checked, err error) {
	dir := filepath.Join(data, vaultFolder)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return out, fmt.Errorf("%w in %s", ErrNoVault, data)
	}
	header, err := seal.Load(filepath.Join(dir, sealFile))
	if err != nil {
		return out, mend(err)
	}
	out.Vault, out.OpensWith = header.Vault(), header.OpensWith()
	// Its lock keeps a server from all of this meanwhile.
	db, err := store.Open(filepath.Join(dir, storeFile))
	if err != nil {
		return out, mend(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Check(); err != nil {
		return out, mend(err)
	}
	report, _, err := checkLog(filepath.Join(dir, auditFolder))
	if err != nil {
		return out, mend(err)
	}
	if _, err := readConsole(filepath.Join(dir, consoleFile)); err != nil {
		return out, err
	}
	if out.Entries = report.Size; with.Empty() {
		return out, nil
	}
	return out, out.open(dir, db, header, with)
}

func (out *Checked) open(dir string, db *store.DB, header *seal.Header, with api.Authority) error {
	arena, err := secret.NewArena(LeastLockedMemory)
	if err != nil {
		return err
	}
	defer arena.Close()
	root, err := openRoot(arena, header, with)
	if err != nil {
		return err
	}
	defer root.Wipe()
	b, err := barrier.Open(db, arena, root, header.Vault())
	if err != nil {
		return mend(err)
	}
	defer b.Close()
	out.Opened, out.Commit, out.Epoch = true, b.Commit(), b.Epoch()
	out.Rekeying, out.Records, _ = b.Rekeying()
	size, treeRoot := b.LogState()
	return mend(audit.CheckVault(filepath.Join(dir, auditFolder), size, treeRoot, b.Commit()))
}

// mend says what helps: that a backup does, which is restored beside the broken
// vault, is true of every fault of the files.
func mend(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%w: stop the server on this folder first", err)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, seal.ErrHeader), errors.Is(err, store.ErrCorrupt), errors.Is(err, barrier.ErrRollback),
		errors.Is(err, audit.ErrCorrupt), errors.Is(err, audit.ErrLogRolledBack), errors.Is(err, audit.ErrVaultRolledBack),
		errors.Is(err, checkpoint.ErrNotExtended), errors.Is(err, checkpoint.ErrForeign), errors.Is(err, checkpoint.ErrMalformed):
		return fmt.Errorf("%w: move DIR/vault away and run strongroom-server restore with the last backup", err)
	}
	return err
}
