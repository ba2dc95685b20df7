package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// A tile is a full subtree of 256 leaves. Of every tile the log keeps the root in memory, 32 bytes (1.25 MB for ten
// million entries), from which all that lies above can be computed. What lies below is read from the segments again,
// only at the edges of a proof, and is held against that root.
const (
	tileHeight = 8
	tileSize   = 1 << tileHeight
)

// leaves keeps the leaves of some tiles, those that were used last.
type leaves struct {
	mu    sync.Mutex
	tiles map[uint64][]tlog.Hash
	order []uint64 // oldest use first
}

const keptTiles = 64 // half a megabyte

func (l *leaves) get(tile uint64) []tlog.Hash {
	l.mu.Lock()
	defer l.mu.Unlock()
	hashes := l.tiles[tile]
	if hashes != nil {
		l.order = append(slices.DeleteFunc(l.order, func(t uint64) bool { return t == tile }), tile)
	}
	return hashes
}

func (l *leaves) put(tile uint64, hashes []tlog.Hash) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tiles == nil {
		l.tiles = map[uint64][]tlog.Hash{}
	}
	if l.tiles[tile] != nil {
		return
	}
	if len(l.order) == keptTiles {
		delete(l.tiles, l.order[0])
		l.order = slices.Delete(l.order, 0, 1)
	}
	l.tiles[tile] = hashes
	l.order = append(l.order, tile)
}

// nodes serves the hashes of the tree at one moment, in tlog's numbering.
type nodes struct {
	view snapshot
	kept *leaves
	last []tlog.Hash // the leaves behind the last full tile, once they were read
}

func (l *Log) nodes(ctx context.Context) (*nodes, error) {
	view, err := l.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return &nodes{view: view, kept: &l.leaves}, nil
}

// ReadHashes is part of tlog's contract.
func (n *nodes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, at := tlog.SplitStoredHashIndex(index)
		var err error
		if hashes[i], err = n.node(level, uint64(at)); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// node is the root of the full subtree of 2^level leaves that has at others before it.
func (n *nodes) node(level int, at uint64) (tlog.Hash, error) {
	if end := (at + 1) << level; end > n.view.end.size {
		return tlog.Hash{}, fmt.Errorf("audit log: entry %d is asked for, the last is %d", end, n.view.end.size)
	}
	if level >= tileHeight {
		width := uint64(1) << (level - tileHeight)
		return fold(n.view.tiles[at*width : (at+1)*width]), nil
	}
	first := at << level
	hashes, err := n.tile(first / tileSize)
	if err != nil {
		return tlog.Hash{}, err
	}
	first %= tileSize
	return fold(hashes[first : first+1<<level]), nil
}

// fold is the root of a full subtree.
func fold(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(fold(hashes[:half]), fold(hashes[half:]))
}

// tile gives the leaves of a tile. Those of the last one are as many as there are.
func (n *nodes) tile(number uint64) ([]tlog.Hash, error) {
	full := number < uint64(len(n.view.tiles))
	if !full && n.last != nil {
		return n.last, nil
	}
	if hashes := n.kept.get(number); full && hashes != nil {
		return hashes, nil
	}
	first := number*tileSize + 1
	last := min(first+tileSize-1, n.view.end.size)
	hashes, err := n.view.readLeaves(first, last)
	if err != nil {
		return nil, err
	}
	if !full {
		n.last = hashes
		return hashes, nil
	}
	if fold(hashes) != n.view.tiles[number] {
		return nil, badEntry(first, first, fmt.Errorf("an entry of %d to %d was altered: they do not hash to the tree", first, last))
	}
	n.kept.put(number, hashes)
	return hashes, nil
}

// readLeaves reads the leaves of entries first to last from the segments, which are held against the tree's root.
func (v *snapshot) readLeaves(first, last uint64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, 0, last-first+1)
	for i := range v.segments {
		seg := &v.segments[i]
		if end := v.after(i).size; end < first || seg.first > last {
			continue
		}
		leaves, err := v.leaves(i)
		if err != nil {
			return nil, err
		}
		for at, leaf := range leaves {
			if seq := seg.first + uint64(at); seq >= first && seq <= last {
				hashes = append(hashes, leaf)
			}
		}
	}
	if uint64(len(hashes)) != last-first+1 {
		return nil, errors.New("audit log: entries are missing in memory") // the segments of a snapshot have no gaps
	}
	return hashes, nil
}
