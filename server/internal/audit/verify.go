package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
)

// Report is what Check found.
type Report struct {
	Size       uint64   // whole entries
	Root       [32]byte // of the tree over them
	LogKey     string   // the log's verifier string, to compare with what Create returned
	Unfinished int64    // bytes at the end that the next Open will cut off
	Pruned     Pruned   // what of it went by its retention

	view snapshot
}

// Check verifies the log in dir without opening it: it needs no key, changes nothing and may run beside the server. It
// returns a BadEntry for the first entry that does not hold. That entries are missing at the end only a checkpoint can
// tell, see Extends, or the vault, see Reconcile.
func Check(dir string) (Report, error) {
	desc, err := readDescription(dir)
	if err != nil {
		return Report{}, fmt.Errorf("audit log: %w", err)
	}
	segments, s, tail, err := desc.replayAll(dir)
	if err != nil && !isTorn(err, tail, s.tree.size+1) {
		return Report{}, err
	}
	pruned, err := desc.checkPruned(dir, segments)
	if err != nil {
		return Report{}, err
	}
	return Report{
		Pruned: pruned, Size: s.tree.size, Root: s.tree.root(), LogKey: desc.logKey(), Unfinished: int64(len(tail)),
		view: snapshot{dir: dir, desc: desc, segments: segments, end: s.tree},
	}, nil
}

// Extends demands that the log that was checked begins with all that the log of c had. It fails with
// checkpoint.ErrNotExtended, whatever the epoch of c is: no file of the log says which epoch it is of.
func (r *Report) Extends(c checkpoint.Checkpoint) error {
	if r.Size < c.Size {
		return fmt.Errorf("%w: it has %d entries, the checkpoint %d", checkpoint.ErrNotExtended, r.Size, c.Size)
	}
	root, err := r.view.rootAt(c.Size)
	if err != nil {
		return err
	}
	if root != c.Root {
		return fmt.Errorf("%w: its first %d entries are others", checkpoint.ErrNotExtended, c.Size)
	}
	return nil
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
		if _, err := view.leaves(i); err != nil {
			return 0, root, err
		}
	}
	return view.end.size, view.end.root(), nil
}

// snapshot is the log at one moment.
type snapshot struct {
	dir      string
	desc     *description
	segments []segment
	end      tree
	tiles    []tlog.Hash // of all full tiles
}

// snapshot waits for all that was numbered before the call.
func (l *Log) snapshot(ctx context.Context) (snapshot, error) {
	l.mu.Lock()
	newest := l.newest
	if newest != nil {
		l.due(newest)
	}
	l.mu.Unlock()
	if newest != nil {
		// A batch that failed is not in the tree; what is there can be read nevertheless.
		if err := newest.wait(ctx, newest.hashed); err != nil && newest.failure() == nil {
			return snapshot{}, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return snapshot{l.dir, l.desc, slices.Clone(l.segments), l.state.tree.clone(), l.tiles}, nil
}

// after is the tree after segment i.
func (v *snapshot) after(i int) *tree {
	if i+1 < len(v.segments) {
		return &v.segments[i+1].before.tree
	}
	return &v.end
}

// load reads segment i from the disk. Its frames hash to the tree that is known, or it fails with a BadEntry.
func (v *snapshot) load(i int) ([]frame, error) {
	seg, want := &v.segments[i], v.after(i)
	data, err := v.readSegment(seg, i == len(v.segments)-1)
	if err != nil {
		return nil, err
	}
	s := seg.before.clone()
	frames := make([]frame, 0, want.size-s.tree.size)
	found, err := v.desc.replay(data, &s, func(f frame) { frames = append(frames, f) })
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

// leaves gives those of segment i, of which there may be no more. They hash to the tree that is known, or it fails with
// a BadEntry.
func (v *snapshot) leaves(i int) ([]tlog.Hash, error) {
	seg, want := &v.segments[i], v.after(i)
	if !seg.pruned {
		frames, err := v.load(i)
		if err == nil {
			leaves := make([]tlog.Hash, len(frames))
			var scratch []byte
			for at := range frames {
				leaves[at] = leafHash(&seg.hash, &frames[at], &scratch)
			}
			return leaves, nil
		}
		if !errors.Is(err, ErrPruned) {
			return nil, err
		}
	}
	leaves, err := v.desc.readHashes(v.dir, seg.first)
	if err != nil {
		return nil, err
	}
	t := seg.before.tree.clone()
	for _, leaf := range leaves {
		t.add(leaf)
	}
	if t.size != want.size || t.root() != want.root() {
		return nil, badEntry(seg.first, seg.first,
			fmt.Errorf("the hashes of entries %d to %d, which were pruned, do not hash to the tree's root", seg.first, want.size))
	}
	return leaves, nil
}

// missing says why a segment's file is not there: it was pruned since the snapshot, or somebody took it away.
func (v *snapshot) missing(seg *segment) error {
	if p, err := v.desc.readPruned(v.dir); err == nil && p.Size >= seg.first {
		return fmt.Errorf("%w meanwhile: ask again", ErrPruned)
	}
	return badEntry(seg.first, seg.first, errors.New("the file is missing"))
}

// readSegment reads a segment's file. Behind what the last one is known to have, batches are being written.
func (v *snapshot) readSegment(seg *segment, last bool) ([]byte, error) {
	data, err := readLimited(filepath.Join(v.dir, segmentName(seg.first)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, v.missing(seg)
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
	return view.rootAt(size)
}

// rootAt is the tree's root after its first size entries. There are so many.
func (v *snapshot) rootAt(size uint64) (root [32]byte, err error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	for i, seg := range slices.Backward(v.segments) {
		if seg.first > size {
			continue
		}
		leaves, err := v.leaves(i)
		if err != nil {
			return root, err
		}
		t := seg.before.tree.clone()
		for _, leaf := range leaves[:size-t.size] {
			t.add(leaf)
		}
		return t.root(), nil
	}
	return v.end.root(), nil
}
