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
	report, promised, err := checkLog(filepath.Join(data, vaultFolder, auditFolder))
	if err != nil {
		return Verified{}, err
	}
	out := Verified{
		Entries: report.Size, Root: hex.EncodeToString(report.Root[:]), LogKey: report.LogKey, Unfinished: report.Unfinished,
		Promised: promised,
	}
	if p := report.Pruned; p.Size > 0 {
		out.Pruned, out.PrunedAt = &p.Size, &p.Time
	}
	if logKey != "" && logKey != report.LogKey {
		return out, fmt.Errorf("%w: the log's own is %s", ErrLogKey, report.LogKey)
	}
	if seen != nil {
		if out.Seen, err = extends(&report, seen); err != nil {
			return out, fmt.Errorf("the given checkpoint: %w", err)
		}
	}
	return out, nil
}

// checkLog checks the log in dir by itself, and holds it against the checkpoint
// beside it: promised is the entries that this is of, nil where there is none.
func checkLog(dir string) (report audit.Report, promised *uint64, err error) {
	// Before the log, which a running server writes first.
	own, missing := audit.ReadCheckpoint(dir)
	if report, err = audit.Check(dir); err != nil || errors.Is(missing, fs.ErrNotExist) {
		return report, nil, err
	}
	if missing != nil {
		return report, nil, missing
	}
	if promised, err = extends(&report, own); err != nil {
		return report, nil, fmt.Errorf("the checkpoint in %s: %w", dir, err)
	}
	return report, promised, nil
}

// extends holds the log against a checkpoint and returns that one's size.
func extends(report *audit.Report, text []byte) (*uint64, error) {
	c, err := checkpoint.Parse(report.LogKey, text)
	if err != nil {
		return nil, err
	}
	return &c.Size, report.Extends(c)
}
