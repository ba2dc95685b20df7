package deliver

import (
	"io"
	"strings"
	"testing"
)

// Output as a build prints it, with two secrets of a usual kind: nothing to redact, which is nearly always so.
func BenchmarkRedact(b *testing.B) {
	line := []byte(strings.Repeat("2026-11-21T10:00:00Z INFO compiled github.com/example/project/pkg/server in 1.23s (100% done)\n", 340))
	w := redactorOf("s3cr3t-Passw0rd!", "ghp_16C7e42F292c6912E7710c838347Ae178B4a").Writer(io.Discard)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewRedactor64KiB(b *testing.B) {
	secret := []byte(strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8c\n", 1024))
	b.ReportAllocs()
	for b.Loop() {
		NewRedactor([][]byte{secret})
	}
}
