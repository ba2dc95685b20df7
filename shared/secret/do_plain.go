//go:build !(goexperiment.runtimesecret && linux && (amd64 || arm64))

package secret

// Do calls f. Built with GOEXPERIMENT=runtimesecret for Linux on amd64 or arm64, it also erases the registers and the
// stack that f used before it returns, and the objects that f allocated when they are collected. Goroutines that f
// starts are not covered, so it must start none, and only ciphertext may leave it.
func Do(f func()) { f() }
