package httpauth

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// ErrChallenge means that a server's challenge cannot be answered.
var ErrChallenge = errors.New("the server's challenge cannot be answered")

// maxChallenge bounds, in bytes, one WWW-Authenticate header that is read.
const maxChallenge = 8 << 10

// Challenge is what a server asks for in digest authentication (RFC 7616 section 3.3).
type Challenge struct {
	Realm, Nonce, Opaque string
	Algorithm            string // as the server wrote it; empty: MD5
	QOP                  []string
	Stale, Userhash      bool

	hasOpaque bool
}

// ParseChallenge picks, of the digest challenges in a response's headers, the strongest that can be answered. It fails
// with ErrChallenge where there is none.
func ParseChallenge(h http.Header) (Challenge, error) {
	var best Challenge
	for _, line := range h.Values("WWW-Authenticate") {
		if len(line) > maxChallenge {
			continue
		}
		for _, found := range schemes(line) {
			if !strings.EqualFold(found.name, "Digest") {
				continue
			}
			c := found.challenge()
			if c.answerable() && (best.Nonce == "" || c.rank() > best.rank()) {
				best = c
			}
		}
	}
	if best.Nonce == "" {
		return Challenge{}, ErrChallenge
	}
	return best, nil
}

func (c Challenge) rank() int {
	if strings.HasPrefix(strings.ToUpper(c.Algorithm), "SHA-256") {
		return 1
	}
	return 0
}

// answerable says whether this package knows the algorithm and the protection asked for. The -sess forms need the
// client's nonce, which answers without qop do not carry.
func (c Challenge) answerable() bool {
	_, session, known := c.hash()
	return known && c.Nonce != "" && (c.qop() != "" || len(c.QOP) == 0 && !session)
}

// qop is the protection that the answer takes: auth where it is offered, else auth-int.
func (c Challenge) qop() string {
	for _, q := range []string{"auth", "auth-int"} {
		if slices.ContainsFunc(c.QOP, func(s string) bool { return strings.EqualFold(s, q) }) {
			return q
		}
	}
	return ""
}

// scheme is one challenge of a WWW-Authenticate header, of whatever kind.
type scheme struct {
	name       string
	parameters map[string]string // names in lower case, values unquoted
}

func (s scheme) challenge() Challenge {
	p := s.parameters
	c := Challenge{
		Realm: p["realm"], Nonce: p["nonce"], Opaque: p["opaque"], Algorithm: p["algorithm"],
		Stale: strings.EqualFold(p["stale"], "true"), Userhash: strings.EqualFold(p["userhash"], "true"),
	}
	_, c.hasOpaque = p["opaque"]
	if list, ok := p["qop"]; ok {
		for q := range strings.SplitSeq(list, ",") {
			c.QOP = append(c.QOP, strings.TrimSpace(q))
		}
	}
	return c
}

// schemes reads a header with one or more challenges (RFC 9110 section 11.6.1), whose commas separate challenges and
// parameters alike. It stops at what it cannot read and gives what it has.
func schemes(line string) (out []scheme) {
	for {
		line = strings.TrimLeft(line, " \t,")
		word, rest := token(line)
		if word == "" {
			return out
		}
		spaced := strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(spaced, "=") || len(out) == 0 {
			out = append(out, scheme{word, map[string]string{}})
			if len(spaced) == len(rest) && rest != "" && rest[0] != ',' {
				return out
			}
			line = afterToken68(spaced)
			continue
		}
		value, rest, ok := parameterValue(strings.TrimLeft(spaced[1:], " \t"))
		if !ok {
			return out
		}
		name := strings.ToLower(word)
		if _, twice := out[len(out)-1].parameters[name]; !twice {
			out[len(out)-1].parameters[name] = value
		}
		line = rest
	}
}

// afterToken68 skips what a scheme may have instead of parameters, such as the data of Negotiate.
func afterToken68(s string) string {
	_, rest := token(s)
	rest = strings.TrimLeft(rest, "=")
	if left := strings.TrimLeft(rest, " \t"); left != "" && left[0] != ',' || len(rest) == len(s) {
		return s
	}
	return rest
}

func token(s string) (word, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return strings.ContainsRune(" \t,=\"\\", r) || r < ' ' || r > '~' })
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// parameterValue reads a token or a quoted string.
func parameterValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = token(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// quoted writes a quoted string.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
