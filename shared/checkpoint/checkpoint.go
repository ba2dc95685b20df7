// Package checkpoint verifies what the audit log promises, wherever the log itself is not: that a checkpoint was signed
// by the log's key, that a later one extends an earlier one, and that an entry is in it. It holds no private key, reads
// no file and trusts nothing that it is given but the log's public key.
package checkpoint

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Errors that callers tell apart. What wraps them says what is wrong.
var (
	// ErrMalformed means a text that is no checkpoint, no proof or no log key.
	ErrMalformed = errors.New("malformed")
	// ErrForeign means that the checkpoint is not signed by the key of this log.
	ErrForeign = errors.New("not signed by this audit log's key")
	// ErrNotExtended means that the log is older than the checkpoint, or that it had other entries.
	ErrNotExtended = errors.New("the audit log does not extend the checkpoint")
	// ErrNotProven means that an entry is not what its proof says, or not in the log.
	ErrNotProven = errors.New("the entry is not proven")
)

const (
	// MaxText is the longest checkpoint in bytes. There is room in it for a few signatures of witnesses.
	MaxText = 4096
	// MaxHashes is the most that a proof in a tree of 2^48 entries has: two for each level.
	MaxHashes = 96

	maxSize = 1 << 48 // entries; tlog counts in int64, which nothing here gets near
)

// Checkpoint is what a log says of itself at one moment.
type Checkpoint struct {
	Origin string   // "strongroom-audit/" and the log's origin in hex; the name of its key
	Size   uint64   // entries
	Root   [32]byte // of the RFC 6962 tree over them
	Epoch  uint32   // of the vault: a restore on purpose raises it
}

// Body is the text that the log signs, in the form of c2sp.org/tlog-checkpoint with one line of our own:
//
//	strongroom-audit/ORIGIN
//	SIZE, decimal
//	ROOT, base64
//	epoch N
func (c Checkpoint) Body() string {
	return fmt.Sprintf("%s\n%d\n%s\nepoch %d\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]), c.Epoch)
}

// Parse reads a signed checkpoint and verifies that the log of the key signed it. logKey is a verifier string of
// golang.org/x/mod/sumdb/note. Errors: ErrMalformed, ErrForeign.
func Parse(logKey string, text []byte) (Checkpoint, error) {
	if len(text) > MaxText {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: more than %d bytes", ErrMalformed, MaxText)
	}
	verifier, err := note.NewVerifier(logKey)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("log key: %w: give it as init printed it, strongroom-audit/…+…+…", ErrMalformed)
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	var other *note.UnverifiedNoteError
	var wrong *note.InvalidSignatureError
	if errors.As(err, &other) || errors.As(err, &wrong) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", ErrForeign)
	}
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: not a signed note", ErrMalformed)
	}
	for _, sig := range signed.Sigs {
		// note leaves the spare bits of base64 alone, so that one signature could be written in several ways.
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return Checkpoint{}, fmt.Errorf("checkpoint: %w: there is another way to write its signature", ErrMalformed)
		}
	}
	c, err := parseBody(signed.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it is of %q", ErrForeign, c.Origin)
	}
	return c, nil
}

// parseBody ignores lines behind the fourth, which are for later versions and are signed as well.
func parseBody(body string) (Checkpoint, error) {
	lines := strings.SplitN(body, "\n", 5)
	if len(lines) < 5 || lines[0] == "" || strings.HasPrefix(lines[4], "\n") || strings.Contains(lines[4], "\n\n") {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: it has four lines: origin, size, root, epoch", ErrMalformed)
	}
	c := Checkpoint{Origin: lines[0]}
	epoch, isEpoch := strings.CutPrefix(lines[3], "epoch ")
	number, err := strconv.ParseUint(epoch, 10, 32)
	c.Epoch = uint32(number)
	size, errSize := strconv.ParseUint(lines[1], 10, 64)
	c.Size = size
	root, errRoot := base64.StdEncoding.DecodeString(lines[2])
	if errSize != nil || size > maxSize {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: size: a decimal number up to 2^48", ErrMalformed)
	}
	if errRoot != nil || len(root) != len(c.Root) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: root: 32 bytes in base64", ErrMalformed)
	}
	if err != nil || !isEpoch || c.Epoch == 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: epoch: a decimal number from 1", ErrMalformed)
	}
	copy(c.Root[:], root)
	if !strings.HasPrefix(body, c.Body()) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: there is another way to write it", ErrMalformed)
	}
	if c.Size == 0 && c.Root != sha256.Sum256(nil) {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w: root: an empty log has the hash of nothing", ErrMalformed)
	}
	return c, nil
}

// Extends demands that the log of c begins with all that the log of older had, by a consistency proof (RFC 6962, 2.1.2).
// A later epoch owes nothing to an earlier one. It fails with ErrForeign or ErrNotExtended.
func (c Checkpoint) Extends(older Checkpoint, proof []tlog.Hash) error {
	switch {
	case c.Origin != older.Origin:
		return fmt.Errorf("checkpoint: %w: it is of %q", ErrForeign, c.Origin)
	case c.Epoch > older.Epoch:
		return nil
	case c.Epoch < older.Epoch:
		return fmt.Errorf("%w: it is of epoch %d, the checkpoint of epoch %d", ErrNotExtended, c.Epoch, older.Epoch)
	case c.Size < older.Size:
		return fmt.Errorf("%w: it has %d entries, the checkpoint %d", ErrNotExtended, c.Size, older.Size)
	case c.Size == older.Size && c.Root != older.Root:
		return fmt.Errorf("%w: of its %d entries some are others", ErrNotExtended, c.Size)
	case older.Size == 0 && len(proof) == 0:
		return nil
	}
	if tlog.CheckTree(proof, int64(c.Size), c.Root, int64(older.Size), older.Root) != nil {
		return fmt.Errorf("%w: nothing proves that the first %d of its %d entries are the same", ErrNotExtended, older.Size, c.Size)
	}
	return nil
}

// Hashes reads a proof from its form on the wire.
func Hashes(raw [][]byte) ([]tlog.Hash, error) {
	if len(raw) > MaxHashes {
		return nil, fmt.Errorf("proof: %w: %d hashes, at most %d are of use", ErrMalformed, len(raw), MaxHashes)
	}
	hashes := make([]tlog.Hash, len(raw))
	for i, b := range raw {
		if len(b) != tlog.HashSize {
			return nil, fmt.Errorf("proof: %w: a hash of %d bytes", ErrMalformed, len(b))
		}
		hashes[i] = tlog.Hash(b)
	}
	return hashes, nil
}

// Raw is a proof in its form on the wire.
func Raw(hashes []tlog.Hash) [][]byte {
	raw := make([][]byte, len(hashes))
	for i := range hashes {
		raw[i] = hashes[i][:]
	}
	return raw
}
