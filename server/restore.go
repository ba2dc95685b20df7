package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/backup"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

// Restore is what a vault is put back from.
type Restore struct {
	Data  string
	From  string // the backup's file
	With  api.Authority
	Hosts []string // names and addresses of the console, beside this machine's own
}

// Restored says what came of it.
type Restored struct {
	Vault         string    `json:"vault"`
	Made          time.Time `json:"backup_time"`
	Commit        uint64    `json:"commit"`
	Epoch         uint32    `json:"epoch"`
	CAFingerprint string    `json:"ca_fingerprint"`
	Sessions      int       `json:"sessions_voided"`
	Tokens        int       `json:"tokens_voided"`
	JoinTokens    int       `json:"join_tokens_voided"`
	Hosts         int       `json:"hosts"`
	OpensWith     string    `json:"opens_with"`
}

// RestoreVault makes a vault of a backup where there is none: ErrExists. A crash
// leaves nothing that looks like a vault, and it may simply be called again.
func RestoreVault(ctx context.Context, c Restore) (out Restored, err error) {
	if err := vacant(c.Data); err != nil {
		return out, err
	}
	file, err := os.Open(c.From)
	if err != nil {
		return out, err
	}
	defer file.Close()
	arena, err := secret.NewArena(LeastLockedMemory)
	if err != nil {
		return out, err
	}
	defer arena.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	header, err := backup.ReadHeader(in)
	if err != nil {
		return out, fmt.Errorf("%s: %w", c.From, err)
	}
	slots, err := seal.Parse(header.Seal)
	if err != nil {
		return out, fmt.Errorf("%s: %w", c.From, err)
	}
	root, err := openRoot(arena, slots, c.With)
	if err != nil {
		return out, err
	}
	defer root.Wipe()
	err = place(c.Data, func(dir string) (fingerprint string, err error) {
		r := &restoring{Restore: c, arena: arena, root: root, dir: dir, header: header, slots: slots}
		out, err = r.build(ctx, in)
		return out.CAFingerprint, err
	})
	return out, err
}

// restoring is one restore under way.
type restoring struct {
	Restore
	arena  *secret.Arena
	root   *secret.Buffer
	dir    string
	header backup.Header
	slots  *seal.Header
}

func (r *restoring) build(ctx context.Context, from io.Reader) (out Restored, err error) {
	if err := r.extract(from); err != nil {
		return out, fmt.Errorf("%s: %w", r.From, err)
	}
	db, err := store.Open(filepath.Join(r.dir, storeFile))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Check(); err != nil {
		return out, err
	}
	b, err := barrier.Open(db, r.arena, r.root, r.slots.Vault())
	if err != nil {
		return out, err
	}
	defer b.Close()
	if b.Commit() != r.header.Commit || b.Epoch() != r.header.Epoch || r.header.Vault != r.slots.Vault() {
		return out, fmt.Errorf("%s: %w: what is in it is not what its header says", r.From, backup.ErrDamaged)
	}
	if _, err := audit.Check(filepath.Join(r.dir, auditFolder)); err != nil {
		return out, err
	}
	log, err := audit.Open(filepath.Join(r.dir, auditFolder), r.arena)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := log.Reconcile(ctx, b); err != nil {
		return out, err
	}
	return r.settle(ctx, b, log)
}

// extract puts the backup's files into their places, which it knows by itself.
func (r *restoring) extract(from io.Reader) error {
	if err := os.Mkdir(filepath.Join(r.dir, auditFolder), 0o700); err != nil {
		return err
	}
	keyFor := func(salt []byte) (*secret.Buffer, error) {
		return barrier.BackupKey(r.arena, r.root, r.slots.Vault(), salt)
	}
	err := backup.Extract(from, r.header, r.arena, keyFor, func(name string, size int64) (io.WriteCloser, error) {
		path := filepath.Join(r.dir, storeFile)
		if name != backup.StoreName {
			if limit, err := audit.CopyLimit(name); err != nil || size > limit {
				return nil, fmt.Errorf("%w: a file that none of a vault is", backup.ErrDamaged)
			}
			path = filepath.Join(r.dir, auditFolder, name)
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		return synced{f}, err
	})
	if err != nil {
		return err
	}
	return errors.Join(durable.Create(filepath.Join(r.dir, sealFile), r.header.Seal), durable.SyncDir(filepath.Join(r.dir, auditFolder)))
}

// synced is on the disk when it is closed.
type synced struct{ *os.File }

// Close syncs first.
func (f synced) Close() error { return errors.Join(f.Sync(), f.File.Close()) }

// settle begins the vault's new epoch, ends what must not come back, and makes
// the console a new certificate.
func (r *restoring) settle(ctx context.Context, b *barrier.Barrier, log *audit.Log) (out Restored, err error) {
	out = Restored{Vault: r.slots.Vault(), Made: r.header.Made, Commit: r.header.Commit, OpensWith: r.slots.OpensWith()}
	entry := audit.Entry{
		Actor: "system", Action: "vault.restore", Target: out.Vault, Outcome: audit.Allowed,
		Reason: fmt.Sprintf("from a backup of %s, commit %d of epoch %d", out.Made.Format(time.RFC3339), out.Commit, r.header.Epoch),
	}
	if err := log.Change(ctx, b, entry, (*barrier.Tx).RaiseEpoch); err != nil {
		return out, err
	}
	out.Epoch = b.Epoch()
	entry.Reason = "sessions and tokens are void"
	if out.Sessions, out.Tokens, err = people.VoidTokens(ctx, b, log, entry); err != nil {
		return out, err
	}
	entry.Reason = "join tokens are void, and hosts may have newer certificates"
	if out.Hosts, out.JoinTokens, err = fleet.Restore(ctx, b, log, entry); err != nil {
		return out, err
	}
	f, err := fleet.Open(b, log, out.Vault, time.Now)
	if err != nil {
		return out, err
	}
	out.CAFingerprint = f.RootFingerprint()
	return out, writeConsole(filepath.Join(r.dir, consoleFile), f, consoleHosts(r.Hosts))
}
