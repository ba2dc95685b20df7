package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"
)

// Copy is the log as it was at one moment, while it goes on growing.
type Copy struct {
	Files []CopyFile // the description first, then the segments in order
	Size  uint64     // entries
}

// CopyFile is a file of a copy.
type CopyFile struct {
	Name string
	Size int64
	dir  string
}

// Copy notes where the log stands while no change is under way, and calls still at that moment: a copy of the store
// that is begun there belongs to the log's. ctx bounds the waiting.
func (l *Log) Copy(ctx context.Context, still func() error) (*Copy, error) {
	if err := l.lockChanges(ctx); err != nil {
		return nil, err
	}
	defer l.unlockChanges()
	view, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(filepath.Join(l.dir, descriptionFile))
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	c := &Copy{Files: []CopyFile{{descriptionFile, info.Size(), l.dir}}, Size: view.end.size}
	if info, err := os.Stat(filepath.Join(l.dir, prunedFile)); err == nil {
		c.Files = append(c.Files, CopyFile{prunedFile, info.Size(), l.dir})
	}
	for i, seg := range view.segments {
		if seg.pruned {
			size := hashesHeader + int64(view.after(i).size-seg.before.tree.size)*tlog.HashSize
			c.Files = append(c.Files, CopyFile{hashesName(seg.first), size, l.dir})
			continue
		}
		c.Files = append(c.Files, CopyFile{segmentName(seg.first), seg.bytes, l.dir})
	}
	return c, still()
}

// WriteTo writes as much of the file as belongs to the copy.
func (f CopyFile) WriteTo(w io.Writer) (int64, error) {
	file, err := os.Open(filepath.Join(f.dir, f.Name))
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return io.CopyN(w, file, f.Size)
}

// CheckVault compares the log in dir with an unsealed vault as Reconcile does, and changes nothing: neither may be in
// use. That the last change has no outcome yet is no fault.
func CheckVault(dir string, size uint64, root [32]byte, commit uint64) error {
	desc, err := readDescription(dir)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	segments, s, tail, err := desc.replayAll(dir)
	if err != nil && !isTorn(err, tail, s.tree.size+1) {
		return err
	}
	if s.tree.size < size {
		return fmt.Errorf("%w: the vault has seen %d entries, the log has %d", ErrLogRolledBack, size, s.tree.size)
	}
	if _, err := desc.checkPruned(dir, segments); err != nil {
		return err
	}
	view := snapshot{dir: dir, desc: desc, segments: segments, end: s.tree}
	if size > 0 {
		have, err := view.rootAt(size)
		if err != nil {
			return err
		}
		if have != root {
			return fmt.Errorf("%w: its first %d entries are not those that the vault has seen", ErrLogRolledBack, size)
		}
	}
	switch last := s.change; {
	case last.intent == 0:
	case commit > last.before+1:
		return fmt.Errorf("%w: the vault is at commit %d, the log ends with the change from %d", ErrLogRolledBack, commit, last.before)
	case commit < last.before, commit == last.before && last.outcome == committed:
		return fmt.Errorf("%w: the vault is at commit %d, the log ends with the change from %d", ErrVaultRolledBack, commit, last.before)
	}
	return nil
}

var errNoCopyFile = errors.New("no such file in a copy of the log")

// CopyLimit is how long a file of a log may be in bytes, by its name; it refuses a name that none has.
func CopyLimit(name string) (int64, error) {
	switch name {
	case descriptionFile:
		return descriptionLimit, nil
	case prunedFile:
		return prunedLimit, nil
	}
	var first uint64
	if _, err := fmt.Sscanf(name, "%d", &first); err != nil || segmentName(first) != name && hashesName(first) != name {
		return 0, errNoCopyFile
	}
	return segmentLimit, nil
}
