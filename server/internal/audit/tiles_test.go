package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/checkpoint/merkletest"
)

// naiveLeaves takes the leaves out of the files as the comments in frame.go and segment.go say.
func naiveLeaves(t testing.TB, dir string) (leaves [][]byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg")) // sorted
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		header := sha256.Sum256(data[:125])
		for rest := data[125:]; len(rest) > 0; {
			n := 8 + binary.BigEndian.Uint32(rest)
			leaves = append(leaves, append(header[:], rest[8:n]...))
			rest = rest[n:]
		}
	}
	return leaves
}

// addMany appends n entries, many in a batch.
func (l *testLog) addMany(n int) {
	l.t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() { add(l.t, l.Log) })
	}
	all.Wait()
}

// TestProofsOfALog: proofs from tiles in memory and edges on the disk are those of the whole tree.
func TestProofsOfALog(t *testing.T) {
	t.Parallel()
	l := newLog(t, 20000) // several tiles in a segment, and tiles over two segments
	l.addMany(255)
	sizes := []uint64{1, 2, 3, 100, 255}
	for _, more := range []int{1, 1, 250, 5, 300, 213} {
		l.addMany(more)
		sizes = append(sizes, l.Size())
	}
	if want := []uint64{1, 2, 3, 100, 255, 256, 257, 507, 512, 812, 1025}; !slices.Equal(sizes, want) {
		t.Fatalf("sizes %d, want %d", sizes, want)
	}
	leaves := naiveLeaves(t, l.dir)
	again := l.open(l.dir, 20000)
	view, err := l.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(again.tiles) != 4 || !slices.Equal(view.tiles, again.tiles) || view.tiles[3] != merkletest.Root(leaves[768:1024]) {
		t.Errorf("tiles: %d of the writer, %d after opening", len(view.tiles), len(again.tiles))
	}
	for _, log := range []*Log{l.Log, again} {
		for _, to := range sizes {
			for _, from := range sizes {
				got, err := log.Consistency(t.Context(), from, to)
				if from > to {
					if err == nil {
						t.Errorf("there is a proof from %d to %d", from, to)
					}
					continue
				}
				if err != nil || !slices.Equal(got, merkletest.Proof(int(from), leaves[:to])) {
					t.Fatalf("from %d to %d: %v, %v", from, to, got, err)
				}
				if err := tlog.CheckTree(got, int64(to), merkletest.Root(leaves[:to]), int64(from), merkletest.Root(leaves[:from])); err != nil {
					t.Errorf("from %d to %d: %v", from, to, err)
				}
			}
			n, err := log.nodes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, seq := range sizes {
				if seq > to {
					continue
				}
				p, err := n.prove(l.arena, l.keys, seq, to)
				if err != nil || !slices.EqualFunc(p.Inclusion, checkpoint.Raw(merkletest.Path(int(seq-1), leaves[:to])), bytes.Equal) {
					t.Fatalf("entry %d in %d: %v", seq, to, err)
				}
			}
		}
	}
	if _, err := l.Consistency(t.Context(), 1, 1026); err == nil {
		t.Error("there is a proof of what is not there")
	}
	if got, err := l.Consistency(t.Context(), 0, 1025); got != nil || err != nil {
		t.Errorf("from nothing: %v, %v", got, err)
	}
}

// TestProofsAsALogGrows: a tile that was read before it was full is read again.
func TestProofsAsALogGrows(t *testing.T) {
	t.Parallel()
	l := newLog(t, 20000)
	for range 5 {
		l.addMany(130)
		size := l.Size()
		leaves := naiveLeaves(t, l.dir)
		for _, from := range []uint64{3, size - 29, size - 1} {
			if got, err := l.Consistency(t.Context(), from, size); err != nil || !slices.Equal(got, merkletest.Proof(int(from), leaves)) {
				t.Fatalf("from %d to %d: %v, %v", from, size, got, err)
			}
		}
	}
}

// TestProofFromAlteredFiles: what is read for a proof is held against what is in memory.
func TestProofFromAlteredFiles(t *testing.T) {
	t.Parallel()
	for what, alter := range map[string]func(data []byte){
		"an entry of a full tile": func(data []byte) { data[len(data)-minFrame] ^= 1 },
		"exchanged, checksum and all": func(data []byte) {
			first := data[headerSize:]
			first = first[:checksumEnd+binary.BigEndian.Uint32(first)]
			first[len(first)-1] ^= 1
			finish(first)
		},
	} {
		l := newLog(t, 20000)
		l.addMany(600)
		if _, err := l.Consistency(t.Context(), 3, 600); err != nil {
			t.Fatal(err)
		}
		l.leaves = leaves{} // as if other tiles had been used since
		name := filepath.Join(l.dir, segmentName(1))
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		alter(data)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var bad *BadEntry
		if _, err := l.Consistency(t.Context(), 3, 600); !errors.As(err, &bad) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTileIsHeldAgainstItsRoot: also where the segment that was read is whole in itself.
func TestTileIsHeldAgainstItsRoot(t *testing.T) {
	t.Parallel()
	l := newLog(t, 20000)
	l.addMany(300)
	view, err := l.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	view.tiles[0][7] ^= 1 // the log's own
	var bad *BadEntry
	if _, err := l.Consistency(t.Context(), 3, 300); !errors.As(err, &bad) {
		t.Errorf("Consistency: %v", err)
	}
}

func TestLeavesThatAreKept(t *testing.T) {
	t.Parallel()
	var l leaves
	for tile := range uint64(keptTiles) {
		l.put(tile, []tlog.Hash{{byte(tile)}})
	}
	l.put(3, []tlog.Hash{{99}}) // there already
	if l.get(0) == nil {        // is the last used now
		t.Error("the first tile is gone before there are too many")
	}
	l.put(keptTiles, []tlog.Hash{{keptTiles}})
	for tile, want := range map[uint64]byte{0: 0, 2: 2, 3: 3, keptTiles: keptTiles} {
		if got := l.get(tile); len(got) != 1 || got[0][0] != want {
			t.Errorf("tile %d: %v", tile, got)
		}
	}
	if l.get(1) != nil || len(l.tiles) != keptTiles || len(l.order) != keptTiles {
		t.Errorf("the tile that was used least is kept, or %d tiles are, %d in order", len(l.tiles), len(l.order))
	}
}
