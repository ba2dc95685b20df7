package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// An entry on disk is a frame.
//
//	 0   4  length of what follows the checksum
//	 4   4  CRC-32C of everything but itself: finds accidents; the tree finds intent
//	 8   1  format: 1
//	 9   1  kind, see below
//	10   4  index in its batch: how many frames of the same write and fsync precede it
//	14   8  seq: 1 for the log's first entry
//	22   8  time, Unix nanoseconds
//	30   8  reference, see the kinds
//	38  32  salted plaintext hash: SHA-256 of the plaintext, which begins with its salt
//	70      ciphertext: AES-256-GCM of the plaintext under the segment's key, with its tag
//
// The nonce is the first 12 bytes of the salted plaintext hash, and the whole hash is the associated data. So an entry
// is encrypted before it has a number, outside every lock, and nobody counts. A nonce repeats only if the salts of two
// entries collide in a way that 96 bits of SHA-256 do: at most 2^17 entries share a key, which makes that 2^-63.
//
// An entry's leaf in the RFC 6962 tree is the leaf hash of: SHA-256 of its segment's header, then the frame from its
// format byte to its end. The segment's header is in the leaf because nothing else that a holder of the public key can
// check covers the encapsulation: exchanging that would make a segment unreadable and leave the tree as it was.
//
// Kind and reference are readable without a key so that a change can be reconciled with the vault, and its numbers
// checked, by whoever has the files. They tell no more than the commit numbers in the store do.
const (
	checksumEnd = 8
	hashAt      = 38
	cipherAt    = 70
	minFrame    = cipherAt + minPlaintext + secret.Overhead
	maxFrame    = cipherAt + maxPlaintext + secret.Overhead

	frameFormat = 1
)

type kind byte

const (
	event        kind = 1 // reference: 0
	intent       kind = 2 // reference: the vault's commit number before the change
	committed    kind = 3 // reference: the intent's seq
	notCommitted kind = 4 // reference: the intent's seq
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged means bytes that no writer finished: what a crash may leave at the end, and a fault anywhere else.
var errDamaged = errors.New("damaged or unfinished")

type frame struct {
	kind  kind
	index uint32
	seq   uint64
	time  int64
	ref   uint64
	bytes []byte // the whole frame
}

// decodeFrame reads the frame that b begins with. The result shares b's memory.
func decodeFrame(b []byte) (frame, error) {
	if len(b) < minFrame {
		return frame{}, fmt.Errorf("%w: %d bytes are no entry", errDamaged, len(b))
	}
	// Compared before the sum, which could overflow an int of 32 bits.
	length := binary.BigEndian.Uint32(b)
	if length < minFrame-checksumEnd || length > maxFrame-checksumEnd || int(length) > len(b)-checksumEnd {
		return frame{}, fmt.Errorf("%w: a length of %d bytes", errDamaged, length)
	}
	b = b[:checksumEnd+int(length)]
	if binary.BigEndian.Uint32(b[4:]) != checksum(b) {
		return frame{}, fmt.Errorf("%w: the checksum differs", errDamaged)
	}
	f := parseFrame(b)
	if b[8] != frameFormat || f.kind < event || f.kind > notCommitted {
		return frame{}, fmt.Errorf("%w: an entry of format %d, kind %d", ErrNewerFormat, b[8], f.kind)
	}
	return f, nil
}

// parseFrame takes apart a frame whose length holds.
func parseFrame(b []byte) frame {
	return frame{
		kind:  kind(b[9]),
		index: binary.BigEndian.Uint32(b[10:]),
		seq:   binary.BigEndian.Uint64(b[14:]),
		time:  int64(binary.BigEndian.Uint64(b[22:])),
		ref:   binary.BigEndian.Uint64(b[30:]),
		bytes: b,
	}
}

// sealFrame makes the frame of plaintext in dst, which is overwritten. What depends on its place in the log is missing
// until number and finish have been called.
func sealFrame(dst []byte, key *segmentKey, k kind, ref uint64, plaintext []byte) ([]byte, error) {
	sum := sha256.Sum256(plaintext)
	dst = append(dst[:0], make([]byte, hashAt)...)
	binary.BigEndian.PutUint32(dst, uint32(cipherAt-checksumEnd+len(plaintext)+secret.Overhead))
	dst[8], dst[9] = frameFormat, byte(k)
	binary.BigEndian.PutUint64(dst[30:], ref)
	dst = append(dst, sum[:]...)
	return key.seal(dst, sum[:secret.NonceSize], plaintext, sum[:])
}

func number(b []byte, index uint32, seq uint64, nanoseconds int64) {
	binary.BigEndian.PutUint32(b[10:], index)
	binary.BigEndian.PutUint64(b[14:], seq)
	binary.BigEndian.PutUint64(b[22:], uint64(nanoseconds))
}

func finish(b []byte) { binary.BigEndian.PutUint32(b[4:], checksum(b)) }

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, b[checksumEnd:])
}

// open decrypts the frame's entry.
func (f *frame) open(key *secret.Buffer) (Entry, error) {
	sum := f.bytes[hashAt:cipherAt]
	plaintext, err := secret.OpenPublic(key, sum[:secret.NonceSize], f.bytes[cipherAt:], sum)
	if err != nil {
		return Entry{}, err
	}
	if sha256.Sum256(plaintext) != [sha256.Size]byte(sum) {
		return Entry{}, errors.New("the entry differs from its salted hash")
	}
	e, err := decodePlaintext(plaintext)
	if err != nil {
		return Entry{}, err
	}
	e.Seq, e.Time = f.seq, time.Unix(0, f.time).UTC()
	return e, nil
}

// unfinished tells whether tail, in which entry seq ought to begin but does not, can be what a crash left of one batch.
// The pages of a batch may reach the disk in any order, so whole frames may follow a damaged one. But a batch is only
// begun when the one before it is durable: a later frame of a batch that began after seq proves that seq was durable
// once, and that this is a fault and no crash.
func unfinished(tail []byte, seq uint64) bool {
	if len(tail) > maxBatch {
		return false
	}
	for ; len(tail) >= minFrame; tail = tail[1:] {
		f, err := decodeFrame(tail)
		if err != nil {
			continue
		}
		if f.seq <= seq || f.seq-seq > uint64(f.index) {
			return false
		}
	}
	return true
}
