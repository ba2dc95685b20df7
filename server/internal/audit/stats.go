package audit

import "time"

// SyncBounds are the upper bounds of the classes in Stats.Syncs.
var SyncBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second,
}

// Stats are numbers about a log.
type Stats struct {
	Entries uint64 // that are durable, with those that were pruned
	Pruned  uint64
	Bytes   int64 // of the segments that have their entries
	// Syncs counts how long each fsync of entries took since the log was opened: up to the bound of the same index in
	// SyncBounds and beyond the one before, and in the last class beyond all of them.
	Syncs     [len(SyncBounds) + 1]uint64
	SyncsTook time.Duration // together
}

// Stats reads them.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Stats{Entries: l.durable, Pruned: l.pruned.Size, Syncs: l.syncs, SyncsTook: l.syncsTook}
	for i := range l.segments {
		if seg := &l.segments[i]; !seg.pruned {
			out.Bytes += seg.bytes
		}
	}
	return out
}

// Ready is nil while anything may be appended, and says otherwise why not: ErrFailed, ErrClosed, ErrNoSpace.
func (l *Log) Ready() error {
	l.mu.Lock()
	err := l.err
	l.mu.Unlock()
	if err != nil {
		return err
	}
	return l.reserve.admit()
}

// synced counts one; the lock is held.
func (l *Log) synced(took time.Duration) {
	class := 0
	for class < len(SyncBounds) && took > SyncBounds[class] {
		class++
	}
	l.syncs[class]++
	l.syncsTook += took
}
