package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// ErrExists means that the folder holds a vault already.
var ErrExists = errors.New("there is a vault already")

// The vault's files, below DIR/vault.
const (
	vaultFolder   = "vault"
	partialFolder = "vault.partial"
	sealFile      = "seal.json"
	storeFile     = "vault.db"
	auditFolder   = "audit"
	consoleFile   = "console.pem"
	reserveFile   = "reserve"

	// In DIR itself.
	keyFile         = "unseal.key"
	fingerprintFile = "ca-fingerprint"
)

// SealKind is what will open a vault.
type SealKind string

// What there is to open a vault with.
const (
	SealKeyFile    SealKind = "keyfile"
	SealPassphrase SealKind = "passphrase"
	SealShamir     SealKind = "shamir"
)

// Init is what a new vault is made from.
type Init struct {
	Data        string
	Seal        SealKind
	KeyFile     string         // empty: DIR/unseal.key
	Passphrase  *secret.Buffer // for SealPassphrase; 36 characters or more
	Shares      int            // for SealShamir: how many are made
	Threshold   int            // and how many of them open the vault
	Admin       string
	Password    *secret.Buffer
	TrustDomain string
	Hosts       []string // names and addresses of the console, beside this machine's own
}

// Initialised is what whoever made a vault has to keep.
type Initialised struct {
	CAFingerprint string
	LogKey        string
	KeyFile       string   // empty: another seal
	UnsealShares  []string // to be handed out; nothing else has them
}

// ErrSeal means that a vault cannot be sealed as Init says; what it wraps says why.
var ErrSeal = errors.New("no vault was made")

// check is before anything is written.
func (c Init) check() (err error) {
	switch c.Seal {
	case SealKeyFile:
	case SealPassphrase:
		err = seal.CheckPassphrase(c.Passphrase)
	case SealShamir:
		err = seal.CheckShareCount(c.Shares, c.Threshold)
	default:
		err = fmt.Errorf("there is no seal %q", c.Seal)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSeal, err)
	}
	return nil
}

// Create makes a vault: ErrExists where there is one. A crash leaves nothing that
// looks like a vault, and Create may simply be called again.
func Create(ctx context.Context, c Init) (out Initialised, err error) {
	if err := validTrustDomain(c.TrustDomain); err != nil {
		return out, err
	}
	if err := c.check(); err != nil {
		return out, err
	}
	if err := vacant(c.Data); err != nil {
		return out, err
	}
	arena, err := secret.NewArena(LeastLockedMemory)
	if err != nil {
		return out, err
	}
	defer arena.Close()
	err = place(c.Data, func(dir string) (fingerprint string, err error) {
		out, err = build(ctx, arena, dir, c)
		return out.CAFingerprint, err
	})
	return out, err
}

func build(ctx context.Context, arena *secret.Arena, dir string, c Init) (out Initialised, err error) {
	vault := newVaultID()
	root, err := arena.Random(32)
	if err != nil {
		return out, err
	}
	defer root.Wipe()
	db, err := store.Create(filepath.Join(dir, storeFile))
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b, err := barrier.Create(db, arena, root, vault)
	if err != nil {
		return out, err
	}
	defer b.Close()
	keys, logKey, err := audit.Create(filepath.Join(dir, auditFolder), arena, vault)
	if err != nil {
		return out, err
	}
	defer keys.Wipe()
	log, err := audit.Open(filepath.Join(dir, auditFolder), arena)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	out.LogKey = logKey
	if out.CAFingerprint, err = fill(ctx, dir, vault, b, log, keys, c); err != nil {
		return out, err
	}
	return out, out.seal(arena, filepath.Join(dir, sealFile), vault, root, c)
}

// seal is the last step: only now can the vault be opened again.
func (out *Initialised) seal(arena *secret.Arena, header, vault string, root *secret.Buffer, c Init) (err error) {
	switch c.Seal {
	case SealPassphrase:
		return seal.CreateWithPassphrase(arena, header, vault, root, c.Passphrase)
	case SealShamir:
		lines, err := seal.CreateWithShares(arena, header, vault, root, c.Shares, c.Threshold)
		for _, line := range lines {
			out.UnsealShares = append(out.UnsealShares, string(line.Reveal()))
			line.Wipe()
		}
		return err
	}
	out.KeyFile, err = sealWithKeyFile(arena, header, vault, root, c)
	return err
}

// fill stores what a new vault begins with.
func fill(ctx context.Context, dir, vault string, b *barrier.Barrier, log *audit.Log, keys audit.Keys, c Init) (fingerprint string, err error) {
	entry := audit.Entry{Actor: "system", Action: "vault.create", Target: vault, Outcome: audit.Allowed, Reason: "trust domain " + c.TrustDomain}
	err = log.Change(ctx, b, entry, func(tx *barrier.Tx) error {
		return errors.Join(putAuditKeys(tx, keys), fleet.Create(tx, c.TrustDomain, time.Now()))
	})
	if err != nil {
		return "", err
	}
	settings, err := setting.Open(b, log)
	if err != nil {
		return "", err
	}
	if err := people.New(b, log, settings, time.Now).CreateAdmin(ctx, c.Admin, c.Password); err != nil {
		return "", err
	}
	f, err := fleet.Open(b, log, vault, time.Now)
	if err != nil {
		return "", err
	}
	return f.RootFingerprint(), writeConsole(filepath.Join(dir, consoleFile), f, consoleHosts(c.Hosts))
}

func sealWithKeyFile(arena *secret.Arena, header, vault string, root *secret.Buffer, c Init) (path string, err error) {
	if path = c.KeyFile; path == "" {
		path = filepath.Join(c.Data, keyFile)
	}
	key, err := seal.NewKeyFile(arena, path)
	if errors.Is(err, os.ErrExist) {
		// Left by an init that was cut short; it has sealed nothing else, or its
		// owner says with --key-file that it may seal this too.
		key, err = seal.ReadKeyFile(arena, path)
	}
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w: --key-file: the folder %s is not there: make it first", ErrSeal, filepath.Dir(path))
	}
	if err != nil {
		return "", err
	}
	defer key.Wipe()
	return path, seal.Create(arena, header, vault, root, key)
}

// The log's private keys are two records of this kind.
const kindAuditKey barrier.Kind = "audit-key"

const (
	auditDecryption = "decryption"
	auditSigning    = "signing"
)

func putAuditKeys(tx *barrier.Tx, keys audit.Keys) error {
	return errors.Join(
		tx.Put(kindAuditKey, auditDecryption, keys.Decryption.Reveal()),
		tx.Put(kindAuditKey, auditSigning, keys.Signing.Reveal()),
	)
}

func getAuditKeys(b *barrier.Barrier) (keys audit.Keys, err error) {
	err = b.View(func(tx *barrier.Tx) error {
		var err error
		if keys.Decryption, err = tx.GetSecret(kindAuditKey, auditDecryption); err != nil {
			return err
		}
		keys.Signing, err = tx.GetSecret(kindAuditKey, auditSigning)
		return err
	})
	return keys, err
}

func newVaultID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(id[:])
}

func validTrustDomain(s string) error {
	for label := range strings.SplitSeq(s, ".") {
		if credential.ValidName("trust domain", label) != nil {
			return fmt.Errorf("%w trust domain: write it like strongroom.example.com", credential.ErrInvalid)
		}
	}
	return nil
}
