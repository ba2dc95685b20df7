package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unsafe"
)

// Sizes of AES-256-GCM in bytes.
const (
	KeySize   = 32
	NonceSize = 12
	Overhead  = 16
)

// Seal encrypts plaintext with AES-256-GCM, binds ad, and appends ciphertext and tag to dst. The nonce must never be
// used twice under one key.
func Seal(dst []byte, key *Buffer, nonce, plaintext, ad []byte) ([]byte, error) {
	// Grown outside Do, which would otherwise have to remember and erase it.
	dst = slices.Grow(dst, len(plaintext)+Overhead)
	err := withGCM(key, nonce, func(gcm cipher.AEAD) error {
		dst = gcm.Seal(dst, nonce, plaintext, ad)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// Open decrypts what Seal made. The plaintext is written straight into the arena and is nowhere else. It fails with
// ErrOpen if anything differs from what was sealed, and with ErrFull if the arena has no room.
func (a *Arena) Open(key *Buffer, nonce, ciphertext, ad []byte) (*Buffer, error) {
	if len(ciphertext) < Overhead {
		return nil, ErrOpen
	}
	s, err := a.New(len(ciphertext) - Overhead)
	if err != nil {
		return nil, err
	}
	if err := openInto(s.Reveal(), key, nonce, ciphertext, ad); err != nil {
		s.Wipe()
		return nil, err
	}
	return s, nil
}

// OpenPublic decrypts what Seal made into ordinary memory. It is for what is encrypted but no secret, such as names.
func OpenPublic(key *Buffer, nonce, ciphertext, ad []byte) ([]byte, error) {
	if len(ciphertext) < Overhead {
		return nil, ErrOpen
	}
	plaintext := make([]byte, len(ciphertext)-Overhead)
	if err := openInto(plaintext, key, nonce, ciphertext, ad); err != nil {
		return nil, err
	}
	return plaintext, nil
}

var errRoom = errors.New("the room for the plaintext is of the wrong length")

// openInto decrypts into dst, which must have the plaintext's exact length: given one byte too few,
// [cipher.AEAD.Open] would silently put the plaintext on the heap.
func openInto(dst []byte, key *Buffer, nonce, ciphertext, ad []byte) error {
	if len(dst) != len(ciphertext)-Overhead {
		return errRoom
	}
	return withGCM(key, nonce, func(gcm cipher.AEAD) error {
		if _, err := gcm.Open(dst[:0], nonce, ciphertext, ad); err != nil {
			return ErrOpen
		}
		return nil
	})
}

// withGCM lends f a cipher and overwrites it afterwards: the key schedule begins with the raw key, and the GCM context
// holds a copy of the schedule.
func withGCM(key *Buffer, nonce []byte, f func(cipher.AEAD) error) error {
	k := key.Reveal()
	if len(k) != KeySize {
		return fmt.Errorf("%w: %d bytes, AES-256 takes %d", ErrKey, len(k), KeySize)
	}
	if len(nonce) != NonceSize {
		return fmt.Errorf("a nonce of %d bytes: AES-GCM takes %d", len(nonce), NonceSize)
	}
	var err error
	Do(func() {
		block, gcm := newGCM(k)
		defer overwrite(block)
		defer overwrite(gcm)
		err = f(gcm)
	})
	return err
}

func newGCM(k []byte) (cipher.Block, cipher.AEAD) {
	block, err := aes.NewCipher(k)
	if err != nil {
		panic(err) // the length was checked
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only with GODEBUG=fips140=only, which this project does not support
	}
	return block, gcm
}

// overwrite zeroes the object that a pointer in an interface points to. Go's ciphers and hashes have no method for it.
// The objects it is used on hold no pointers (a test sees to that) and are not used afterwards.
func overwrite(object any) {
	v := reflect.ValueOf(object)
	Wipe(unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size()))
}
