package deliver

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"sync"
)

const (
	// minSecret is the least length of what is redacted, in bytes: a shorter value is found all over harmless output,
	// and its absence there would tell what it is.
	minSecret = 6
	mask      = "***"
	// maxFormer bounds what a Redactor keeps of values that were changed, in bytes: a command may run for months.
	maxFormer = 128 << 10
)

// Redactor knows the secrets to keep out of a command's output. It is safe for concurrent use.
//
// Each secret of 6 bytes or more, and each line of 6 bytes or more of one that has several, is replaced by ***: as it
// is, base64-encoded (both alphabets, wherever it stands in the encoded text, also wrapped into lines), hex-encoded
// (either case, also wrapped), URL-encoded and as the content of a JSON string. Secrets that overlap in the output
// become one ***.
//
// It is a guard against accidents, not against a command that wants to give a secret away. What it does not see: an
// encoding of an encoding, one character at each end of a base64 text where the secret shares it with a neighbour, and
// up to 3 characters of a wrapped text that stand before its first line break.
type Redactor struct {
	secrets [][]byte // those of 6 bytes or more, the newest first
	views   []*view
}

// NewRedactor compiles the secrets; it keeps copies of them.
func NewRedactor(secrets [][]byte) *Redactor {
	r := &Redactor{}
	for _, s := range secrets {
		if len(s) >= minSecret && !slices.ContainsFunc(r.secrets, func(other []byte) bool { return bytes.Equal(s, other) }) {
			r.secrets = append(r.secrets, s)
		}
	}
	var patterns [][]byte
	for _, s := range r.secrets {
		patterns = append(patterns, s)
		for line := range bytes.Lines(s) {
			if line = bytes.TrimRight(line, "\r\n"); len(line) >= minSecret && len(line) < len(s) {
				patterns = append(patterns, line)
			}
		}
	}
	r.views = newViews(patterns)
	return r
}

// With answers a Redactor for the secrets of now and for those that r knows, of which the oldest are left out beyond
// 128 KiB.
func (r *Redactor) With(secrets [][]byte) *Redactor {
	all, room := slices.Clone(secrets), maxFormer
	for _, s := range r.secrets {
		if slices.ContainsFunc(secrets, func(now []byte) bool { return bytes.Equal(s, now) }) {
			continue
		}
		if room -= len(s); room < 0 {
			break
		}
		all = append(all, s)
	}
	return NewRedactor(all)
}

// And answers a Redactor for more secrets beside all that r knows.
func (r *Redactor) And(more [][]byte) *Redactor { return NewRedactor(slices.Concat(more, r.secrets)) }

// Writer answers a writer that passes redacted output on to w. It holds back only what may still become part of a
// secret; Close writes that too.
func (r *Redactor) Writer(w io.Writer) *RedactingWriter {
	rw := &RedactingWriter{to: w}
	for _, v := range r.views {
		rw.readers = append(rw.readers, &reader{view: v})
	}
	return rw
}

// RedactingWriter redacts one stream. It is safe for concurrent use.
type RedactingWriter struct {
	mu      sync.Mutex
	to      io.Writer
	readers []*reader
	held    []byte // what was written and not passed on yet
	base    int    // the stream's offset of held
	masked  int    // up to this offset the stream is covered by the last mask that was passed on
	found   []span // secrets whose mask was not passed on yet
	out     []byte
	err     error
}

// Use goes on with what another Redactor knows, from what is still held back on.
func (w *RedactingWriter) Use(r *Redactor) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readers = nil
	for _, v := range r.views {
		reader := &reader{view: v, at: w.base}
		w.found = reader.read(w.held, w.base, w.found)
		w.readers = append(w.readers, reader)
	}
}

// span is a part of the stream by its offsets, the end excluded.
type span struct{ start, end int }

// Write takes all of p or fails with the error of the writer below, then and ever after.
func (w *RedactingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	w.held = append(w.held, p...)
	end := w.base + len(w.held)
	safe := end
	for _, r := range w.readers {
		w.found = r.read(w.held, w.base, w.found)
		safe = min(safe, r.undecided())
	}
	if w.pass(max(safe, w.base)); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Close passes on what was held back. It does not close the writer below.
func (w *RedactingWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.pass(w.base + len(w.held))
	}
	return w.err
}

// pass writes the stream up to the offset upTo, at which no secret can begin anymore that is not in found. A mask is
// written where it begins, even if what it covers goes on beyond upTo.
func (w *RedactingWriter) pass(upTo int) {
	slices.SortFunc(w.found, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	out, at, later := w.out[:0], max(w.base, w.masked), 0
	for _, s := range w.found {
		if s.start >= upTo {
			break
		}
		later++
		if s.start >= w.masked {
			out = append(out, w.held[at-w.base:s.start-w.base]...)
			out = append(out, mask...)
		}
		w.masked = max(w.masked, s.end)
		at = w.masked
	}
	if at < upTo {
		out = append(out, w.held[at-w.base:upTo-w.base]...)
	}
	w.found = slices.Delete(w.found, 0, later)
	w.held = slices.Delete(w.held, 0, upTo-w.base)
	w.base = upTo
	w.out = out
	if len(out) > 0 {
		_, w.err = w.to.Write(out)
	}
}
