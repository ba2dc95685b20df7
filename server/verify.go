package server

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/strongroom/strongroom/server/internal/audit"
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
}

// Verify checks the audit log of a vault without opening either: it needs no
// key, changes nothing and may run beside the server. The error names the first
// bad entry. logKey, where given, is what init printed.
func Verify(data, logKey string) (Verified, error) {
	report, err := audit.Check(filepath.Join(data, vaultFolder, auditFolder))
	if err != nil {
		return Verified{}, err
	}
	out := Verified{
		Entries: report.Size, Root: hex.EncodeToString(report.Root[:]), LogKey: report.LogKey, Unfinished: report.Unfinished,
	}
	if logKey != "" && logKey != report.LogKey {
		return out, fmt.Errorf("%w: the log's own is %s", ErrLogKey, report.LogKey)
	}
	return out, nil
}
