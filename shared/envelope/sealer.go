package envelope

import (
	"crypto/hpke"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/strongroom/strongroom/shared/secret"
)

// counterSize is the length of the counter that precedes each ciphertext, in bytes.
const counterSize = 8

// exporting is what both ends of an HPKE encapsulation offer.
type exporting interface {
	Export(exporterContext string, length int) ([]byte, error)
}

// Sealer seals values to one recipient. Its methods may be called from several goroutines.
type Sealer struct {
	mu   sync.RWMutex // held for writing by Wipe only: the key must not go in the middle of a Seal
	key  *secret.Buffer
	last atomic.Uint64
}

// NewSealer agrees on a key with the holder of publicKey (as Recipient.PublicKey gave it); enc is what that recipient
// needs to open what the sealer seals. exporter is Exporter's result for the connection that the values travel on.
func NewSealer(a *secret.Arena, publicKey []byte, d Direction, exporter []byte) (s *Sealer, enc []byte, err error) {
	bound, err := info(d, exporter)
	if err != nil {
		return nil, nil, err
	}
	recipient, err := kem().NewPublicKey(publicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the recipient's public key: %w", ErrEnvelope, err)
	}
	key, err := agree(a, func() (exporting, error) {
		e, sender, err := hpke.NewSender(recipient, kdf(), aead(), bound)
		if err != nil {
			return nil, fmt.Errorf("%w: the recipient's public key: %w", ErrEnvelope, err)
		}
		enc = append(enc, e...)
		return sender, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return &Sealer{key: key}, enc, nil
}

// agree moves the exported key into the arena. Everything HPKE allocates stays inside Do, which erases it at the next
// collection: one is asked for.
func agree(a *secret.Arena, encapsulate func() (exporting, error)) (*secret.Buffer, error) {
	key, err := a.New(secret.KeySize)
	if err != nil {
		return nil, fmt.Errorf("envelope key: %w", err)
	}
	defer secret.Sweep()
	secret.Do(func() {
		var context exporting
		if context, err = encapsulate(); err != nil {
			return
		}
		var exported []byte
		if exported, err = context.Export(keyLabel, secret.KeySize); err != nil {
			return
		}
		copy(key.Reveal(), exported)
		secret.Wipe(exported)
	})
	if err != nil {
		key.Wipe()
		return nil, err
	}
	return key, nil
}

// Seal encrypts a value of at most MaxPlaintext bytes: an 8-byte counter, then ciphertext and tag. It fails with
// secret.ErrKey after Wipe.
func (s *Sealer) Seal(plaintext []byte, c Context) ([]byte, error) {
	if len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("field %q: %w: %d bytes, at most %d", c.Field, secret.ErrTooLong, len(plaintext), MaxPlaintext)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	// The key is this sealer's own, so a counter that never repeats is a nonce that never repeats.
	sealed := make([]byte, counterSize, counterSize+len(plaintext)+secret.Overhead)
	binary.BigEndian.PutUint64(sealed, s.last.Add(1))
	sealed, err := secret.Seal(sealed, s.key, nonce(sealed), plaintext, c.associated())
	if err != nil {
		return nil, fmt.Errorf("sealing field %q: %w", c.Field, err)
	}
	return sealed, nil
}

// Wipe forgets the key.
func (s *Sealer) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key.Wipe()
	secret.Sweep()
}

// nonce is the counter, filled up with zeros in front.
func nonce(sealed []byte) []byte {
	n := make([]byte, secret.NonceSize)
	copy(n[secret.NonceSize-counterSize:], sealed[:counterSize])
	return n
}
