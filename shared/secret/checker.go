package secret

import (
	"crypto/sha256"
	"fmt"
)

// Checker opens what Seal made under derived keys, one after the other, and keeps nothing of it: it is for whoever has
// to know of many whether they open. Key and plaintext exist in its own part of the arena, for the time of a call. It is
// for one goroutine.
type Checker struct {
	held *Buffer
	room []byte // for the plaintext
	key  []byte
	work []byte // for what the key comes from
}

// NewChecker makes one for plaintexts of at most room bytes. Whoever makes it wipes it.
func (a *Arena) NewChecker(room int) (*Checker, error) {
	held, err := a.New(KeySize + 2*sha256.Size + room)
	if err != nil {
		return nil, err
	}
	b := held.Reveal()
	return &Checker{held: held, key: b[:KeySize], work: b[KeySize:][:2*sha256.Size], room: b[KeySize+2*sha256.Size:]}, nil
}

// Sealed is one of what a Checker is given: what Seal made, with the salt of its key and the data it is bound to.
type Sealed struct {
	Salt, Ciphertext, AD []byte
}

// Check opens each ciphertext under the key that Derive gives for from, its salt and info. It ends at the first that
// fails, and returns its place: with ErrOpen as Open does, with ErrTooLong where the plaintext has no room. They all are
// opened within one Do, so there should be some, and not so many that what is on the stack is to be there for long.
func (c *Checker) Check(from *Buffer, info string, nonce []byte, sealed []Sealed) (failed int, err error) {
	k := from.Reveal()
	switch {
	case len(k) == 0 || c.held.Len() == 0:
		return 0, fmt.Errorf("checking: %w", ErrKey)
	case len(nonce) != NonceSize:
		return 0, fmt.Errorf("a nonce of %d bytes: AES-GCM takes %d", len(nonce), NonceSize)
	}
	label := []byte(info)
	Do(func() {
		for failed = range sealed {
			if err = c.open(k, label, nonce, &sealed[failed]); err != nil {
				return
			}
		}
	})
	return failed, err
}

// open is called inside Do.
func (c *Checker) open(from, label, nonce []byte, s *Sealed) error {
	n := len(s.Ciphertext) - Overhead
	switch {
	case n < 0:
		return ErrOpen
	case n > len(c.room):
		return ErrTooLong
	}
	extracted, block := c.work[:sha256.Size], c.work[sha256.Size:]
	defer Wipe(c.work)
	hmacSHA256(extracted, s.Salt, from)
	expand(c.key, extracted, block, label)
	defer Wipe(c.key)
	err := openKey(c.key, c.room[:n], nonce, s.Ciphertext, s.AD)
	Wipe(c.room[:n])
	return err
}

// openKey is called inside Do. dst has the plaintext's exact length.
func openKey(key, dst, nonce, ciphertext, ad []byte) error {
	block, gcm := newGCM(key)
	defer overwrite(block)
	defer overwrite(gcm)
	if _, err := gcm.Open(dst[:0], nonce, ciphertext, ad); err != nil {
		return ErrOpen
	}
	return nil
}

// Wipe zeroes what is left and gives its place back.
func (c *Checker) Wipe() {
	if c != nil {
		c.held.Wipe()
	}
}
