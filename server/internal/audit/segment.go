package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A segment is a file, named by the seq of its first entry in 20 decimal digits and ".seg": a header, then frames.
//
//	  0   8  "strgaudt"
//	  8   1  format: 1
//	  9  16  vault
//	 25  16  origin
//	 41   8  seq of the first entry
//	 49   8  size of the tree before it, which is that seq less one
//	 57  32  root of the tree before it; SHA-256 of nothing for an empty tree
//	 89  32  HPKE encapsulation of the segment's key
//	121   4  CRC-32C of what precedes
//	125
const (
	segmentMagic  = "strgaudt"
	segmentFormat = 1
	segmentSuffix = ".seg"
	headerSize    = 125

	// segmentLimit is the size in bytes that a segment does not grow beyond: some 30,000 entries. Reading a page of
	// the log reads and hashes whole segments; each new one costs an encapsulation and two more fsyncs.
	segmentLimit = 8 << 20
)

// segment is what the log keeps in memory of each of its files.
type segment struct {
	first  uint64
	enc    []byte
	hash   [sha256.Size]byte // of the header; part of every leaf
	before state             // before its first entry
	bytes  int64             // of the header and the whole frames
	newest int64             // the latest time of any entry up to its end, as far as there are any
	oldest int64             // the time of its first entry; 0: it has none
	pruned bool              // of its entries there are the hashes only
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d%s", first, segmentSuffix) }

// state is what the log knows after some number of entries.
type state struct {
	tree   tree
	newest int64  // the latest time of any entry
	change change // the last
}

// change is an intent and what became of it.
type change struct {
	intent  uint64 // its seq; 0: there is none
	before  uint64 // the vault's commit number before it
	outcome kind   // committed, notCommitted, or 0: not known
}

func (s *state) clone() state {
	c := *s
	c.tree = s.tree.clone()
	return c
}

// add takes the next frame in; scratch is reused memory.
func (s *state) add(header *[sha256.Size]byte, f *frame, scratch *[]byte) {
	s.tree.add(leafHash(header, f, scratch))
	s.newest = max(s.newest, f.time)
	switch {
	case f.kind == intent:
		s.change = change{intent: f.seq, before: f.ref}
	case f.kind != event && f.ref == s.change.intent:
		s.change.outcome = f.kind
	}
}

func (d *description) segmentHeader(s *state, enc []byte) []byte {
	root := s.tree.root()
	b := append(make([]byte, 0, headerSize), segmentMagic...)
	b = append(b, segmentFormat)
	b = append(b, d.vault[:]...)
	b = append(b, d.origin[:]...)
	b = binary.BigEndian.AppendUint64(b, s.tree.size+1)
	b = binary.BigEndian.AppendUint64(b, s.tree.size)
	b = append(b, root[:]...)
	b = append(b, enc...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// checkHeader demands the header that follows state s; of its fields only the encapsulation is not known beforehand.
func (d *description) checkHeader(b []byte, s *state) error {
	if len(b) < headerSize {
		return fmt.Errorf("%w: %d bytes, a segment's header has %d", errDamaged, len(b), headerSize)
	}
	b = b[:headerSize]
	if string(b[:8]) != segmentMagic {
		return errors.New("this is no segment of an audit log")
	}
	if crc32.Checksum(b[:121], castagnoli) != binary.BigEndian.Uint32(b[121:]) {
		return errors.New("the segment header's checksum differs")
	}
	if b[8] != segmentFormat {
		return fmt.Errorf("%w: a segment of format %d", ErrNewerFormat, b[8])
	}
	if [idSize]byte(b[9:]) != d.vault || [idSize]byte(b[25:]) != d.origin {
		return errors.New("the segment is of another vault or log")
	}
	if first := binary.BigEndian.Uint64(b[41:]); first != s.tree.size+1 || binary.BigEndian.Uint64(b[49:]) != s.tree.size {
		return fmt.Errorf("the segment's header says that it begins with entry %d", first)
	}
	if [32]byte(b[57:]) != s.tree.root() {
		return fmt.Errorf("an entry of 1 to %d was altered: they do not hash to the root in this segment's header", s.tree.size)
	}
	return nil
}

// replay checks the bytes of the segment that follows s, shows each frame to visit and takes it into s. On an error
// the segment describes what precedes the fault, and s stands there.
func (d *description) replay(data []byte, s *state, visit func(frame)) (segment, error) {
	if err := d.checkHeader(data, s); err != nil {
		return segment{}, badEntry(s.tree.size+1, s.tree.size+1, err)
	}
	seg := segment{
		first:  s.tree.size + 1,
		enc:    slices.Clone(data[89:121]),
		hash:   sha256.Sum256(data[:headerSize]),
		before: s.clone(),
		bytes:  headerSize,
		newest: s.newest,
	}
	var scratch []byte
	next := uint32(0)
	for rest := data[headerSize:]; len(rest) > 0; {
		seq := s.tree.size + 1
		f, err := decodeFrame(rest)
		if err == nil && f.seq != seq {
			err = fmt.Errorf("entry %d is in its place", f.seq)
		}
		if err == nil && f.index != 0 && f.index != next {
			err = errors.New("it does not follow the entry before it in its batch")
		}
		if err != nil {
			return seg, badEntry(seq, seg.first, err)
		}
		if seg.oldest == 0 {
			seg.oldest = f.time
		}
		s.add(&seg.hash, &f, &scratch)
		if visit != nil {
			visit(f)
		}
		next = f.index + 1
		rest = rest[len(f.bytes):]
		seg.bytes += int64(len(f.bytes))
		seg.newest = s.newest
	}
	return seg, nil
}

// segmentFiles lists the segments in dir by their names, in order: also those of which there are hashes only.
func segmentFiles(dir string) ([]uint64, error) {
	list, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var firsts []uint64
	for _, file := range list {
		if !strings.HasSuffix(file.Name(), segmentSuffix) && !strings.HasSuffix(file.Name(), hashesSuffix) {
			continue
		}
		var first uint64
		if _, err := fmt.Sscanf(file.Name(), "%d", &first); err != nil || segmentName(first) != file.Name() && hashesName(first) != file.Name() {
			return nil, fmt.Errorf("%w: %s in %s is not the name of a segment", ErrCorrupt, file.Name(), dir)
		}
		firsts = append(firsts, first)
	}
	return slices.Compact(firsts), nil
}

// replayAll replays every segment file in dir. At an entry that does not hold it stops, with the segments before that
// one; tail is then what follows the whole frames of the last file, and nil if the fault is in another one.
func (d *description) replayAll(dir string) (segments []segment, s state, tail []byte, err error) {
	firsts, err := segmentFiles(dir)
	if err != nil {
		return nil, s, nil, err
	}
	for i, first := range firsts {
		if next := s.tree.size + 1; first != next {
			return segments, s, nil, badEntry(min(first, next), first,
				fmt.Errorf("the file begins with entry %d, entry %d ought to follow", first, next))
		}
		data, err := readLimited(filepath.Join(dir, segmentName(first)))
		if errors.Is(err, os.ErrNotExist) {
			seg, err := d.replayHashes(dir, &s)
			if err != nil {
				return segments, s, nil, err
			}
			segments = append(segments, seg)
			continue
		}
		if err != nil {
			return segments, s, nil, err
		}
		seg, err := d.replay(data, &s, nil)
		if err != nil {
			if i < len(firsts)-1 {
				return segments, s, nil, err
			}
			if seg.bytes > 0 {
				segments = append(segments, seg)
			}
			return segments, s, data[seg.bytes:], err
		}
		segments = append(segments, seg)
	}
	return segments, s, nil, nil
}

func readLimited(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, segmentLimit+1))
	if err != nil {
		return nil, err
	}
	if len(data) > segmentLimit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrCorrupt, filepath.Base(path), segmentLimit)
	}
	return data, nil
}

// temporaryFile becomes a file that is whole or absent whatever happens.
const temporaryFile = "new.tmp"

func absent(dir, name string) error {
	path := filepath.Join(dir, name)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s: %w", path, os.ErrExist), err)
	}
	return nil
}

func writeTemporary(dir string, data []byte) error {
	file, err := os.OpenFile(filepath.Join(dir, temporaryFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

func renameTemporary(dir, name string) error {
	return os.Rename(filepath.Join(dir, temporaryFile), filepath.Join(dir, name))
}
