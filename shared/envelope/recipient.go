package envelope

import (
	"crypto/hpke"
	"errors"
	"fmt"
	"sync"

	"github.com/strongroom/strongroom/shared/secret"
)

// Recipient is a key pair that envelopes are sealed to. It is good for one encapsulation.
type Recipient struct {
	public []byte
	mu     sync.Mutex
	key    hpke.PrivateKey // nil once used
}

// NewRecipient makes a fresh key pair.
func NewRecipient() (*Recipient, error) {
	var key hpke.PrivateKey
	var err error
	// Go's key pair cannot be cleared; made inside Do, it is erased when it is dropped and collected.
	secret.Do(func() { key, err = kem().GenerateKey() })
	if err != nil {
		return nil, fmt.Errorf("making an envelope key: %w", err)
	}
	return &Recipient{public: append([]byte(nil), key.PublicKey().Bytes()...), key: key}, nil
}

// PublicKey is the public half, 32 bytes.
func (r *Recipient) PublicKey() []byte { return append([]byte(nil), r.public...) }

// Opener opens what the sealer that made enc seals. The private key is dropped whether that succeeds or not: a second
// call fails with ErrEnvelope. A wrong direction or exporter shows when a value is opened.
func (r *Recipient) Opener(a *secret.Arena, enc []byte, d Direction, exporter []byte) (*Opener, error) {
	r.mu.Lock()
	private := r.key
	r.key = nil
	r.mu.Unlock()
	if private == nil {
		return nil, fmt.Errorf("%w: its recipient was used before", ErrEnvelope)
	}
	bound, err := info(d, exporter)
	if err != nil {
		return nil, err
	}
	key, err := agree(a, func() (exporting, error) {
		context, err := hpke.NewRecipient(enc, private, kdf(), aead(), bound)
		if err != nil {
			return nil, fmt.Errorf("%w: the encapsulated key: %w", ErrEnvelope, err)
		}
		return context, nil
	})
	if err != nil {
		return nil, err
	}
	return &Opener{arena: a, key: key}, nil
}

// Opener opens the values of one sealer. Its methods may be called from several goroutines.
type Opener struct {
	arena *secret.Arena
	mu    sync.RWMutex // held for writing by Wipe only: the key must not go in the middle of an Open
	key   *secret.Buffer
}

// Open decrypts a sealed value straight into the arena. It fails with ErrEnvelope unless the value was sealed for this
// recipient, direction, connection and context, with secret.ErrFull if the arena has no room for it, and with
// secret.ErrKey after Wipe. The same sealed value opens again under the same context: that each request has an
// identifier of its own is the caller's part.
func (o *Opener) Open(sealed []byte, c Context) (*secret.Buffer, error) {
	return o.OpenInto(o.arena, sealed, c)
}

// OpenInto is as Open, into an arena that may be another than the key's, or an owner's part of it.
func (o *Opener) OpenInto(a *secret.Arena, sealed []byte, c Context) (*secret.Buffer, error) {
	if n := len(sealed) - counterSize - secret.Overhead; n < 0 || n > MaxPlaintext {
		return nil, fmt.Errorf("%w: field %q: %d bytes cannot be a sealed value", ErrEnvelope, c.Field, len(sealed))
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	s, err := a.Open(o.key, nonce(sealed), sealed[counterSize:], c.associated())
	if errors.Is(err, secret.ErrOpen) {
		return nil, fmt.Errorf("%w: field %q", ErrEnvelope, c.Field)
	}
	if err != nil {
		return nil, fmt.Errorf("opening field %q: %w", c.Field, err)
	}
	return s, nil
}

// Wipe forgets the key.
func (o *Opener) Wipe() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.key.Wipe()
	secret.Sweep()
}
