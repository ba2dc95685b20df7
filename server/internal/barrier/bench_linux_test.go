package barrier

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// BenchmarkOpen is what unsealing takes: every record is read, decrypted and counted into the set hash. The time of the
// processors says more than the clock's where others use them, too.
func BenchmarkOpen(b *testing.B) {
	for _, records := range []int{10_000, 200_000, 1_000_000} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			s := newBench(b)
			fill(b, s.create(b), records)
			b.ResetTimer()
			for range b.N {
				began, used := time.Now(), processorTime(b)
				opened, err := Open(s.db, s.arena, s.root, vault)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(began).Nanoseconds())/float64(records), "ns/record")
				b.ReportMetric(float64((processorTime(b)-used).Nanoseconds())/float64(records), "cpu-ns/record")
				b.StopTimer()
				opened.Close()
				b.StartTimer()
			}
		})
	}
}

// processorTime is what this process has used.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
