package seal

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/strongroom/strongroom/shared/secret"
)

const (
	minPassphrase = 36   // characters
	maxPassphrase = 1024 // bytes

	minDistinct = 8  // bytes that differ
	minSurprise = 20 // bytes that do not follow from those before
)

// ErrPassphrase: the passphrase is too easily guessed; the wrapping error says why.
var ErrPassphrase = errors.New("the passphrase cannot be used")

// argonCost is in the slot, so that it can be raised later without locking anybody out.
type argonCost struct {
	Memory uint32 `json:"memory_kib"`
	Passes uint32 `json:"passes"`
	Lanes  uint8  `json:"lanes"`
}

// usualCost is what RFC 9106 recommends where memory is short: 64 MiB.
var usualCost = argonCost{Memory: 64 << 10, Passes: 3, Lanes: 4}

// valid bounds what a header that somebody changed can make an unseal cost: 1 GiB.
func (c argonCost) valid() bool {
	return c.Lanes > 0 && c.Lanes <= 16 && c.Passes > 0 && c.Passes <= 16 && c.Memory >= 8*uint32(c.Lanes) && c.Memory <= 1<<20
}

// CreateWithPassphrase is as Create, for a passphrase instead of a key file. ErrPassphrase: fewer than 36 characters,
// more than 1,024 bytes, or trivial.
func CreateWithPassphrase(a *secret.Arena, path string, vault string, root, passphrase *secret.Buffer) error {
	if err := CheckPassphrase(passphrase); err != nil {
		return err
	}
	h, _, err := (&Header{vault: vault}).withPassphrase(a, root, passphrase, usualCost, time.Now())
	if err != nil {
		return err
	}
	return h.create(path)
}

// UnsealPassphrase opens a passphrase slot and returns the root key, which the caller wipes. It fails with ErrWrongKey
// if none of them opens. It takes 64 MiB and some tenths of a second for each slot: the caller lets in one at a time.
func (h *Header) UnsealPassphrase(a *secret.Arena, passphrase *secret.Buffer) (root *secret.Buffer, err error) {
	var material *secret.Buffer
	defer func() { material.Wipe() }()
	return h.try(a, kindPassphrase, func(s slot) (_ *secret.Buffer, err error) {
		material.Wipe()
		material, err = s.stretch(a, passphrase)
		return material, err
	})
}

// stretch runs Argon2id, which works in ordinary memory. The collection behind it lets the runtime erase that, where
// it does (see package secret), and gives the memory back soon.
func (s *slot) stretch(a *secret.Arena, passphrase *secret.Buffer) (material *secret.Buffer, err error) {
	secret.Do(func() {
		c := s.Argon2id
		material, err = a.From(argon2.IDKey(passphrase.Reveal(), s.Salt, c.Passes, c.Memory, c.Lanes, keySize))
	})
	runtime.GC()
	return material, err
}

// CheckPassphrase refuses with ErrPassphrase what is short, or long but trivial. It cannot tell a quotation from a
// random text: it keeps out what nobody may take for a secret.
func CheckPassphrase(passphrase *secret.Buffer) (err error) {
	refuse := func(why string) error {
		return fmt.Errorf("%w: %s; take ten random words, or 36 random characters and more", ErrPassphrase, why)
	}
	secret.Do(func() {
		text := passphrase.Reveal()
		switch n := utf8.RuneCount(text); {
		case !utf8.Valid(text):
			err = refuse("it is not UTF-8")
		case n < minPassphrase:
			err = refuse(fmt.Sprintf("it has %d characters and needs %d", n, minPassphrase))
		case len(text) > maxPassphrase:
			err = refuse(fmt.Sprintf("it is longer than %d bytes", maxPassphrase))
		case !hasLetters(text):
			err = refuse("it has digits and signs only")
		case distinct(text) < minDistinct:
			err = refuse(fmt.Sprintf("it has fewer than %d different characters", minDistinct))
		case surprise(text) < minSurprise:
			err = refuse("most of it is repetition or sequence")
		}
	})
	return err
}

func hasLetters(text []byte) bool {
	for _, c := range text {
		if c = lower(c); c >= 'a' && c <= 'z' || c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

func distinct(text []byte) (n int) {
	var seen [256]bool
	defer clear(seen[:])
	for _, c := range text {
		if c = lower(c); !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}

// surprise counts text in steps: a sequence of three and more, or a repetition of four and more of what stood before,
// is one step; every other byte is one.
func surprise(text []byte) (steps int) {
	for i := 0; i < len(text); steps++ {
		i += max(1, sequence(text[i:]), repetition(text, i))
	}
	return steps
}

// keyboard has the rows that fingers run along.
const keyboard = "qwertyuiop asdfghjkl zxcvbnm qwertz"

// sequence is the length of abc, 321, aaa or qwe at the beginning of text, 0 below three.
func sequence(text []byte) int {
	longest := 0
	for _, follows := range []func(a, b byte) bool{
		func(a, b byte) bool { return b == a },
		func(a, b byte) bool { return b == a+1 },
		func(a, b byte) bool { return b == a-1 },
		func(a, b byte) bool { return strings.Contains(keyboard, string([]byte{a, b})) },
		func(a, b byte) bool { return strings.Contains(keyboard, string([]byte{b, a})) },
	} {
		n := 1
		for n < len(text) && follows(lower(text[n-1]), lower(text[n])) {
			n++
		}
		longest = max(longest, n)
	}
	if longest < 3 {
		return 0
	}
	return longest
}

// repetition is the length of what stands at i and stood before as well, 0 below four.
func repetition(text []byte, i int) int {
	longest := 0
	for from := range i {
		n := 0
		for i+n < len(text) && lower(text[from+n]) == lower(text[i+n]) {
			n++
		}
		longest = max(longest, n)
	}
	if longest < 4 {
		return 0
	}
	return longest
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
