package server

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/checkpoint"
)

// ErrLogKey means that the log in the folder is another one than the key's.
var ErrLogKey = errors.New("this is another audit log than the one of the given log key")

// Verified is what Verify found.
type Verified struct {
	Entries uint64 `json:"entries"`
	Root    string `json:"root"` // of the tree over them, hex
	LogKey  string `json:"log_key"`
	// Unfinished is the bytes at the end that a crash left, or a running server
	// is just writing.
	Unfinished int64 `json:"unfinished_bytes"`
	// Pruned is how many entries, from the first on, are gone by the log's
	// retention, at PrunedAt: their hashes were verified, and that the log's key has
	// signed this. nil: nothing is.
	Pruned   *uint64    `json:"pruned_entries"`
	PrunedAt *time.Time `json:"pruned_at"`
	// Promised is the entries that the checkpoint in the log's folder is of; nil:
	// there is none.
	Promised *uint64 `json:"promised_entries"`
	// Seen is the entries that the given checkpoint is of; nil: none was given.
	Seen *uint64 `json:"seen_entries"`
}

// Verify checks the audit log of a vault without opening either: it needs no
// key, changes nothing and may run beside the server. The error names the first
// bad entry, or the checkpoint that the log does not extend: the server's own or
// seen, which is what an auditor or an agent kept (nil: there is none). logKey,
// where given, is what init printed.
func Verify(data, logKey string, seen []byte) (Verified, error) {
	dir := filepath.Join(data, vaultFolder, auditFolder)
	// Before the log, which a running server writes first.
	own, errOwn := audit.ReadCheckpoint(dir)
	report, err := audit.Check(dir)
	if err != nil {
		return Verified{}, err
	}
	out := Verified{
		Entries: report.Size, Root: hex.EncodeToString(report.Root[:]), LogKey: report.LogKey, Unfinished: report.Unfinished,
	}
	if p := report.Pruned; p.Size > 0 {
		out.Pruned, out.PrunedAt = &p.Size, &p.Time
	}
	if logKey != "" && logKey != report.LogKey {
		return out, fmt.Errorf("%w: the log's own is %s", ErrLogKey, report.LogKey)
	}
	if !errors.Is(errOwn, fs.ErrNotExist) {
		if errOwn != nil {
			return out, errOwn
		}
		if out.Promised, err = extends(&report, own); err != nil {
			return out, fmt.Errorf("the checkpoint in %s: %w", dir, err)
		}
	}
	if seen != nil {
		if out.Seen, err = extends(&report, seen); err != nil {
			return out, fmt.Errorf("the given checkpoint: %w", err)
		}
	}
	return out, nil
}

// extends holds the log against a checkpoint and returns that one's size.
func extends(report *audit.Report, text []byte) (*uint64, error) {
	c, err := checkpoint.Parse(report.LogKey, text)
	if err != nil {
		return nil, err
	}
	return &c.Size, report.Extends(c)
}
