package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
)

// maxBatch is the most bytes that one write and fsync take. It bounds what a crash can leave unfinished.
const maxBatch = 1 << 20

// batch is a number of frames that become durable together.
type batch struct {
	key    *segmentKey // whose segment it is for
	frames []byte
	count  uint32
	last   uint64 // seq of its last frame

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

// buffers are the memory in which an entry is made.
type buffers struct{ plaintext, frame []byte }

// enqueue numbers an entry and gives it to the writer. All that can be done before is done outside the lock.
func (l *Log) enqueue(k kind, ref uint64, e *Entry) (uint64, *batch, error) {
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
		seq, b, err := l.place(key, frame)
		if b != nil || err != nil {
			return seq, b, err
		}
	}
}

// place numbers a frame that was sealed with key. It returns no batch if the frame must be sealed again, because the
// segment of that key has no room for it.
func (l *Log) place(key *segmentKey, frame []byte) (uint64, *batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, nil, l.err
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
	l.work.Signal()
	return b
}

// write is the one goroutine that writes. It ends when the log is closed or has failed.
func (l *Log) write() {
	defer close(l.stopped)
	for b := l.take(); b != nil; b = l.take() {
		if err := l.commit(b); err != nil {
			l.fail(b, err)
			return
		}
	}
}

// take waits for a batch. It returns nil when the log is closed and everything is written.
func (l *Log) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 {
		if l.err != nil {
			return nil
		}
		l.work.Wait()
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

// commit makes a batch durable, wakes its writers and then takes it into the tree.
func (l *Log) commit(b *batch) error {
	if b.key != l.fileKey {
		if err := l.startSegment(b.key); err != nil {
			return err
		}
	}
	for f := range split(b.frames) {
		finish(f)
	}
	if _, err := l.file.Write(b.frames); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.mu.Lock()
	l.durable = b.last
	l.mu.Unlock()
	close(b.done)
	l.hash(b)
	return nil
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

	l.mu.Lock()
	l.state = s
	l.segments[len(l.segments)-1] = seg
	l.spare, b.frames = b.frames, nil
	l.mu.Unlock()
	close(b.hashed)
}

// startSegment begins the file of the segment that key is for. Everything before is in the tree.
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
	if err := writeNew(l.dir, name, header); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(l.dir, name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	l.file, l.fileKey = file, key
	l.mu.Lock()
	l.segments = append(l.segments, seg)
	l.mu.Unlock()
	return nil
}

// fail ends the log: whether a failed write or fsync left something on the disk is not known, and trying again would
// not tell.
func (l *Log) fail(b *batch, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = fmt.Errorf("%w: %w", ErrFailed, cause)
	for _, b := range append([]*batch{b}, l.queue...) {
		b.err = l.err
		close(b.done)
		close(b.hashed)
	}
	l.queue = nil
}
