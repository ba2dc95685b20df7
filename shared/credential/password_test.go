package credential

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPolicyCheck(t *testing.T) {
	t.Parallel()
	a := arena(t)
	for _, v := range []struct {
		policy   Policy
		password string
		want     string // the rule that is broken; empty: none
	}{
		{Policy{}, "", ""},
		{Policy{MinLength: 8}, "1234567", "it needs at least 8 characters"},
		{Policy{MinLength: 8}, "12345678", ""},
		{Policy{MinLength: 3}, "äöü", ""},
		{Policy{MinLength: 4}, "äöü", "it needs at least 4 characters"},
		{Policy{MaxLength: 3}, "äöü", ""},
		{Policy{MaxLength: 3}, "abcd", "at most 3 characters are allowed"},
		{Policy{MinLower: 2}, "ABCd", "it needs at least 2 lower-case letters"},
		{Policy{MinUpper: 2}, "abcD", "it needs at least 2 upper-case letters"},
		{Policy{MinDigit: 1}, "abcd", "it needs at least 1 digits"},
		{Policy{MinSymbol: 1}, "abcd1", "it needs at least 1 symbols"},
		{Policy{MinSymbol: 1}, "abc d", ""},
		{Policy{Symbols: "!?"}, "abc!", ""},
		{Policy{Symbols: "!?"}, "abc#", "besides letters and digits only these symbols are allowed: !?"},
		{Policy{Symbols: "!?"}, "abcä", "besides letters and digits only these symbols are allowed: !?"},
		{Policy{Banned: []string{"acme"}}, "xACmE1", "it contains a banned word"},
		{Policy{Banned: []string{"Straße"}}, "xSTRAẞEx", "it contains a banned word"},
		{Policy{Banned: []string{"acme"}}, "acm", ""},
		{Policy{Banned: []string{"acme"}}, "acacme", "it contains a banned word"},
		{Policy{MinLength: 4}, "\xff\xfe\xfd\xfc", ""},
	} {
		b, err := a.From([]byte(v.password))
		if err != nil {
			t.Fatal(err)
		}
		err = v.policy.Check(b)
		if v.want == "" && err != nil || v.want != "" && (!errors.Is(err, ErrInvalid) || !strings.HasSuffix(err.Error(), v.want)) {
			t.Errorf("%+v %q: %v, want %q", v.policy, v.password, err, v.want)
		}
		if err != nil && (strings.Contains(err.Error(), v.password) || strings.Contains(err.Error(), "acme")) {
			t.Errorf("the error repeats the password or its banned word: %v", err)
		}
	}
}

func TestPolicyThatCannotBe(t *testing.T) {
	t.Parallel()
	for member, p := range map[string]Policy{
		"min_length": {MinLength: -1}, "min_lower": {MinLower: 129}, "max_length": {MinLength: 9, MaxLength: 8},
		"max_length:": {MinLower: 2, MinUpper: 2, MaxLength: 3}, "min_symbol": {MinLower: 100, MinSymbol: 100},
		"history": {History: -1}, "history:": {History: 51},
		"symbols": {Symbols: "!a"}, "symbols:": {Symbols: "!!"}, "banned": {Banned: []string{""}},
		"banned:": {Banned: strings.Split(strings.ToLower(uppers)+digits+generatedSymbols, "")},
	} {
		if _, err := Generate(arena(t), p); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), strings.TrimSuffix(member, ":")) {
			t.Errorf("%+v: %v, want %s named", p, err, member)
		}
	}
}

// Every password that is made satisfies its policy, whatever the policy.
func TestGenerateSatisfies(t *testing.T) {
	t.Parallel()
	a := arena(t)
	rapid.Check(t, func(t *rapid.T) {
		few := rapid.IntRange(0, 20)
		p := Policy{
			MinLength: rapid.IntRange(0, 60).Draw(t, "min"), MinLower: few.Draw(t, "lower"), MinUpper: few.Draw(t, "upper"),
			MinDigit: few.Draw(t, "digit"), MinSymbol: few.Draw(t, "symbol"),
			Symbols: rapid.SampledFrom([]string{"", "!", "!?", symbols}).Draw(t, "symbols"),
			Banned:  rapid.SampledFrom([][]string{nil, {"e"}, {"Acme", "12", "x"}}).Draw(t, "banned"),
		}
		if rapid.Bool().Draw(t, "limited") {
			p.MaxLength = max(p.MinLength, p.MinLower+p.MinUpper+p.MinDigit+p.MinSymbol, 1)
		}
		b, err := Generate(a, p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		defer b.Wipe()
		if err := p.Check(b); err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		if p.MaxLength == 0 && b.Len() < 32 {
			t.Fatalf("%+v: only %d characters", p, b.Len())
		}
	})
	if a.InUse() != 0 {
		t.Errorf("%d bytes stayed in the arena", a.InUse())
	}
}

// TestGenerateIsUniform draws from policies whose passwords can all be listed, and compares how often each comes with
// how often it should: a chi-square test. The draws are from a fixed seed, so that it passes always or never; the
// control is a generator with a well-known bias, which must fail.
func TestGenerateIsUniform(t *testing.T) {
	t.Parallel()
	a := arena(t)
	for name, p := range map[string]Policy{
		"one of each of two": {MinLower: 1, MinDigit: 1, Symbols: "!"},
		"a digit, banned":    {MinDigit: 1, Symbols: "!?", Banned: []string{"a", "?1"}},
		"a symbol":           {MinSymbol: 1, Symbols: "!?#"},
	} {
		entropy := rand.NewChaCha8([32]byte{7: 1})
		all := list(p)
		const perCell = 10
		r := newRecipe(p, 2)
		seen := map[string]int{}
		for range perCell * len(all) {
			b, err := r.draw(a, entropy)
			if err != nil {
				t.Fatal(err)
			}
			seen[string(b.Reveal())]++
			b.Wipe()
		}
		if got := chiSquare(seen, all, perCell); got > limit(len(all)-1) {
			t.Errorf("%s: chi-square %.0f over %d passwords, at most %.0f wanted", name, got, len(all), limit(len(all)-1))
		}
		// What comes of taking a remainder of a range that is no multiple.
		biased := map[string]int{}
		chance := rand.New(rand.NewChaCha8([32]byte{}))
		for range perCell * len(all) {
			biased[all[chance.IntN(len(all)+len(all)/2)%len(all)]]++
		}
		if got := chiSquare(biased, all, perCell); got <= limit(len(all)-1) {
			t.Errorf("%s: control: a biased generator passes with %.0f", name, got)
		}
	}
}

// list gives every password of two characters that satisfies p.
func list(p Policy) (all []string) {
	alphabet := lowers + uppers + digits + p.Symbols
	for _, a := range []byte(alphabet) {
		for _, b := range []byte(alphabet) {
			if s := string([]byte{a, b}); p.check([]byte(s)) == nil {
				all = append(all, s)
			}
		}
	}
	return all
}

func chiSquare(seen map[string]int, all []string, expected float64) (sum float64) {
	total := 0
	for _, s := range all {
		d := float64(seen[s]) - expected
		sum += d * d / expected
		total += seen[s]
	}
	for _, n := range seen {
		total -= n
	}
	if total != 0 {
		sum += 1e9 // something came that does not satisfy the policy
	}
	return sum
}

// limit is four standard deviations above what chi-square is on average, which chance passes once in 30,000.
func limit(freedom int) float64 {
	n := float64(freedom)
	deviation := 1.0
	for deviation*deviation < 2*n {
		deviation++
	}
	return n + 4*deviation
}

func TestDrawWithoutBias(t *testing.T) {
	t.Parallel()
	// 256 is no multiple of 10: each byte once, and the last six are thrown away.
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(255 - i)
	}
	d := newDrawer(strings.NewReader(string(every)))
	counts := map[int]int{}
	for range 250 {
		n, err := d.below(10)
		if err != nil {
			t.Fatal(err)
		}
		counts[n]++
	}
	for n := range 10 {
		if counts[n] != 25 {
			t.Errorf("%d came %d times of 250", n, counts[n])
		}
	}
	if _, err := d.below(10); err == nil {
		t.Error("a number without entropy")
	}
}
