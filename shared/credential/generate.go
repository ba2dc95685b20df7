package credential

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"

	"github.com/strongroom/strongroom/shared/secret"
)

const (
	lowers = "abcdefghijklmnopqrstuvwxyz"
	uppers = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
	// generatedSymbols are used where the policy does not choose. Quotes, backslash and backtick are left out: people
	// paste passwords into shells and configuration files.
	generatedSymbols = "!#$%&()*+,-./:;<=>?@[]^_{|}~"

	// maxAttempts bounds the candidates that banned words may spoil.
	maxAttempts = 1000
)

// Generate makes a password that satisfies the policy, straight in the arena. All passwords of its length that satisfy
// the policy are equally likely. The length is 32 characters, or the nearest that the policy allows. The caller wipes
// the buffer.
func Generate(a *secret.Arena, p Policy) (*secret.Buffer, error) { return generate(a, p, rand.Reader) }

// class is one kind of character: how many there must be at least, and which there are.
type class struct {
	min      int
	alphabet string
}

func (p Policy) classes() []class {
	set := p.Symbols
	if set == "" {
		set = generatedSymbols
	}
	return []class{{p.MinLower, lowers}, {p.MinUpper, uppers}, {p.MinDigit, digits}, {p.MinSymbol, set}}
}

func (p Policy) generatedLength() int {
	n := max(defaultGenerated, p.MinLength, p.MinLower+p.MinUpper+p.MinDigit+p.MinSymbol)
	if p.MaxLength > 0 {
		n = min(n, p.MaxLength)
	}
	return n
}

// ForGenerating is the policy with minima in the place of MinClasses: it asks for the classes that have none yet in the
// order lower, upper, digit, symbol until there are as many.
func (p Policy) ForGenerating() Policy {
	minima := []*int{&p.MinLower, &p.MinUpper, &p.MinDigit, &p.MinSymbol}
	left := p.MinClasses
	for _, m := range minima {
		if *m > 0 {
			left--
		}
	}
	for _, m := range minima {
		if *m == 0 && left > 0 {
			*m = 1
			left--
		}
	}
	return p
}

func generate(a *secret.Arena, p Policy, entropy io.Reader) (*secret.Buffer, error) {
	if err := p.Valid(); err != nil {
		return nil, err
	}
	p = p.ForGenerating()
	return newRecipe(p, p.generatedLength()).draw(a, entropy)
}

// recipe draws uniformly from the passwords of n characters that satisfy a policy. Drawing characters and throwing
// away what fails would be simpler and never end where a policy asks for much of a rare class. Instead it draws how
// many characters each class has, with the number of passwords that have these counts as their weight; then an order
// of the classes, all being equally likely; then each character within its class. What banned words forbid is thrown
// away whole.
type recipe struct {
	policy  Policy
	n       int
	classes []class
	choose  [][]*big.Int // choose[m][k] is m over k
	power   [][]*big.Int // power[j][k] is the number of texts of k characters of class j
	ways    [][]*big.Int // ways[j][m] is that of texts of m characters of the classes from j on, each with its minimum
}

func newRecipe(p Policy, n int) recipe {
	r := recipe{policy: p, n: n, classes: p.classes()}
	for m := range n + 1 { // Pascal's triangle
		row := make([]*big.Int, m+1)
		row[0], row[m] = big.NewInt(1), big.NewInt(1)
		for k := 1; k < m; k++ {
			row[k] = new(big.Int).Add(r.choose[m-1][k-1], r.choose[m-1][k])
		}
		r.choose = append(r.choose, row)
	}
	for _, c := range r.classes {
		row := []*big.Int{big.NewInt(1)}
		for k := range n {
			row = append(row, new(big.Int).Mul(row[k], big.NewInt(int64(len(c.alphabet)))))
		}
		r.power = append(r.power, row)
	}
	r.count()
	return r
}

// count fills ways: ways[j][m] = Σ weight(j, m, k) over k from the class's minimum on; without classes only the empty
// text is left.
func (r *recipe) count() {
	r.ways = make([][]*big.Int, len(r.classes)+1)
	for j := len(r.classes); j >= 0; j-- {
		for m := range r.n + 1 {
			sum := new(big.Int)
			if j == len(r.classes) && m == 0 {
				sum.SetInt64(1)
			}
			for k := r.min(j); k <= m; k++ {
				sum.Add(sum, r.weight(j, m, k))
			}
			r.ways[j] = append(r.ways[j], sum)
		}
	}
}

// min is the least number of characters of class j, more than there can be behind the last class.
func (r *recipe) min(j int) int {
	if j == len(r.classes) {
		return r.n + 1
	}
	return r.classes[j].min
}

// weight is the number of texts of m characters in which k are of class j and the rest of the classes behind it.
func (r *recipe) weight(j, m, k int) *big.Int {
	w := new(big.Int).Mul(r.choose[m][k], r.power[j][k])
	return w.Mul(w, r.ways[j+1][m-k])
}

func (r recipe) draw(a *secret.Arena, entropy io.Reader) (*secret.Buffer, error) {
	d := newDrawer(entropy)
	b, err := a.New(r.n)
	if err != nil {
		return nil, err
	}
	for range maxAttempts {
		counts, err := r.drawCounts(entropy)
		if err != nil {
			b.Wipe()
			return nil, err
		}
		var broken error
		secret.Do(func() {
			if err = d.fill(b.Reveal(), r.classes, counts); err == nil {
				broken = r.policy.check(b.Reveal())
			}
		})
		switch {
		case err != nil:
			b.Wipe()
			return nil, fmt.Errorf("generating a password: %w", err)
		case broken == nil:
			return b, nil
		}
	}
	b.Wipe()
	return nil, fmt.Errorf("%w policy banned: the words leave hardly any password; none was found in %d attempts", ErrInvalid, maxAttempts)
}

// drawCounts draws how many characters each class has.
func (r recipe) drawCounts(entropy io.Reader) ([]int, error) {
	counts := make([]int, len(r.classes))
	n := r.n
	for j := range r.classes {
		at, err := rand.Int(entropy, r.ways[j][n])
		if err != nil {
			return nil, fmt.Errorf("generating a password: %w", err)
		}
		k := r.min(j)
		for ; ; k++ {
			w := r.weight(j, n, k)
			if at.Cmp(w) < 0 {
				break
			}
			at.Sub(at, w)
		}
		counts[j] = k
		n -= k
	}
	return counts, nil
}

// drawer draws small numbers without bias.
type drawer struct {
	entropy io.Reader
	pool    [64]byte
	used    int
}

func newDrawer(entropy io.Reader) *drawer { return &drawer{entropy: entropy, used: len(drawer{}.pool)} }

// below gives a number under n, which is at most 256. Bytes of the last, incomplete run of n are thrown away.
func (d *drawer) below(n int) (int, error) {
	for {
		if d.used == len(d.pool) {
			if _, err := io.ReadFull(d.entropy, d.pool[:]); err != nil {
				return 0, err
			}
			d.used = 0
		}
		v := int(d.pool[d.used])
		d.pool[d.used] = 0
		d.used++
		if v < 256-256%n {
			return v % n, nil
		}
	}
}

// fill writes the classes' numbers into b, shuffles them, and replaces each by a character of its class. It is called
// inside Do, and the pool keeps no byte that was used.
func (d *drawer) fill(b []byte, classes []class, counts []int) error {
	at := 0
	for j, k := range counts {
		for range k {
			b[at] = byte(j)
			at++
		}
	}
	for i := len(b) - 1; i > 0; i-- {
		j, err := d.below(i + 1)
		if err != nil {
			return err
		}
		b[i], b[j] = b[j], b[i]
	}
	for i, j := range b {
		k, err := d.below(len(classes[j].alphabet))
		if err != nil {
			return err
		}
		b[i] = classes[j].alphabet[k]
	}
	return nil
}
