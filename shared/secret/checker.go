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

// Check opens a ciphertext under the key that Derive gives for from, salt and info. It fails with ErrOpen as Open does,
// and with ErrTooLong where the plaintext has no room.
func (c *Checker) Check(from *Buffer, salt []byte, info string, nonce, ciphertext, ad []byte) error {
	k := from.Reveal()
	n := len(ciphertext) - Overhead
	switch {
	case len(k) == 0 || c.held.Len() == 0:
		return fmt.Errorf("checking: %w", ErrKey)
	case len(nonce) != NonceSize:
		return fmt.Errorf("a nonce of %d bytes: AES-GCM takes %d", len(nonce), NonceSize)
	case n < 0:
		return ErrOpen
	case n > len(c.room):
		return ErrTooLong
	}
	label := []byte(info)
	var err error
	Do(func() {
		extracted, block := c.work[:sha256.Size], c.work[sha256.Size:]
		defer Wipe(c.work)
		hmacSHA256(extracted, salt, k)
		expand(c.key, extracted, block, label)
		defer Wipe(c.key)
		err = openKey(c.key, c.room[:n], nonce, ciphertext, ad)
		Wipe(c.room[:n])
	})
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
