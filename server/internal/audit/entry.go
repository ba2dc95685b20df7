package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// Outcome says how what an entry tells of ended.
type Outcome string

// The outcomes.
const (
	Allowed Outcome = "allowed"
	Refused Outcome = "refused"
	Failed  Outcome = "failed"
)

// Entry is one line of the log. It names things and gives reasons; it must never hold a secret. Each text is at most
// MaxText bytes long.
type Entry struct {
	Seq     uint64    `json:"seq"`    // given by the log: 1 for the first entry
	Time    time.Time `json:"time"`   // given by the log
	Actor   string    `json:"actor"`  // a person's name, a host's ID, or "system"
	Action  string    `json:"action"` // noun.verb, as in credential.read
	Target  string    `json:"target"` // what it was done to
	Host    string    `json:"host"`
	Job     string    `json:"job"` // as the agent claims it
	Outcome Outcome   `json:"outcome"`
	Reason  string    `json:"reason"`
	From    string    `json:"from"` // the network address of the person or host that asked, without port; empty: nobody did, or it is not known
}

// conclude gives the entry of an intent how its change ended: what was not committed was refused or failed.
func (e *Entry) conclude(k kind, outcome *Entry) {
	if k == notCommitted {
		e.Outcome = outcome.Outcome
	}
	e.Reason = cmp.Or(outcome.Reason, e.Reason)
}

// MaxText is the longest text of an entry in bytes.
const MaxText = 4096

// ErrEntry means that an entry cannot be written as it is: a text is too long or the outcome is none of the three.
var ErrEntry = errors.New("audit entry")

// The plaintext of an entry. It is hashed with SHA-256 into the frame's salted plaintext hash and then encrypted.
//
//	 0  16  salt, random: the hash of a guessable entry gives nothing away
//	16   1  outcome: 1 allowed, 2 refused, 3 failed
//	17      actor, action, target, host, job, reason: each a u16 length and that many bytes
//	        from, likewise, where there is one: earlier versions wrote none
//
// Nothing may follow. Integers are big-endian, here and in the other layouts.
const (
	saltSize     = 16
	textCount    = 7
	minPlaintext = saltSize + 1 + (textCount-1)*2
	maxPlaintext = minPlaintext + 2 + textCount*MaxText
)

var outcomes = [...]Outcome{1: Allowed, 2: Refused, 3: Failed}

var errPlaintext = errors.New("the decrypted entry is malformed")

// appendPlaintext appends e's plaintext under a fresh salt.
func appendPlaintext(b []byte, e *Entry) ([]byte, error) {
	code := byte(0)
	for i, o := range outcomes {
		if i > 0 && o == e.Outcome {
			code = byte(i)
		}
	}
	if code == 0 {
		return nil, fmt.Errorf("%w: outcome %q is none of allowed, refused, failed", ErrEntry, e.Outcome)
	}
	var salt [saltSize]byte
	rand.Read(salt[:]) // never fails: it ends the program first
	b = append(b, salt[:]...)
	b = append(b, code)
	for i, text := range e.texts() {
		if len(*text) > MaxText {
			return nil, fmt.Errorf("%w: %s has %d bytes, at most %d fit", ErrEntry, textNames[i], len(*text), MaxText)
		}
		if text == &e.From && *text == "" {
			break
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(*text)))
		b = append(b, *text...)
	}
	return b, nil
}

// decodePlaintext reads what appendPlaintext wrote, and nothing else, into an entry without number and time.
func decodePlaintext(b []byte) (Entry, error) {
	var e Entry
	if len(b) < minPlaintext || len(b) > maxPlaintext {
		return e, errPlaintext
	}
	code, b := b[saltSize], b[saltSize+1:]
	if code == 0 || int(code) >= len(outcomes) {
		return e, errPlaintext
	}
	e.Outcome = outcomes[code]
	for _, text := range e.texts() {
		if text == &e.From && len(b) == 0 {
			break
		}
		if len(b) < 2 {
			return Entry{}, errPlaintext
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > MaxText || n > len(b) {
			return Entry{}, errPlaintext
		}
		if text == &e.From && n == 0 {
			return Entry{}, errPlaintext // there is one way to write an entry
		}
		*text, b = string(b[:n]), b[n:]
	}
	if len(b) != 0 {
		return Entry{}, errPlaintext
	}
	return e, nil
}

var textNames = [textCount]string{"actor", "action", "target", "host", "job", "reason", "from"}

func (e *Entry) texts() [textCount]*string {
	return [...]*string{&e.Actor, &e.Action, &e.Target, &e.Host, &e.Job, &e.Reason, &e.From}
}

type fromKey struct{}

// WithFrom gives every entry that is appended under the context the network address that it was asked from, unless the
// entry has one.
func WithFrom(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, fromKey{}, address)
}

func (e *Entry) locate(ctx context.Context) {
	from, _ := ctx.Value(fromKey{}).(string)
	e.From = cmp.Or(e.From, from)
}
