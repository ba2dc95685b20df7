package credential

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strongroom/strongroom/shared/secret"
)

// Limits of password policies.
const (
	maxPassword      = 128 // characters that a policy may ask for
	defaultGenerated = 32  // characters of a generated password, where the policy allows
	numClasses       = 4
	maxBanned        = 1000
)

// MaxHistory is how many of the latest passwords a policy may compare a new one with.
const MaxHistory = 50

// symbols are the printable ASCII characters that are neither letters nor digits nor the space.
const symbols = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// Policy says what a password must be like. The zero Policy allows everything. Letters and digits are those of ASCII.
// Check leaves out History, which is the vault's to look at: it has the versions.
type Policy struct {
	MinLength  int      `json:"min_length,omitempty" yaml:"min_length"` // characters
	MaxLength  int      `json:"max_length,omitempty" yaml:"max_length"` // characters; 0: no limit but MaxValue
	MinLower   int      `json:"min_lower,omitempty" yaml:"min_lower"`
	MinUpper   int      `json:"min_upper,omitempty" yaml:"min_upper"`
	MinDigit   int      `json:"min_digit,omitempty" yaml:"min_digit"`
	MinSymbol  int      `json:"min_symbol,omitempty" yaml:"min_symbol"`
	MinClasses int      `json:"min_classes,omitempty" yaml:"min_classes"` // how many of lower, upper, digit and symbol; up to 4
	Symbols    string   `json:"symbols,omitempty" yaml:"symbols"`         // the symbols that are allowed; empty: any character
	Banned     []string `json:"banned,omitempty" yaml:"banned"`           // words that must not occur, in whatever case
	History    int      `json:"history,omitempty" yaml:"history"`         // how many of the latest may not be given again
}

// Valid checks the policy itself: that its numbers fit together and that a password can be made by it.
func (p Policy) Valid() error {
	wrong := func(member, why string) error { return fmt.Errorf("%w policy %s: %s", ErrInvalid, member, why) }
	for _, m := range []struct {
		name string
		n    int
	}{{"min_length", p.MinLength}, {"max_length", p.MaxLength}, {"min_lower", p.MinLower}, {"min_upper", p.MinUpper},
		{"min_digit", p.MinDigit}, {"min_symbol", p.MinSymbol}} {
		if m.n < 0 || m.n > maxPassword {
			return wrong(m.name, fmt.Sprintf("it must be from 0 to %d", maxPassword))
		}
	}
	asked := p.ForGenerating()
	sum := asked.MinLower + asked.MinUpper + asked.MinDigit + asked.MinSymbol
	switch {
	case p.MinClasses < 0 || p.MinClasses > numClasses:
		return wrong("min_classes", fmt.Sprintf("it must be from 0 to %d", numClasses))
	case sum > maxPassword:
		return wrong("min_symbol", fmt.Sprintf("the classes ask for more than %d characters", maxPassword))
	case p.MaxLength > 0 && p.MinLength > p.MaxLength:
		return wrong("max_length", "it is less than min_length")
	case p.MaxLength > 0 && sum > p.MaxLength:
		return wrong("max_length", "it is less than what the classes ask for together")
	case p.History < 0 || p.History > MaxHistory:
		return wrong("history", fmt.Sprintf("it must be from 0 to %d", MaxHistory))
	case strings.ContainsFunc(p.Symbols, func(r rune) bool { return !strings.ContainsRune(symbols, r) }):
		return wrong("symbols", "only printable ASCII symbols belong there, no letters, digits and spaces")
	case repeats(p.Symbols):
		return wrong("symbols", "one of them stands there twice")
	case len(p.Banned) > maxBanned:
		return wrong("banned", fmt.Sprintf("more than %d words", maxBanned))
	case slices.Contains(p.Banned, ""):
		return wrong("banned", "an empty word would ban every password")
	}
	return nil
}

func repeats(s string) bool {
	for i, r := range s {
		if strings.ContainsRune(s[:i], r) {
			return true
		}
	}
	return false
}

// Check holds a password against the policy. The error wraps ErrInvalid and names the rule that is broken, never the
// password, a part of it, or the banned word that it contains.
func (p Policy) Check(password *secret.Buffer) error {
	var err error
	secret.Do(func() { err = p.check(password.Reveal()) })
	return err
}

// count is how many characters of each class a password has.
type count struct{ all, lower, upper, digit, symbol, refused int }

func (n count) classes() int {
	has := 0
	for _, k := range []int{n.lower, n.upper, n.digit, n.symbol} {
		has += min(k, 1)
	}
	return has
}

func (p Policy) check(b []byte) error {
	broken := func(format string, args ...any) error {
		return fmt.Errorf("%w password: %s", ErrInvalid, fmt.Sprintf(format, args...))
	}
	n := p.count(b)
	for _, rule := range []struct {
		has, min int
		what     string
	}{{n.all, p.MinLength, "characters"}, {n.lower, p.MinLower, "lower-case letters"}, {n.upper, p.MinUpper, "upper-case letters"},
		{n.digit, p.MinDigit, "digits"}, {n.symbol, p.MinSymbol, "symbols"}} {
		if rule.has < rule.min {
			return broken("it needs at least %d %s", rule.min, rule.what)
		}
	}
	switch {
	case n.classes() < p.MinClasses:
		return broken("it needs %d of the four: lower-case letters, upper-case letters, digits, symbols", p.MinClasses)
	case p.MaxLength > 0 && n.all > p.MaxLength:
		return broken("at most %d characters are allowed", p.MaxLength)
	case n.refused > 0:
		return broken("besides letters and digits only these symbols are allowed: %s", p.Symbols)
	}
	for _, word := range p.Banned {
		if containsFold(b, word) {
			return broken("it contains a banned word")
		}
	}
	return nil
}

// count counts characters; bytes that are not UTF-8 count as one each.
func (p Policy) count(b []byte) (n count) {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		b = b[size:]
		n.all++
		switch {
		case r >= 'a' && r <= 'z':
			n.lower++
		case r >= 'A' && r <= 'Z':
			n.upper++
		case r >= '0' && r <= '9':
			n.digit++
		case p.Symbols == "" || strings.ContainsRune(p.Symbols, r):
			n.symbol++
		default:
			n.refused++
		}
	}
	return n
}

// containsFold looks for word in b without regard to case. It makes no copy of b.
func containsFold(b []byte, word string) bool {
	for len(b) > 0 {
		if hasPrefixFold(b, word) {
			return true
		}
		_, size := utf8.DecodeRune(b)
		b = b[size:]
	}
	return false
}

func hasPrefixFold(b []byte, word string) bool {
	for _, want := range word {
		r, size := utf8.DecodeRune(b)
		if size == 0 || !equalFold(r, want) {
			return false
		}
		b = b[size:]
	}
	return true
}

func equalFold(a, b rune) bool {
	if a == b {
		return true
	}
	for r := unicode.SimpleFold(a); r != a; r = unicode.SimpleFold(r) {
		if r == b {
			return true
		}
	}
	return false
}
