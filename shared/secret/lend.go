package secret

// Lend copies a secret into a string in ordinary memory, for a library that takes nothing else, such as net/http for
// its headers. It is the one way there, so that every crossing can be found by name; ARCHITECTURE.md lists them. The
// copy cannot be wiped: with GOEXPERIMENT=runtimesecret it is erased when it is collected, and the library's own
// copies of it are not.
func Lend(b []byte) string {
	var s string
	Do(func() { s = string(b) })
	return s
}
