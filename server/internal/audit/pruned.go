package audit

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Of a pruned segment the leaves stay, so that every proof that could be made before can be made still: an eighth of the
// segment or less. They are in a file that is named by the seq of its first entry in 20 decimal digits and ".hashes".
//
//	 0   8  "strgprun"
//	 8   1  format: 1
//	 9  16  vault
//	25  16  origin
//	41   8  seq of the first entry
//	49   4  CRC-32C of everything but itself
//	53      the leaves of the entries in order, 32 bytes each
//
// That they are those of the entries that were there shows as everything does: they hash to the root in the header of
// the segment behind them, and to every checkpoint. That the entries were pruned, and not just taken away, shows in the
// file "pruned", a note that the log's key has signed:
//
//	strongroom pruned log
//	ORIGIN                 as in checkpoints
//	SIZE                   in decimal: the entries up to this one went
//	ROOT                   of the tree over them, base64
//	TIME                   RFC 3339
//
// It is there before anything goes. Whoever can write to the disk but has not the key, which only an unsealed server
// has, can prune no more than it says.
const (
	hashesMagic  = "strgprun"
	hashesFormat = 1
	hashesSuffix = ".hashes"
	hashesHeader = 53

	prunedFile  = "pruned"
	prunedTitle = "strongroom pruned log"
	prunedLimit = 2048
)

// ErrPruned means that the entries are gone by the setting audit-retention: of them there are hashes only.
var ErrPruned = errors.New("these entries of the audit log were pruned by its retention")

// Pruned says what was pruned. The zero value is nothing.
type Pruned struct {
	Size uint64 // entries 1 to this one
	Root [32]byte
	Time time.Time
}

func hashesName(first uint64) string { return fmt.Sprintf("%020d%s", first, hashesSuffix) }

func (p Pruned) text(origin string) string {
	return fmt.Sprintf("%s\n%s\n%d\n%s\n%s\n", prunedTitle, origin, p.Size,
		base64.StdEncoding.EncodeToString(p.Root[:]), p.Time.UTC().Format(time.RFC3339))
}

// readPruned reads what the log's key has signed. It is nothing where there is no such file.
func (d *description) readPruned(dir string) (Pruned, error) {
	text, err := readSmall(filepath.Join(dir, prunedFile), prunedLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return Pruned{}, nil
	}
	if err != nil {
		return Pruned{}, err
	}
	return d.decodePruned(text)
}

func (d *description) decodePruned(text []byte) (p Pruned, err error) {
	verifier, err := note.NewVerifier(d.logKey())
	if err != nil {
		return p, err
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return p, fmt.Errorf("%w: %s: it is not signed by this log's key", ErrCorrupt, prunedFile)
	}
	malformed := fmt.Errorf("%w: %s: it is malformed", ErrCorrupt, prunedFile)
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 6 {
		return p, malformed
	}
	var errs [3]error
	p.Size, errs[0] = strconv.ParseUint(lines[2], 10, 63)
	root, err := base64.StdEncoding.DecodeString(lines[3])
	errs[1] = err
	p.Time, errs[2] = time.Parse(time.RFC3339, lines[4])
	if errors.Join(errs[:]...) != nil || len(root) != len(p.Root) {
		return Pruned{}, malformed
	}
	p.Root = [32]byte(root)
	if p.text(verifier.Name()) != signed.Text {
		return Pruned{}, malformed
	}
	return p, nil
}

// encodeHashes makes the file of a pruned segment.
func (d *description) encodeHashes(first uint64, leaves []tlog.Hash) []byte {
	b := make([]byte, 0, hashesHeader+len(leaves)*tlog.HashSize)
	b = append(b, hashesMagic...)
	b = append(b, hashesFormat)
	b = append(b, d.vault[:]...)
	b = append(b, d.origin[:]...)
	b = binary.BigEndian.AppendUint64(b, first)
	b = append(b, 0, 0, 0, 0)
	for _, leaf := range leaves {
		b = append(b, leaf[:]...)
	}
	binary.BigEndian.PutUint32(b[49:], hashesChecksum(b))
	return b
}

func hashesChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:49], castagnoli), castagnoli, b[hashesHeader:])
}

// decodeHashes reads the leaves that begin with entry first. That they are the right ones is for the tree to say.
func (d *description) decodeHashes(b []byte, first uint64) ([]tlog.Hash, error) {
	if len(b) < hashesHeader+tlog.HashSize || (len(b)-hashesHeader)%tlog.HashSize != 0 || string(b[:8]) != hashesMagic {
		return nil, errors.New("this is no file of a pruned segment")
	}
	if binary.BigEndian.Uint32(b[49:]) != hashesChecksum(b) {
		return nil, errors.New("the checksum of the pruned segment's hashes differs")
	}
	if b[8] != hashesFormat {
		return nil, fmt.Errorf("%w: hashes of format %d", ErrNewerFormat, b[8])
	}
	if [idSize]byte(b[9:]) != d.vault || [idSize]byte(b[25:]) != d.origin || binary.BigEndian.Uint64(b[41:]) != first {
		return nil, errors.New("the hashes are of another vault, log or segment")
	}
	leaves := make([]tlog.Hash, 0, (len(b)-hashesHeader)/tlog.HashSize)
	for b = b[hashesHeader:]; len(b) > 0; b = b[tlog.HashSize:] {
		leaves = append(leaves, tlog.Hash(b))
	}
	return leaves, nil
}

// readHashes reads the leaves of the pruned segment that begins with entry first.
func (d *description) readHashes(dir string, first uint64) ([]tlog.Hash, error) {
	data, err := readLimited(filepath.Join(dir, hashesName(first)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, badEntry(first, first, errors.New("the file is missing"))
	}
	if err != nil {
		return nil, err
	}
	leaves, err := d.decodeHashes(data, first)
	if err != nil {
		return nil, badEntry(first, first, err)
	}
	return leaves, nil
}

// replayHashes takes the pruned segment that follows s into it.
func (d *description) replayHashes(dir string, s *state) (segment, error) {
	seg := segment{first: s.tree.size + 1, before: s.clone(), newest: s.newest, pruned: true}
	leaves, err := d.readHashes(dir, seg.first)
	if err != nil {
		return segment{}, err
	}
	for _, leaf := range leaves {
		s.tree.add(leaf)
	}
	return seg, nil
}

// checkPruned demands that what was pruned is the log's beginning, no more of it than the log's key has signed, and that
// something follows. The note is read last: a server that is pruning writes it first.
func (d *description) checkPruned(dir string, segments []segment) (Pruned, error) {
	p, err := d.readPruned(dir)
	if err != nil {
		return p, err
	}
	met := p.Size == 0
	for i, seg := range segments {
		if seg.before.tree.size == p.Size {
			if met = true; p.Size > 0 && seg.before.tree.root() != p.Root {
				return p, badEntry(p.Size, seg.first, fmt.Errorf("entries 1 to %d are not those that were pruned", p.Size))
			}
		}
		if seg.pruned && (seg.first > p.Size || i == len(segments)-1 || segments[i+1].before.tree.size > p.Size) {
			return p, badEntry(seg.first, seg.first, errors.New("the segment was taken away: the log's key has signed no pruning of it"))
		}
	}
	if !met {
		return p, fmt.Errorf("%w: %s: it is of %d entries, where no segment of this log ends", ErrCorrupt, prunedFile, p.Size)
	}
	return p, nil
}
