package secret

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Buffer is a secret in an arena. Whatever prints, logs or encodes it gets "[redacted]"; Reveal is the only way to the
// bytes, so that every reading of a secret can be found by name. Its methods may be called from several goroutines.
type Buffer struct {
	// A pointer without the bytes behind it, so that neither a copied Buffer nor one printed by reflection as part of
	// a larger struct shows them or frees them twice.
	held *allocation
}

// allocation is a buffer's place in its arena. The arena's lock guards it.
type allocation struct {
	arena  *Arena
	at     stretch
	length int
	wiped  bool
}

// Reveal returns the secret itself, not a copy; writing to it changes the secret. It is nil after Wipe or after the
// arena was closed. The slice must not be used after that: its place may hold another secret by then. Appending to it
// copies it out of the arena.
func (b *Buffer) Reveal() []byte {
	if b == nil || b.held == nil {
		return nil
	}
	h := b.held
	h.arena.mu.Lock()
	defer h.arena.mu.Unlock()
	if h.wiped || h.arena.region == nil {
		return nil
	}
	end := h.at.start + h.length
	return h.arena.region.bytes()[h.at.start:end:end]
}

// Len is the number of bytes, 0 after Wipe or after the arena was closed.
func (b *Buffer) Len() int { return len(b.Reveal()) }

// Wipe zeroes the secret and gives its place back to the arena. Wiping twice, or wiping nil, does
// nothing, so that a deferred Wipe may stand before the check of an error.
func (b *Buffer) Wipe() {
	if b == nil || b.held == nil {
		return
	}
	h := b.held
	h.arena.mu.Lock()
	defer h.arena.mu.Unlock()
	if h.wiped || h.arena.region == nil {
		return
	}
	h.wiped = true
	h.arena.give(h.at)
}

// shorten keeps the first n bytes; the room behind them is zeroed and freed.
func (b *Buffer) shorten(n int) {
	h := b.held
	h.arena.mu.Lock()
	defer h.arena.mu.Unlock()
	if h.wiped || h.arena.region == nil || n >= h.length {
		return
	}
	Wipe(h.arena.region.bytes()[h.at.start+n : h.at.start+h.length])
	h.length = n
	if keep := roundUp(n); keep < h.at.size {
		h.arena.give(stretch{h.at.start + keep, h.at.size - keep})
		h.at.size = keep
	}
}

// The methods below have value receivers: pointer ones would not be found where a Buffer is printed by value.

// String returns "[redacted]".
func (b Buffer) String() string { return redacted }

// GoString returns "[redacted]".
func (b Buffer) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (b Buffer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (b Buffer) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]".
func (b Buffer) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]".
func (b Buffer) LogValue() slog.Value { return slog.StringValue(redacted) }
