package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/durable"
)

// rollAfter is the part of the retention after which a segment is given no more entries, so that a quiet log, whose
// segments would last for years, is pruned as well: an entry stays a tenth of its time longer at most.
const rollAfter = 10

// Prune removes the entries of segments whose every entry is older than age; 0 is for ever. Their hashes stay, and with
// them every proof. It logs as log.prune what goes before it goes, and keeps the segments that the vault's root record
// and the last change need. What an earlier run was kept from removing goes as well. It returns what is pruned in all.
func (c *Checkpoints) Prune(ctx context.Context, b *barrier.Barrier, age time.Duration) (Pruned, error) {
	l := c.log
	l.pruning.Lock()
	defer l.pruning.Unlock()
	entry := Entry{Actor: "system", Action: "log.prune", Outcome: Allowed}
	p := l.Pruned()
	if age > 0 {
		if err := l.roll(age); err != nil {
			return p, err
		}
		needed, _ := b.LogState()
		if next := l.prunable(age, needed); next.Size > p.Size {
			entry.Target = fmt.Sprintf("entries 1 to %d", next.Size)
			entry.Reason = fmt.Sprintf("older than %s, which is the setting audit-retention", age)
			if _, err := l.Append(ctx, entry); err != nil {
				return p, err
			}
			if err := l.reserve.retry(&entry, func() error { return c.signPruned(next) }); err != nil {
				return p, err
			}
			p = next
		}
	}
	return p, l.removePruned(ctx, &entry, p)
}

// Pruned says what of the log was pruned.
func (l *Log) Pruned() Pruned {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pruned
}

// prunable is what may go: whole segments from the first one on.
func (l *Log) prunable(age time.Duration, needed uint64) (p Pruned) {
	before := l.clock().Add(-age)
	l.mu.Lock()
	defer l.mu.Unlock()
	p.Time = before.Add(age)
	needed = min(needed, l.state.change.intent)
	for i := 1; i < len(l.segments); i++ {
		end := &l.segments[i].before.tree
		if end.size >= needed || l.segments[i-1].newest >= before.UnixNano() {
			break
		}
		p.Size, p.Root = end.size, end.root()
	}
	return p
}

// roll has the next entry begin a segment where the first of the present one is old.
func (l *Log) roll(age time.Duration) error {
	now := l.clock()
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.segments) - 1
	idle := l.err == nil && len(l.queue) == 0 && l.next == l.state.tree.size+1
	if !idle || last < 0 || l.segments[last].oldest >= now.Add(-age/rollAfter).UnixNano() {
		return nil
	}
	fresh, err := l.desc.newSegmentKey(l.arena)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	l.key.retire()
	l.key, l.room = fresh, l.limit-headerSize
	return nil
}

// signPruned puts beside the log what is going to be pruned. The lock keeps the keys from being wiped meanwhile.
func (c *Checkpoints) signPruned(p Pruned) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	l := c.log
	verifier, err := note.NewVerifier(l.desc.logKey())
	if err != nil {
		return err
	}
	text, err := note.Sign(&note.Note{Text: p.text(verifier.Name())}, signer{verifier, c.keys.Signing})
	if err != nil {
		return err
	}
	crash.Point("audit.prune.sign")
	if err := roomFor(durable.Replace(filepath.Join(l.dir, prunedFile), text)); err != nil {
		return err
	}
	crash.Point("audit.prune.signed")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pruned = p
	return nil
}

// removePruned puts hashes in the place of what is pruned, the oldest first.
func (l *Log) removePruned(ctx context.Context, entry *Entry, p Pruned) error {
	view, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	for i := range view.segments {
		seg := &view.segments[i]
		if seg.pruned {
			continue
		}
		if err := ctx.Err(); err != nil || view.after(i).size > p.Size {
			return err
		}
		leaves, err := view.leaves(i)
		if err != nil {
			return err
		}
		hashes := l.desc.encodeHashes(seg.first, leaves)
		err = l.reserve.retry(entry, func() error {
			return roomFor(durable.Replace(filepath.Join(l.dir, hashesName(seg.first)), hashes))
		})
		if err != nil {
			return err
		}
		crash.Point("audit.prune.remove")
		if err := os.Remove(filepath.Join(l.dir, segmentName(seg.first))); err != nil {
			return err
		}
		if err := durable.SyncDir(l.dir); err != nil {
			return err
		}
		crash.Point("audit.prune.removed")
		l.mu.Lock()
		l.segments[i].pruned, l.segments[i].enc = true, nil
		l.mu.Unlock()
	}
	return nil
}

// roomFor names the want of room, so that the reserve is used.
func roomFor(err error) error {
	if noRoom(err) {
		return errors.Join(ErrNoSpace, err)
	}
	return err
}
