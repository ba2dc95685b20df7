package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Report is what Check found.
type Report struct {
	Size       uint64   // whole entries
	Root       [32]byte // of the tree over them
	LogKey     string   // the log's verifier string, to compare with what Create returned
	Unfinished int64    // bytes at the end that the next Open will cut off
}

// Check verifies the log in dir without opening it: it needs no key, changes nothing and may run beside the server. It
// returns a BadEntry for the first entry that does not hold. That entries are missing at the end only the vault can
// tell, see Reconcile.
func Check(dir string) (Report, error) {
	desc, err := readDescription(dir)
	if err != nil {
		return Report{}, fmt.Errorf("audit log: %w", err)
	}
	_, s, tail, err := desc.replayAll(dir)
	if err != nil && !isTorn(err, tail, s.tree.size+1) {
		return Report{}, err
	}
	return Report{Size: s.tree.size, Root: s.tree.root(), LogKey: desc.logKey(), Unfinished: int64(len(tail))}, nil
}

// Verify reads every durable entry from the disk again and compares it with the tree in memory. It returns the tree's
// size and root, or a BadEntry for the first entry that does not hold: the first of its segment where the segment is
// well-formed and only its hash differs.
func (l *Log) Verify(ctx context.Context) (size uint64, root [32]byte, err error) {
	view, err := l.snapshot(ctx)
	if err != nil {
		return 0, root, err
	}
	for i := range view.segments {
		if err := ctx.Err(); err != nil {
			return 0, root, err
		}
		if _, err := l.load(&view, i); err != nil {
			return 0, root, err
		}
	}
	return view.end.size, view.end.root(), nil
}

// snapshot is the log at one moment.
type snapshot struct {
	segments []segment
	end      tree
}

// snapshot waits for all that was numbered before the call.
func (l *Log) snapshot(ctx context.Context) (snapshot, error) {
	l.mu.Lock()
	newest := l.newest
	l.mu.Unlock()
	if newest != nil {
		// A batch that failed is not in the tree; what is there can be read nevertheless.
		if err := newest.wait(ctx, newest.hashed); err != nil && newest.failure() == nil {
			return snapshot{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return snapshot{slices.Clone(l.segments), l.state.tree.clone()}, nil
}

// after is the tree after segment i.
func (v *snapshot) after(i int) *tree {
	if i+1 < len(v.segments) {
		return &v.segments[i+1].before.tree
	}
	return &v.end
}

// load reads segment i from the disk. Its frames hash to the tree that is known, or it fails with a BadEntry.
func (l *Log) load(v *snapshot, i int) ([]frame, error) {
	seg, want := &v.segments[i], v.after(i)
	data, err := l.readSegment(seg, i == len(v.segments)-1)
	if err != nil {
		return nil, err
	}
	s := seg.before.clone()
	frames := make([]frame, 0, want.size-s.tree.size)
	found, err := l.desc.replay(data, &s, func(f frame) { frames = append(frames, f) })
	if err != nil {
		return nil, err
	}
	if s.tree.size < want.size {
		return nil, badEntry(s.tree.size+1, seg.first, errors.New("it and what follows are missing"))
	}
	if found.hash != seg.hash || s.tree.size > want.size || s.tree.root() != want.root() {
		return nil, badEntry(seg.first, seg.first,
			fmt.Errorf("an entry of %d to %d was altered: they do not hash to the tree's root", seg.first, want.size))
	}
	return frames, nil
}

// readSegment reads a segment's file. Behind what the last one is known to have, batches are being written.
func (l *Log) readSegment(seg *segment, last bool) ([]byte, error) {
	data, err := readLimited(filepath.Join(l.dir, segmentName(seg.first)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, badEntry(seg.first, seg.first, errors.New("the file is missing"))
	}
	if err == nil && last && int64(len(data)) > seg.bytes {
		data = data[:seg.bytes]
	}
	return data, err
}

// rootAt is the tree's root after its first size entries.
func (l *Log) rootAt(ctx context.Context, size uint64) (root [32]byte, err error) {
	view, err := l.snapshot(ctx)
	if err != nil {
		return root, err
	}
	if size > view.end.size {
		return root, fmt.Errorf("%w: the vault has seen %d entries, the log has %d", ErrLogRolledBack, size, view.end.size)
	}
	for i, seg := range slices.Backward(view.segments) {
		if seg.first > size {
			continue
		}
		frames, err := l.load(&view, i)
		if err != nil {
			return root, err
		}
		s := seg.before.clone()
		var scratch []byte
		for _, f := range frames[:size-s.tree.size] {
			s.add(&seg.hash, &f, &scratch)
		}
		return s.tree.root(), nil
	}
	return view.end.root(), nil
}
