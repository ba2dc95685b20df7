package deliver

import (
	"slices"
	"unicode/utf8"
)

const (
	// maxBreak is the longest line break, \r\n.
	maxBreak = 2
	// minWrapped is how much of a secret must stand before a line break for the line to be held back, as the end of
	// many a harmless line begins some encoded secret. If that was one, the rest of it is masked all the same.
	minWrapped = 4
)

// reader reads one stream in one view.
type reader struct {
	*view
	at     int   // the offset up to which the stream was read
	state  int32 // in the automaton
	starts []int // the offsets at which the last symbols begin, at least as many as the state is deep
	breaks int   // bytes of a line break just before at
}

// read goes on over the stream, of which held is the part from base on, and appends the secrets it finds to found. It
// stops at an escape sequence that is not complete yet.
func (r *reader) read(held []byte, base int, found []span) []span {
	for r.at-base < len(held) {
		i := r.at - base
		for r.state == 0 && i < len(held) && r.idle[held[i]] {
			i++
		}
		r.at = base + i
		if i == len(held) {
			break
		}
		b := held[i]
		if r.wrapped && (b == '\r' || b == '\n') {
			r.lineBreak()
			continue
		}
		var symbols [utf8.UTFMax]byte
		count, length := 0, 1
		if b == r.escape && r.unescape != nil {
			if symbols, count, length = r.unescape(held[i:]); length == 0 {
				break
			}
		}
		if count == 0 {
			symbols[0], count = b, 1
		}
		for _, symbol := range symbols[:count] {
			r.step(r.fold[symbol])
			if n := int(r.nodes[r.state].match); n > 0 {
				start := r.starts[len(r.starts)-n]
				found = append(found, span{max(start, base), r.at + length})
			}
		}
		r.at += length
	}
	return found
}

func (r *reader) step(symbol byte) {
	r.breaks = 0
	r.state = r.next(r.state, symbol)
	depth := int(r.nodes[r.state].depth)
	if depth == 0 {
		r.starts = r.starts[:0]
		return
	}
	r.starts = append(r.starts, r.at)
	if len(r.starts) >= 2*depth+1024 {
		r.starts = slices.Delete(r.starts, 0, len(r.starts)-depth)
	}
}

func (r *reader) lineBreak() {
	r.at++
	if r.breaks++; r.breaks > maxBreak {
		r.state, r.starts, r.breaks = 0, r.starts[:0], 0
	}
}

// undecided answers the offset of the first byte that may still turn out to be part of a secret. All before the
// answer is decided.
func (r *reader) undecided() int {
	n := int(r.nodes[r.state].live)
	if n == 0 || r.breaks > 0 && n < minWrapped {
		return r.at
	}
	return r.starts[len(r.starts)-n]
}
