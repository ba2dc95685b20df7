package deliver

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
)

// reference says what the redactor has to do by trying every pattern at every place of the whole stream, in each of the
// spellings, over and over.
type reference struct {
	raw, base64, hex []string
}

func newReference(secrets [][]byte) reference {
	var r reference
	for _, s := range secrets {
		if len(s) < 6 {
			continue
		}
		r.raw = append(r.raw, string(s))
		for line := range strings.SplitSeq(string(s), "\n") {
			if line = strings.TrimRight(line, "\r"); len(line) >= 6 {
				r.raw = append(r.raw, line)
			}
		}
	}
	for _, s := range r.raw {
		r.hex = append(r.hex, hex.EncodeToString([]byte(s)))
		for shift := range 3 {
			// The characters that stay the same whatever stands around the secret are the ones that count.
			around := func(b byte) string {
				return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(string(rune(b)), shift) + s + strings.Repeat(string(rune(b)), 3)))
			}
			zeros, ones := around(0), around(0x7f)
			first := []int{0, 2, 3}[shift]
			last := (shift + len(s)) * 8 / 6
			if zeros[first:last] != ones[first:last] {
				panic("the reference is wrong")
			}
			r.base64 = append(r.base64, zeros[first:last])
		}
	}
	return r
}

// symbol is one decoded byte and the part of the stream it was read from.
type symbol struct {
	b          byte
	start, end int
}

var (
	percentEscape = regexp.MustCompile(`^%[0-9a-fA-F]{2}`)
	openPercent   = regexp.MustCompile(`^%[0-9a-fA-F]?$`)
	jsonPair      = regexp.MustCompile(`^\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	jsonSingle    = regexp.MustCompile(`^\\u([0-9a-fA-F]{4})`)
	jsonShort     = regexp.MustCompile(`^\\["\\/bfnrt]`)
	openJSON      = regexp.MustCompile(`^\\(u[0-9a-fA-F]{0,3})?$|^\\u[dD][89abAB][0-9a-fA-F]{2}(\\(u[0-9a-fA-F]{0,3})?)?$`)
	anySurrogate  = regexp.MustCompile(`^\\u[dD][89a-fA-F]`)
	smuggled      = regexp.MustCompile(`^\\u[dD][cC][89a-fA-F]`)
)

// percent and quoted answer the symbols, and where an escape that is not complete begins.
func percent(s string) (out []symbol, open int) {
	for i := 0; i < len(s); {
		switch {
		case percentEscape.MatchString(s[i:]):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			out = append(out, symbol{plus(byte(n)), i, i + 3})
			i += 3
		case openPercent.MatchString(s[i:]):
			return out, i
		default:
			out = append(out, symbol{plus(s[i]), i, i + 1})
			i++
		}
	}
	return out, len(s)
}

// plus takes a plus for a space, as patterns have it too.
func plus(b byte) byte {
	if b == '+' {
		return ' '
	}
	return b
}

func quoted(s string) (out []symbol, open int) {
	for i := 0; i < len(s); {
		rest := s[i:]
		text, n := rest[:1], 1
		switch {
		case jsonPair.MatchString(rest):
			text, n = string(utf16.DecodeRune(code(rest), code(rest[6:]))), 12
		case openJSON.MatchString(rest):
			return out, i
		case smuggled.MatchString(rest) && jsonSingle.MatchString(rest):
			text, n = string([]byte{byte(code(rest) - 0xdc00)}), 6
		case jsonSingle.MatchString(rest) && !anySurrogate.MatchString(rest):
			text, n = string(code(rest)), 6
		case jsonShort.MatchString(rest):
			text, n = map[byte]string{'"': `"`, '\\': `\`, '/': `/`, 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t"}[rest[1]], 2
		}
		for _, b := range []byte(text) {
			out = append(out, symbol{b, i, i + n})
		}
		i += n
	}
	return out, len(s)
}

func code(escape string) rune {
	n, _ := strconv.ParseUint(escape[2:6], 16, 16)
	return rune(n)
}

func plainly(s string, fold func(byte) byte) (out []symbol) {
	for i := range len(s) {
		out = append(out, symbol{fold(s[i]), i, i + 1})
	}
	return out
}

// unwrapped leaves out line breaks: one or two bytes of them that stand together.
func unwrapped(in []symbol) (out []symbol) {
	isBreak := func(i int) bool { return i >= 0 && i < len(in) && (in[i].b == '\r' || in[i].b == '\n') }
	for i := 0; i < len(in); i++ {
		if !isBreak(i) {
			out = append(out, in[i])
			continue
		}
		n := 1
		for isBreak(i + n) {
			n++
		}
		if n > 2 {
			out = append(out, in[i])
		}
		i += n - 1
	}
	return out
}

// reading is the stream in one spelling.
type reading struct {
	symbols  []symbol
	open     int
	patterns []string
	wrapped  bool
}

func (r reference) readings(s string) []reading {
	same := func(b byte) byte { return b }
	lower := func(b byte) byte {
		if strings.IndexByte("ABCDEF", b) >= 0 {
			b += 'a' - 'A'
		}
		return b
	}
	std := func(b byte) byte {
		return []byte(strings.NewReplacer("-", "+", "_", "/").Replace(string([]byte{b})))[0]
	}
	inURL, openURL := percent(s)
	inJSON, openQuoted := quoted(s)
	var spaced []string
	for _, p := range r.raw {
		spaced = append(spaced, strings.ReplaceAll(p, "+", " "))
	}
	return []reading{
		{plainly(s, same), len(s), r.raw, false},
		{inURL, openURL, spaced, false},
		{inJSON, openQuoted, r.raw, false},
		{unwrapped(plainly(s, lower)), len(s), r.hex, true},
		{unwrapped(plainly(s, std)), len(s), r.base64, true},
	}
}

func (r reading) at(i int, pattern string) bool {
	if i+len(pattern) > len(r.symbols) {
		return false
	}
	for j := range len(pattern) {
		if r.symbols[i+j].b != pattern[j] {
			return false
		}
	}
	return true
}

// covered marks with the start of its secret each byte that belongs to one, and where the secrets begin that do not
// overlap one that began before.
func (r reference) covered(s string) (inside, begins []bool) {
	inside, touching := make([]bool, len(s)), make([]bool, len(s))
	begins = make([]bool, len(s))
	starts := make([]bool, len(s))
	for _, reading := range r.readings(s) {
		for i := range reading.symbols {
			for _, p := range reading.patterns {
				if !reading.at(i, p) {
					continue
				}
				from, to := reading.symbols[i].start, reading.symbols[i+len(p)-1].end
				starts[from] = true
				for k := from; k < to; k++ {
					inside[k] = true
					touching[k] = touching[k] || k > from // the byte before belongs to the same secret
				}
			}
		}
	}
	for i := range len(s) {
		begins[i] = starts[i] && !touching[i]
	}
	return inside, begins
}

func (r reference) render(s string, upTo int) string {
	inside, begins := r.covered(s)
	var out strings.Builder
	for i := range upTo {
		switch {
		case begins[i]:
			out.WriteString("***")
		case !inside[i]:
			out.WriteByte(s[i])
		}
	}
	return out.String()
}

func (r reference) all(stream []byte) string { return r.render(string(stream), len(stream)) }

// passed answers what may be passed on of a stream that is not at its end, and what has to wait: from the first place
// from which some secret, in some spelling, goes on to the end of what is there and could go on beyond it.
func (r reference) passed(stream []byte) (passed, held string) {
	s := string(stream)
	upTo := len(s)
	for _, reading := range r.readings(s) {
		if len(reading.patterns) > 0 && reading.patterns[0] != "" {
			upTo = min(upTo, reading.open)
		}
		n := len(reading.symbols)
		for i := range n {
			for _, p := range reading.patterns {
				rest := n - i
				if rest >= len(p) || !reading.at(i, p[:rest]) {
					continue
				}
				if reading.wrapped && rest < 4 && strings.ContainsAny(s[len(s)-1:], "\r\n") {
					continue
				}
				upTo = min(upTo, reading.symbols[i].start)
			}
		}
	}
	return r.render(s, upTo), s[upTo:]
}
