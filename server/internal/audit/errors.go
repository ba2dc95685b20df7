package audit

import (
	"errors"
	"fmt"
)

// Errors of the log.
var (
	// ErrFailed means that the log cannot be written any more: what a write or fsync of entries left is not known.
	// Whatever needs an entry must not happen; mend what the message says and start the server again.
	ErrFailed = errors.New("the audit log cannot be written")
	// ErrNoSpace means that there was no room for an entry or for the change that it tells of: neither is there, and the
	// log goes on. Once there is room again, so does everything else.
	ErrNoSpace = errors.New("the disk of the vault is full, nothing was done: free some space on it, and the server goes on by itself")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("the audit log is closed")
	// ErrCorrupt means that the files are not what the log wrote. A BadEntry says where.
	ErrCorrupt = errors.New("the audit log is damaged or was altered")
	// ErrLogRolledBack means that the vault has seen entries which the log does not have: it was cut or exchanged.
	ErrLogRolledBack = errors.New("the audit log is older than the vault, or another one")
	// ErrVaultRolledBack means that the log tells of a change which the vault does not have: the store is an old copy.
	ErrVaultRolledBack = errors.New("the vault is older than its audit log")
	// ErrWrongKeys means that the given keys are not those of this log.
	ErrWrongKeys = errors.New("these are not the keys of this audit log")
	// ErrNewerFormat means that a newer version wrote this; use that version.
	ErrNewerFormat = errors.New("the audit log was written by a newer version")
	// ErrExists means that the folder holds a log already.
	ErrExists = errors.New("an audit log is there already")
	// ErrCursor means a cursor that Read did not give.
	ErrCursor = errors.New("this is no cursor of the audit log")
)

// errNoSegment means that no file could be begun for an entry, which is not in the log. The next one tries again.
var errNoSegment = errors.New("the audit log cannot begin its next file")

// BadEntry is the first entry that does not hold. It wraps ErrCorrupt.
type BadEntry struct {
	Seq  uint64
	File string // the segment it is in or ought to be in
	Err  error  // what is wrong
}

func (b *BadEntry) Error() string {
	return fmt.Sprintf("%v: entry %d (%s): %v", ErrCorrupt, b.Seq, b.File, b.Err)
}

// Unwrap gives ErrCorrupt and the cause.
func (b *BadEntry) Unwrap() []error { return []error{ErrCorrupt, b.Err} }

// badEntry blames entry seq in the segment that begins with entry first. A newer format is no damage.
func badEntry(seq, first uint64, err error) error {
	if errors.Is(err, ErrNewerFormat) {
		return fmt.Errorf("entry %d (%s): %w", seq, segmentName(first), err)
	}
	return &BadEntry{seq, segmentName(first), err}
}
