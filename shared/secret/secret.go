// Package secret keeps bytes that must not leak: values, keys and passphrases live in a locked [Arena] outside Go's
// heap, are handed round as a [Buffer] that prints as "[redacted]", and are zeroed when they are let go. It also owns
// every cipher that touches them, because Go's own key schedules and hash states are copies of the key: nobody else
// calls aes.NewCipher.
//
// It must not decide who may see a secret, know what the secret is for, or write it anywhere; it imports nothing of
// this project.
//
// How far the promise goes depends on the build. With GOEXPERIMENT=runtimesecret on Linux (amd64, arm64) registers,
// stacks and temporary objects of the work done here are erased as well. Other builds overwrite what Go lets them
// reach: the arena, the key schedules and the hash states, but not copies that the compiler or a preempted goroutine
// left on a stack.
package secret

import (
	"crypto/subtle"
	"errors"
)

var (
	// ErrLockLimit says that the system refused to lock the arena's memory. The wrapping error names the number to set.
	ErrLockLimit = errors.New("the limit on locked memory is too low")
	// ErrFull says that no free stretch of the arena is long enough.
	ErrFull = errors.New("the arena of locked memory is full")
	// ErrClosed says that the arena was closed.
	ErrClosed = errors.New("the arena of locked memory is closed")
	// ErrTooLong says that a source holds more bytes than the caller allowed.
	ErrTooLong = errors.New("longer than allowed")
	// ErrKey says that a key is wiped or of the wrong length.
	ErrKey = errors.New("the key is wiped or of the wrong length")
	// ErrOpen says that a ciphertext is not what was sealed under this key, nonce and associated data.
	ErrOpen = errors.New("the ciphertext does not open: wrong key, wrong context or changed data")
)

// Wipe overwrites b with zeros.
//
//go:noinline
func Wipe(b []byte) {
	// Not inlined, so that the compiler cannot find the stores dead and drop them.
	clear(b)
}

// Equal reports whether a and b hold the same bytes, in a time that depends on their lengths only.
func Equal(a, b []byte) bool {
	return subtle.ConstantTimeCompare(a, b) == 1
}
