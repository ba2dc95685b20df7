package audit

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend is to be read beside BenchmarkFloor of the same run: a bare write and fsync of as many bytes.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			a := newArena(b)
			dir := filepath.Join(b.TempDir(), "audit")
			if _, _, err := Create(dir, a, testVault); err != nil {
				b.Fatal(err)
			}
			l, err := Open(dir, a)
			if err != nil {
				b.Fatal(err)
			}
			e := Entry{Actor: "host/5f1c", Action: "credential.read", Target: "salesforce-prod", Host: "5f1c", Job: "user=ci", Outcome: Allowed}
			spread(b, writers, func() error {
				_, err := l.Append(b.Context(), e)
				return err
			})
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkFloor(b *testing.B) {
	file, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	line := make([]byte, 175)
	for b.Loop() {
		if _, err := file.Write(line); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// spread runs f b.N times in a number of goroutines.
func spread(b *testing.B, writers int, f func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, writers)
	b.ResetTimer()
	for range writers {
		go func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
}
