//go:build goexperiment.runtimesecret && linux && (amd64 || arm64)

package secret

import "runtime/secret"

// Do calls f and erases the registers and the stack it used before it returns; objects that f allocated are erased
// when they are collected. Goroutines that f starts are not covered, so it must start none, and only ciphertext may
// leave it. In builds without GOEXPERIMENT=runtimesecret, or elsewhere than Linux on amd64 and arm64, it only calls f.
func Do(f func()) { secret.Do(f) }
