// Package audit is the append-only, tamper-evident log: who did what with which credential, and how it ended. An entry
// is durable when Append returns, and what needs an entry must not happen where Append fails. Entries are encrypted to
// a public key, so that a sealed server logs as well; their hashes form an RFC 6962 tree, whose size and root the vault
// keeps with each change, so that neither goes back in time without the other noticing.
//
// The package decides nothing about who may do what, keeps no private key, and must never be given a secret to log.
package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

// Log is an open log. Its methods may be called from several goroutines.
type Log struct {
	dir   string
	desc  *description
	arena *secret.Arena
	limit int64 // bytes of a segment; tests make it small
	cut   int64 // bytes that Open cut off
	now   func() time.Time

	reserve  *reserve // nil: no room is kept
	refusals refusals

	changing chan struct{} // holds a token while a change is under way: a vault has one next commit number
	outcomes []outcome     // of changes, until the log is known to have them; for who holds the token
	stopped  chan struct{} // closed when the writer has ended

	// The writer's own.
	file      *os.File    // the segment being written; nil before the first batch
	fileKey   *segmentKey // the key of that segment
	published string      // the file that a segment was last given, whether it was started or not

	mu       sync.Mutex
	work     sync.Cond // a batch is queued, or the log is to close
	queue    []*batch  // numbered and not yet taken by the writer
	newest   *batch    // the last that was made, whether queued, taken or done
	spare    []byte    // a done batch's memory
	next     uint64    // seq of the next entry
	key      *segmentKey
	room     int64 // bytes that the segment of key can still take
	scratch  sync.Pool
	err      error       // why nothing can be appended any more
	durable  uint64      // entries that survive a crash
	segments []segment   // as far as state goes
	state    state       // after the entries that are durable and in the tree
	tiles    []tlog.Hash // of the full tiles up to there; only ever appended to
	pruned   Pruned

	syncs     [len(SyncBounds) + 1]uint64 // see Stats
	syncsTook time.Duration

	leaves leaves // of tiles that proofs needed

	pruning sync.Mutex // held by whoever prunes
}

// Open opens the log in dir, the folder that Create made, checks every entry's place in the tree and returns a BadEntry
// for the first that does not hold. What a crash left of an unfinished batch at the end was never acknowledged: Open
// cuts it off and says so in an entry. It needs no private key.
//
// One process at a time may have a log open; the store's lock in the same data folder sees to that.
func Open(dir string, a *secret.Arena) (*Log, error) { return open(dir, a, segmentLimit, time.Now) }

// OpenReserved opens the log in dir like Open and keeps 8 MiB of the disk for actions that take something away or stop
// it, such as grant.revoke, in a file at the path reserve. Where neither log nor store has room for one of them the file
// is emptied, and until it is whole again, which the log sees to by itself, everything else fails with ErrNoSpace.
// Reserved says whether it is there; that it cannot be made is no error.
func OpenReserved(dir string, a *secret.Arena, reserve string) (*Log, error) {
	return openWith(dir, a, segmentLimit, time.Now, reserve)
}

func open(dir string, a *secret.Arena, limit int64, now func() time.Time) (*Log, error) {
	return openWith(dir, a, limit, now, "")
}

func openWith(dir string, a *secret.Arena, limit int64, now func() time.Time, reserve string) (*Log, error) {
	desc, err := readDescription(dir)
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l := &Log{
		dir:      dir,
		desc:     desc,
		arena:    a,
		limit:    limit,
		now:      now,
		changing: make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		scratch:  sync.Pool{New: func() any { return new(buffers) }},
		room:     limit - headerSize,
	}
	l.work.L = &l.mu
	l.cut, err = l.recoverFiles()
	if err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	l.tiles = l.state.tree.takeTiles()
	l.next, l.durable = l.state.tree.size+1, l.state.tree.size
	if l.key, err = desc.newSegmentKey(a); err != nil {
		return nil, fmt.Errorf("audit log: %w", err)
	}
	if reserve != "" {
		l.reserve = openReserve(reserve, l.clock)
	}
	go l.write()
	if l.cut == 0 {
		return l, nil
	}
	_, err = l.Append(context.Background(), Entry{
		Actor:   "system",
		Action:  "log.recover",
		Outcome: Allowed,
		Reason:  fmt.Sprintf("cut %d bytes of an unfinished write after entry %d", l.cut, l.durable),
	})
	if err != nil {
		_ = l.Close() // says the same
		return nil, err
	}
	return l, nil
}

// recoverFiles replays the files and returns how many bytes of an unfinished batch it cut off.
func (l *Log) recoverFiles() (cut int64, err error) {
	var tail []byte
	l.segments, l.state, tail, err = l.desc.replayAll(l.dir)
	if err != nil && !isTorn(err, tail, l.state.tree.size+1) {
		return 0, err
	}
	if l.pruned, err = l.desc.checkPruned(l.dir, l.segments); err != nil {
		return 0, err
	}
	cut = int64(len(tail))
	next := l.state.tree.size + 1
	last := len(l.segments) - 1
	if last >= 0 && l.segments[last].first == next {
		l.segments = l.segments[:last]
	}
	// A file without an entry would be in the way of the segment that is to begin with the same one.
	err = os.Remove(filepath.Join(l.dir, segmentName(next)))
	if err == nil {
		return cut, durable.SyncDir(l.dir)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	if cut == 0 {
		return 0, nil
	}
	return cut, truncate(filepath.Join(l.dir, segmentName(l.segments[last].first)), l.segments[last].bytes)
}

// isTorn tells a crash's remains from a fault. tail is nil unless the fault is in the last file.
func isTorn(err error, tail []byte, seq uint64) bool {
	return tail != nil && errors.Is(err, errDamaged) && unfinished(tail, seq)
}

func truncate(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(size), file.Sync(), file.Close())
}

// Append gives e the next number and the present time and returns its number when it is durable. On ErrFailed nothing
// can be appended until the log is opened again; the entry may be there then all the same. So it may if ctx ends first.
// After any other error the entry is not there, and the next may be appended: ErrNoSpace, no file for it, or no memory.
//
// A refusal that repeats one of the last minute (same actor, action, target, host, reason and address) is counted: its number is
// that of the first, and an entry follows that gives the count, when the minute is over or the log is closed. A process
// that is killed loses the counts of its last minute, and no first. The entries of all refusals together are at most
// 2690 a minute: beyond 1,024 kinds at a time coarser ones are counted.
func (l *Log) Append(ctx context.Context, e Entry) (seq uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	e.locate(ctx)
	if e.Outcome == Refused {
		return l.appendRefusal(ctx, &e)
	}
	if !e.essential() {
		if err := l.reserve.admit(); err != nil {
			return 0, err
		}
	}
	err = l.reserve.retry(&e, func() error {
		var b *batch
		if seq, b, err = l.enqueue(event, 0, &e, nil); err != nil {
			return err
		}
		return b.wait(ctx, b.done)
	})
	return seq, err
}

// Reserved is nil while the room that OpenReserved keeps is there. Otherwise it says why not: ErrNoSpace if it was given
// up for an action that needed it.
func (l *Log) Reserved() error { return l.reserve.state() }

// Recovered is how many bytes of an unfinished batch Open cut off.
func (l *Log) Recovered() int64 { return l.cut }

// Size is the number of durable entries, and the seq of the last.
func (l *Log) Size() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Close writes what is queued, and how many refusals were counted, and closes the log. It returns what stopped the log before, if something did.
func (l *Log) Close() error {
	l.closeRefusals()
	l.reserve.close()
	l.mu.Lock()
	failure := l.err
	if failure == nil {
		l.err = ErrClosed
	}
	l.work.Signal()
	l.mu.Unlock()
	<-l.stopped

	l.mu.Lock()
	defer l.mu.Unlock()
	l.key.retire()
	if l.file != nil {
		failure = errors.Join(failure, l.file.Close())
		l.file = nil
	}
	if errors.Is(failure, ErrClosed) {
		return nil
	}
	return failure
}
