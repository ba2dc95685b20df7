package deliver

import (
	"bytes"
	"cmp"
	"io"
	"slices"
)

const (
	// minSecret is the least length of what is redacted, in bytes: a shorter value is found all over harmless output,
	// and its absence there would tell what it is.
	minSecret = 6
	mask      = "***"
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
type Redactor struct{ views []*view }

// NewRedactor compiles the secrets; it keeps copies of them.
func NewRedactor(secrets [][]byte) *Redactor {
	var patterns [][]byte
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		patterns = append(patterns, s)
		for line := range bytes.Lines(s) {
			if line = bytes.TrimRight(line, "\r\n"); len(line) >= minSecret && len(line) < len(s) {
				patterns = append(patterns, line)
			}
		}
	}
	return &Redactor{views: newViews(patterns)}
}

// Writer answers a writer that passes redacted output on to w. It holds back only what may still become part of a
// secret; Close writes that too.
func (r *Redactor) Writer(w io.Writer) *RedactingWriter {
	rw := &RedactingWriter{to: w}
	for _, v := range r.views {
		rw.readers = append(rw.readers, &reader{view: v})
	}
	return rw
}

// RedactingWriter redacts one stream. It is not safe for concurrent use.
type RedactingWriter struct {
	to      io.Writer
	readers []*reader
	held    []byte // what was written and not passed on yet
	base    int    // the stream's offset of held
	masked  int    // up to this offset the stream is covered by the last mask that was passed on
	found   []span // secrets whose mask was not passed on yet
	out     []byte
	err     error
}

// span is a part of the stream by its offsets, the end excluded.
type span struct{ start, end int }

// Write takes all of p or fails with the error of the writer below, then and ever after.
func (w *RedactingWriter) Write(p []byte) (int, error) {
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
