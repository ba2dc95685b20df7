package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
)

// maxDerived is the most that HKDF-SHA256 yields from one key, in bytes.
const maxDerived = 255 * sha256.Size

// MAC returns the HMAC-SHA256 of the parts, one after the other; the caller frames them where their borders matter.
// It panics if the key is wiped or empty, since a code under no key would be anybody's to forge.
func MAC(key *Buffer, parts ...[]byte) [sha256.Size]byte {
	k := key.Reveal()
	if len(k) == 0 {
		panic(fmt.Errorf("secret.MAC: %w", ErrKey))
	}
	var sum [sha256.Size]byte
	Do(func() { hmacSHA256(sum[:], k, parts...) })
	return sum
}

// Derive returns n bytes (at most 8160) of HKDF-SHA256 (RFC 5869) in the arena. A nil salt stands for zeros.
//
// crypto/hkdf and crypto/hmac are not used: they keep the key and its masked halves in objects that nobody can clear.
func (a *Arena) Derive(key *Buffer, salt []byte, info string, n int) (*Buffer, error) {
	if n < 0 || n > maxDerived {
		return nil, fmt.Errorf("deriving %d bytes: HKDF-SHA256 yields 0 to %d", n, maxDerived)
	}
	k := key.Reveal()
	if len(k) == 0 {
		return nil, fmt.Errorf("deriving: %w", ErrKey)
	}
	work, err := a.New(2 * sha256.Size)
	if err != nil {
		return nil, err
	}
	defer work.Wipe()
	out, err := a.New(n)
	if err != nil {
		return nil, err
	}
	infoBytes := []byte(info)
	Do(func() {
		w := work.Reveal()
		extracted, block := w[:sha256.Size], w[sha256.Size:]
		hmacSHA256(extracted, salt, k)
		expand(out.Reveal(), extracted, block, infoBytes)
	})
	return out, nil
}

// expand fills out; block is room for one block and must be in the arena, since each block is the key of what follows.
func expand(out, extracted, block, info []byte) {
	var previous []byte
	for i := byte(1); len(out) > 0; i++ {
		hmacSHA256(block, extracted, previous, info, []byte{i})
		previous = block
		out = out[copy(out, block):]
	}
}

// MACs writes to each sum what [MAC] gives for the message of its place. It panics as MAC does, and where there are not as
// many sums as messages.
func MACs(sums [][sha256.Size]byte, key *Buffer, messages [][]byte) {
	k := key.Reveal()
	if len(k) == 0 {
		panic(fmt.Errorf("secret.MACs: %w", ErrKey))
	}
	_ = sums[:len(messages)]
	Do(func() {
		for i, message := range messages {
			hmacSHA256(sums[i][:], k, message)
		}
	})
}

// The two masks of HMAC, and what makes the one of the other.
var (
	innerMask = masks(0x36)
	otherMask = masks(0x36 ^ 0x5c)
)

func masks(with byte) (b [sha256.BlockSize]byte) {
	for i := range b {
		b[i] = with
	}
	return b
}

// hmacSHA256 writes HMAC-SHA256 to sum, which may be one of the parts. It is called inside Do. The hash state is as
// good as the key and may hold the end of a secret part, so it is overwritten like the masked keys.
func hmacSHA256(sum, key []byte, parts ...[]byte) {
	var masked [sha256.BlockSize]byte
	defer Wipe(masked[:])
	h := sha256.New()
	defer overwrite(h)

	if len(key) > sha256.BlockSize {
		h.Write(key)
		h.Sum(masked[:0])
		h.Reset()
	} else {
		copy(masked[:], key)
	}
	subtle.XORBytes(masked[:], masked[:], innerMask[:])
	h.Write(masked[:])
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])

	h.Reset()
	subtle.XORBytes(masked[:], masked[:], otherMask[:])
	h.Write(masked[:])
	h.Write(sum[:sha256.Size])
	h.Sum(sum[:0])
}
