package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxProof is the longest document of a proof in bytes.
const MaxProof = 512 << 10

// Proof shows that one entry is in the log of a signed checkpoint, to whoever has the log's public key. It has the
// entry in the clear: it is for whoever may read the log.
type Proof struct {
	LogKey     string   `json:"log_key" doc:"the log's verifier string, as the server gives it: hold it against the one that init printed"`
	Checkpoint string   `json:"checkpoint" doc:"signed: the log's size and root"`
	Header     []byte   `json:"header" doc:"SHA-256 of the header of the entry's segment, base64"`
	Frame      []byte   `json:"frame" doc:"the entry as it lies on the disk, base64"`
	Plaintext  []byte   `json:"plaintext" doc:"what the frame has the hash and the ciphertext of: a salt, then the entry's fields, base64"`
	Entry      Entry    `json:"entry" doc:"the frame and the plaintext in readable form"`
	Inclusion  [][]byte `json:"inclusion" doc:"the hashes from the entry's leaf up to the root, base64"`
	Outcome    uint64   `json:"outcome" doc:"for the intent of a change, the entry that says how it ended, which needs a proof of its own; 0: none is known"`
}

// Entry is one entry of the log in readable form.
type Entry struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind" enum:"event,intent,committed,not committed" doc:"a change is an intent and what became of it"`
	Intent  uint64    `json:"intent" doc:"of committed and not committed: the entry of the change"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Target  string    `json:"target"`
	Host    string    `json:"host"`
	Job     string    `json:"job" doc:"as the agent claims it"`
	Outcome string    `json:"outcome" enum:"allowed,refused,failed"`
	Reason  string    `json:"reason"`
	From    string    `json:"from" doc:"the network address of the person or host that asked; empty: nobody did, or it is not known"`
}

// ParseProof reads a saved proof. It verifies nothing.
func ParseProof(text []byte) (Proof, error) {
	if len(text) > MaxProof {
		return Proof{}, fmt.Errorf("proof: %w: more than %d bytes", ErrMalformed, MaxProof)
	}
	var p Proof
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || d.More() {
		return Proof{}, fmt.Errorf("proof: %w: give the document that strongroom audit prove --json or --out wrote", ErrMalformed)
	}
	return p, nil
}

// Verify holds everything that the proof says, but for its Outcome, against the log's key, and returns the checkpoint
// that the entry is in. Errors: ErrMalformed, ErrForeign, ErrNotProven.
func (p Proof) Verify(logKey string) (Checkpoint, error) {
	if p.LogKey != logKey {
		return Checkpoint{}, fmt.Errorf("proof: %w: log_key is another", ErrForeign)
	}
	c, err := Parse(logKey, []byte(p.Checkpoint))
	if err != nil {
		return Checkpoint{}, err
	}
	e, err := ReadFrame(p.Frame, p.Plaintext)
	if err != nil {
		return Checkpoint{}, err
	}
	if !p.Entry.Time.Equal(e.Time) {
		return Checkpoint{}, fmt.Errorf("%w: the frame says another time", ErrNotProven)
	}
	if e.Time = p.Entry.Time; p.Entry != e {
		return Checkpoint{}, fmt.Errorf("%w: the frame and the plaintext say something else than entry", ErrNotProven)
	}
	if len(p.Header) != sha256.Size {
		return Checkpoint{}, fmt.Errorf("header: %w: %d bytes, want %d", ErrMalformed, len(p.Header), sha256.Size)
	}
	inclusion, err := Hashes(p.Inclusion)
	if err != nil {
		return Checkpoint{}, err
	}
	if e.Seq == 0 || e.Seq > c.Size {
		return Checkpoint{}, fmt.Errorf("%w: the checkpoint has %d entries, this is entry %d", ErrNotProven, c.Size, e.Seq)
	}
	leaf := tlog.RecordHash(append(bytes.Clone(p.Header), p.Frame[checksumEnd:]...))
	if tlog.CheckRecord(inclusion, int64(c.Size), c.Root, int64(e.Seq-1), leaf) != nil {
		return Checkpoint{}, fmt.Errorf("%w: it does not hash to the checkpoint's root as entry %d", ErrNotProven, e.Seq)
	}
	return c, nil
}

// The layouts of frame and plaintext are those of the log, which has the writing half of them: format 1.
const (
	checksumEnd = 8
	hashAt      = 38
	cipherAt    = 70
	tag         = 16 // of AES-GCM
	saltSize    = 16
	maxText     = 4096
)

var (
	kinds    = [...]string{1: "event", 2: "intent", 3: "committed", 4: "not committed"}
	outcomes = [...]string{1: "allowed", 2: "refused", 3: "failed"}
)

// ReadFrame makes a readable entry of a frame and the plaintext that belongs to it. Texts that are not UTF-8 become what
// JSON can show of them. Errors: ErrMalformed, ErrNotProven.
func ReadFrame(frame, plaintext []byte) (Entry, error) {
	if len(frame) != cipherAt+len(plaintext)+tag || int(binary.BigEndian.Uint32(frame)) != len(frame)-checksumEnd {
		return Entry{}, fmt.Errorf("frame: %w: %d bytes do not belong to a plaintext of %d", ErrMalformed, len(frame), len(plaintext))
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(frame[:4], castagnoli), castagnoli, frame[checksumEnd:])
	if sum != binary.BigEndian.Uint32(frame[4:]) {
		return Entry{}, fmt.Errorf("frame: %w: the checksum differs", ErrMalformed)
	}
	if frame[8] != 1 || frame[9] == 0 || int(frame[9]) >= len(kinds) {
		return Entry{}, fmt.Errorf("frame: %w: format %d, kind %d", ErrMalformed, frame[8], frame[9])
	}
	if sha256.Sum256(plaintext) != [sha256.Size]byte(frame[hashAt:]) {
		return Entry{}, fmt.Errorf("%w: plaintext is not the one that the frame has the hash of", ErrNotProven)
	}
	e, err := readPlaintext(plaintext)
	if err != nil {
		return Entry{}, err
	}
	e.Seq = binary.BigEndian.Uint64(frame[14:])
	e.Time = time.Unix(0, int64(binary.BigEndian.Uint64(frame[22:]))).UTC()
	e.Kind = kinds[frame[9]]
	if frame[9] > 2 {
		e.Intent = binary.BigEndian.Uint64(frame[30:])
	}
	return e, nil
}

func readPlaintext(b []byte) (Entry, error) {
	malformed := fmt.Errorf("plaintext: %w", ErrMalformed)
	if len(b) <= saltSize || b[saltSize] == 0 || int(b[saltSize]) >= len(outcomes) {
		return Entry{}, malformed
	}
	e := Entry{Outcome: outcomes[b[saltSize]]}
	b = b[saltSize+1:]
	for _, text := range []*string{&e.Actor, &e.Action, &e.Target, &e.Host, &e.Job, &e.Reason, &e.From} {
		if text == &e.From && len(b) == 0 {
			break // earlier versions wrote none
		}
		if len(b) < 2 {
			return Entry{}, malformed
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > maxText || n > len(b) || text == &e.From && n == 0 {
			return Entry{}, malformed
		}
		*text, b = strings.ToValidUTF8(string(b[:n]), "\uFFFD"), b[n:]
	}
	if len(b) != 0 {
		return Entry{}, malformed
	}
	return e, nil
}
