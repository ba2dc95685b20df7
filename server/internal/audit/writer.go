package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/durable"
)

// maxBatch is the most bytes that one write and fsync take. It bounds what a crash can leave unfinished.
const maxBatch = 1 << 20

// outcomeDelay is how long outcomes wait for an entry that somebody waits for, such as the next intent, to share its
// fsync. Who reads the log does not wait so long, and one that is lost in a crash is found out again. It is no longer than
// an fsync takes: as long as a change has no outcome, a store of right before it is a legal one.
const outcomeDelay = 2 * time.Millisecond

// batch is a number of frames that become durable together.
type batch struct {
	key    *segmentKey // whose segment it is for
	frames []byte
	count  uint32
	last   uint64 // seq of its last frame
	due    bool   // it is to be written now: it has more than outcomes, or these have waited

	err    error         // why it failed; set before the channels are closed
	done   chan struct{} // closed when the batch is durable
	hashed chan struct{} // closed when the batch is in the tree
}

// wait waits for one of the batch's channels.
func (b *batch) wait(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failure is why the batch failed. It is nil while the batch is on its way, and where there is none.
func (b *batch) failure() error {
	if b == nil {
		return nil
	}
	select {
	case <-b.hashed:
		return b.err
	default:
		return nil
	}
}

// written tells whether the batch is durable and in the tree.
func (b *batch) written() bool {
	select {
	case <-b.hashed:
		return b.err == nil
	default:
		return false
	}
}

// buffers are the memory in which an entry is made.
type buffers struct{ plaintext, frame []byte }

// enqueue numbers an entry and gives it to the writer. All that can be done before is done outside the lock. The entry
// is never written without the batch after, if that is given: it fails as that does.
func (l *Log) enqueue(k kind, ref uint64, e *Entry, after *batch) (uint64, *batch, error) {
	m := l.scratch.Get().(*buffers)
	defer l.scratch.Put(m)
	plaintext, err := appendPlaintext(m.plaintext[:0], e)
	if err != nil {
		return 0, nil, err
	}
	m.plaintext = plaintext
	for {
		l.mu.Lock()
		key, err := l.key, l.err
		l.mu.Unlock()
		if err != nil {
			return 0, nil, err
		}
		frame, err := sealFrame(m.frame, key, k, ref, plaintext)
		if errors.Is(err, errRetired) {
			continue // another writer filled the segment meanwhile
		}
		if err != nil {
			return 0, nil, fmt.Errorf("audit log: %w", err)
		}
		m.frame = frame
		seq, b, err := l.place(key, frame, after, k != committed && k != notCommitted)
		if b != nil || err != nil {
			return seq, b, err
		}
	}
}

// place numbers a frame that was sealed with key. It returns no batch if the frame must be sealed again, because the
// segment of that key has no room for it.
func (l *Log) place(key *segmentKey, frame []byte, after *batch, due bool) (uint64, *batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, nil, l.err
	}
	if err := after.failure(); err != nil {
		return 0, nil, err
	}
	if key != l.key {
		return 0, nil, nil
	}
	if l.room < int64(len(frame)) {
		fresh, err := l.desc.newSegmentKey(l.arena)
		if err != nil {
			return 0, nil, fmt.Errorf("audit log: %w", err)
		}
		l.key.retire()
		l.key, l.room = fresh, l.limit-headerSize
		return 0, nil, nil
	}
	b := l.openBatch(len(frame))
	if due {
		l.due(b)
	} else if b.count == 0 {
		time.AfterFunc(outcomeDelay, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.due(b)
		})
	}
	seq := l.next
	number(frame, b.count, seq, l.now().UnixNano())
	b.frames = append(b.frames, frame...)
	b.count++
	b.last = seq
	l.next++
	l.room -= int64(len(frame))
	return seq, b, nil
}

// openBatch is the batch that the next frame goes into.
func (l *Log) openBatch(size int) *batch {
	if n := len(l.queue); n > 0 {
		if b := l.queue[n-1]; b.key == l.key && len(b.frames)+size <= maxBatch {
			return b
		}
	}
	b := &batch{key: l.key, frames: l.spare[:0], done: make(chan struct{}), hashed: make(chan struct{})}
	l.spare = nil
	l.queue = append(l.queue, b)
	l.newest = b
	return b
}

// due has the writer take a batch now. The lock is held.
func (l *Log) due(b *batch) {
	b.due = true
	l.work.Signal()
}

// write is the one goroutine that writes. It ends when the log is closed or has failed.
func (l *Log) write() {
	defer close(l.stopped)
	for b := l.take(); b != nil; b = l.take() {
		if b.key != l.fileKey {
			if err := l.startSegment(b.key); err != nil {
				l.drop(b, notStarted(err))
				continue
			}
		}
		err := l.commit(b)
		if errors.Is(err, ErrNoSpace) {
			l.drop(b, err)
			continue
		}
		if err != nil {
			l.fail(b, err)
			return
		}
	}
}

// take waits for a batch. It returns nil when the log is closed and everything is written.
func (l *Log) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && (len(l.queue) == 0 || len(l.queue) == 1 && !l.queue[0].due) {
		l.work.Wait()
	}
	if len(l.queue) == 0 {
		return nil
	}
	l.mu.Unlock()
	// Writers that are about to append get to run first, and share the fsync. Alone, a writer loses a microsecond.
	for range 20 {
		runtime.Gosched()
	}
	l.mu.Lock()
	b := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	return b
}

// commit makes a batch durable, wakes its writers and then takes it into the tree. On ErrNoSpace nothing of it is there.
func (l *Log) commit(b *batch) error {
	for f := range split(b.frames) {
		finish(f)
	}
	crash.Point("audit.write")
	if _, err := l.file.Write(b.frames); err != nil {
		return l.takeBack(err)
	}
	// What a failed fsync left cannot be found out by another one: no error of it is ErrNoSpace.
	began := time.Now()
	crash.Point("audit.sync")
	if err := l.file.Sync(); err != nil {
		return err
	}
	took := time.Since(began)
	crash.Point("audit.synced")
	l.mu.Lock()
	l.durable = b.last
	l.synced(took)
	l.mu.Unlock()
	close(b.done)
	crash.Point("audit.hash")
	l.hash(b)
	return nil
}

// takeBack removes what a write for which there was no room left behind, and makes that durable. It returns ErrNoSpace
// then, and otherwise what the writer fails with.
func (l *Log) takeBack(cause error) error {
	if !noRoom(cause) && !errors.Is(cause, io.ErrShortWrite) {
		return cause
	}
	l.mu.Lock()
	size := l.segments[len(l.segments)-1].bytes
	l.mu.Unlock()
	if err := l.file.Truncate(size); err != nil {
		return errors.Join(cause, err)
	}
	if err := l.file.Sync(); err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", ErrNoSpace, cause)
}

// notStarted says why a segment could not be started.
func notStarted(cause error) error {
	if noRoom(cause) {
		return fmt.Errorf("%w: %w: %w", ErrNoSpace, errNoSegment, cause)
	}
	return fmt.Errorf("%w: %w", errNoSegment, cause)
}

// split yields the frames of a batch, which this process made.
func split(frames []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(frames) > 0 {
			n := checksumEnd + int(binary.BigEndian.Uint32(frames))
			if !yield(frames[:n]) {
				return
			}
			frames = frames[n:]
		}
	}
}

// hash takes a durable batch into the tree.
func (l *Log) hash(b *batch) {
	l.mu.Lock()
	s := l.state.clone()
	seg := l.segments[len(l.segments)-1]
	l.mu.Unlock()
	var scratch []byte
	for bytes := range split(b.frames) {
		f := parseFrame(bytes)
		s.add(&seg.hash, &f, &scratch)
	}
	seg.bytes += int64(len(b.frames))
	seg.newest = s.newest
	if seg.oldest == 0 {
		seg.oldest = parseFrame(b.frames).time
	}

	l.mu.Lock()
	l.tiles = append(l.tiles, s.tree.takeTiles()...)
	l.state = s
	l.segments[len(l.segments)-1] = seg
	l.spare, b.frames = b.frames, nil
	l.mu.Unlock()
	close(b.hashed)
}

// startSegment begins the file of the segment that key is for. Everything before is in the tree. After an error it may
// be called again, for this key or a later one.
func (l *Log) startSegment(key *segmentKey) error {
	l.mu.Lock()
	before := l.state.clone()
	l.mu.Unlock()
	header := l.desc.segmentHeader(&before, key.enc)
	seg, err := l.desc.replay(header, &before, nil)
	if err != nil {
		return err
	}
	name := segmentName(seg.first)
	if err := l.publish(name, header); err != nil {
		return err
	}
	crash.Point("audit.segment.open")
	file, err := os.OpenFile(filepath.Join(l.dir, name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // its entries are durable, whatever it says
	}
	l.file, l.fileKey = file, key
	l.mu.Lock()
	l.segments = append(l.segments, seg)
	l.mu.Unlock()
	return nil
}

// publish puts a segment's header under its name. It replaces what an earlier call left there, which nobody has
// written an entry to, and nothing else.
func (l *Log) publish(name string, header []byte) error {
	if name != l.published {
		if err := absent(l.dir, name); err != nil {
			return err
		}
	}
	if err := writeTemporary(l.dir, header); err != nil {
		return err
	}
	crash.Point("audit.segment.rename")
	if err := renameTemporary(l.dir, name); err != nil {
		return err
	}
	crash.Point("audit.segment.syncdir")
	l.published = name
	return durable.SyncDir(l.dir)
}

// drop refuses a batch of which nothing is on the disk, and all behind it: their numbers and their room are free again.
// The next entry makes the writer try once more.
func (l *Log) drop(b *batch, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse(b, cause)
	l.next = l.state.tree.size + 1
	l.room = l.limit - headerSize
	if l.key == l.fileKey {
		l.room = l.limit - l.segments[len(l.segments)-1].bytes
	}
}

// fail ends the log: what a failed write or fsync left on the disk is not known, and trying again would not tell.
func (l *Log) fail(b *batch, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = fmt.Errorf("%w: %w", ErrFailed, cause)
	l.refuse(b, l.err)
}

// refuse wakes the writers of b, and of the batches behind it, with an error. The lock is held.
func (l *Log) refuse(b *batch, err error) {
	for _, b := range append([]*batch{b}, l.queue...) {
		b.err, b.frames = err, nil
		close(b.done)
		close(b.hashed)
	}
	l.queue = nil
}
