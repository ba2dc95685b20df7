package deliver

import (
	"encoding/base64"
	"encoding/hex"
	"unicode/utf16"
	"unicode/utf8"
)

// A view is one way to read a stream: as it is, or with an encoding undone, so that a secret is found however an
// encoder chose among the spellings it has (%2f or %2F, + or %20, \/ or /, \u00e9 or é).
type view struct {
	*automaton
	// fold maps each byte, read as it is or unescaped, to the one that stands for all that are taken for the same.
	fold [256]byte
	// idle are the bytes that leave the automaton at its root: most of any output.
	idle [256]bool
	// escape begins an escape sequence, which unescape reads; 0: there are none.
	escape byte
	// unescape reads the escape sequence at the start of p: the symbols it stands for and its length. A length of 0
	// means that p may be the beginning of one; length 1 without symbols, that it is none.
	unescape func(p []byte) (symbols [utf8.UTFMax]byte, count, length int)
	// wrapped text may have line breaks in it that do not belong to it.
	wrapped bool
}

// newViews compiles the secrets, and what of them is looked for by itself, into all views.
func newViews(secrets [][]byte) []*view {
	if len(secrets) == 0 {
		return nil
	}
	plain := &view{fold: identity(), automaton: newAutomaton(secrets)}
	quoted := &view{fold: identity(), automaton: plain.automaton, escape: '\\', unescape: unescapeJSON}

	url := &view{fold: identity(), escape: '%', unescape: unescapePercent}
	url.fold['+'] = ' ' // a form's spelling of a space; taken for the same, both ways
	url.automaton = newAutomaton(folded(secrets, &url.fold))

	var in64, inHex [][]byte
	for _, s := range secrets {
		inHex = append(inHex, hex.AppendEncode(nil, s))
		for shift := range 3 {
			in64 = append(in64, base64At(s, shift))
		}
	}
	digits := &view{fold: identity(), automaton: newAutomaton(inHex), wrapped: true}
	for b := byte('A'); b <= 'F'; b++ {
		digits.fold[b] = b - 'A' + 'a'
	}
	sixtyFour := &view{fold: identity(), automaton: newAutomaton(in64), wrapped: true}
	sixtyFour.fold['-'], sixtyFour.fold['_'] = '+', '/'

	views := []*view{plain, quoted, url, digits, sixtyFour}
	for _, v := range views {
		for b := range v.idle {
			v.idle[b] = v.root[v.fold[b]] == 0 && (v.unescape == nil || byte(b) != v.escape)
		}
	}
	return views
}

func identity() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
	}
	return t
}

func folded(patterns [][]byte, fold *[256]byte) [][]byte {
	out := make([][]byte, len(patterns))
	for i, p := range patterns {
		out[i] = make([]byte, 0, len(p))
		for _, b := range p {
			out[i] = append(out[i], fold[b])
		}
	}
	return out
}

// base64At is the part of an encoding that s alone decides when shift bytes (modulo 3) stand before it in the encoded
// text: a character that also holds bits of a neighbour is left out, at most one and a half bytes' worth at each end.
func base64At(s []byte, shift int) []byte {
	encoded := base64.RawStdEncoding.AppendEncode(nil, append(make([]byte, shift), s...))
	first := (8*shift + 5) / 6
	last := 8 * (shift + len(s)) / 6
	return encoded[first:last]
}

func unescapePercent(p []byte) (symbols [utf8.UTFMax]byte, count, length int) {
	for i := 1; i <= 2; i++ {
		if i == len(p) {
			return symbols, 0, 0
		}
		digit, ok := hexDigit(p[i])
		if !ok {
			return symbols, 0, 1
		}
		symbols[0] = symbols[0]<<4 | digit
	}
	return symbols, 1, 3
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}

var jsonEscapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

func unescapeJSON(p []byte) (symbols [utf8.UTFMax]byte, count, length int) {
	if len(p) == 1 {
		return symbols, 0, 0
	}
	if b, ok := jsonEscapes[p[1]]; ok {
		symbols[0] = b
		return symbols, 1, 2
	}
	first, length := unicodeEscape(p)
	if length != unicodeLength {
		return symbols, 0, length
	}
	switch {
	case first >= 0xDC80 && first <= 0xDCFF: // how Python spells a byte that is not UTF-8
		symbols[0] = byte(first - 0xDC00)
		return symbols, 1, unicodeLength
	case utf16.IsSurrogate(first):
		second, length := unicodeEscape(p[unicodeLength:])
		if length == 0 {
			return symbols, 0, 0
		}
		if first = utf16.DecodeRune(first, second); length != unicodeLength || first == utf8.RuneError {
			return symbols, 0, 1
		}
		count = utf8.EncodeRune(symbols[:], first)
		return symbols, count, 2 * unicodeLength
	}
	count = utf8.EncodeRune(symbols[:], first)
	return symbols, count, unicodeLength
}

const unicodeLength = len(`\u0000`)

// unicodeEscape reads \uXXXX at the start of p. Its length is 0 where p is too short to tell and 1 where it is another
// thing.
func unicodeEscape(p []byte) (r rune, length int) {
	for i := range unicodeLength {
		if i == len(p) {
			return 0, 0
		}
		digit, isDigit := hexDigit(p[i])
		switch {
		case i == 0 && p[0] == '\\', i == 1 && p[1] == 'u':
		case i > 1 && isDigit:
			r = r<<4 | rune(digit)
		default:
			return 0, 1
		}
	}
	return r, unicodeLength
}
