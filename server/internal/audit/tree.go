package audit

import (
	"crypto/sha256"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is the right edge of an RFC 6962 Merkle tree: all that appending to it and its root need.
type tree struct {
	size  uint64
	peaks []tlog.Hash // the roots of the full subtrees that size's binary digits stand for, largest first
	tiles []tlog.Hash // of the tiles that were filled since this tree was made or cloned
}

func (t *tree) add(leaf tlog.Hash) {
	for n, level := t.size, 1; n&1 == 1; n, level = n>>1, level+1 {
		last := len(t.peaks) - 1
		leaf = tlog.NodeHash(t.peaks[last], leaf)
		t.peaks = t.peaks[:last]
		if level == tileHeight {
			t.tiles = append(t.tiles, leaf)
		}
	}
	t.peaks = append(t.peaks, leaf)
	t.size++
}

func (t *tree) root() [32]byte {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	root := t.peaks[len(t.peaks)-1]
	for _, peak := range slices.Backward(t.peaks[:len(t.peaks)-1]) {
		root = tlog.NodeHash(peak, root)
	}
	return root
}

func (t *tree) clone() tree { return tree{size: t.size, peaks: slices.Clone(t.peaks)} }

// takeTiles returns the tiles that were filled since the last call.
func (t *tree) takeTiles() []tlog.Hash {
	tiles := t.tiles
	t.tiles = nil
	return tiles
}
