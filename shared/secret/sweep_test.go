package secret

import (
	"runtime"
	"testing"
	"time"
)

// A burst of calls is one sweep, of two collections; what is called after it began gets another.
func TestSweep(t *testing.T) {
	collections := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	within := func(limit time.Duration, want uint32) {
		t.Helper()
		for deadline := time.Now().Add(limit); collections() < want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d collections within %v, want %d", collections(), limit, want)
			}
		}
	}
	before := collections()
	for range 1000 {
		Sweep()
	}
	if now := collections(); now != before {
		t.Errorf("%d collections at once", now-before)
	}
	within(20*time.Second, before+2)
	time.Sleep(sweepDelay + 200*time.Millisecond)
	if now := collections(); now != before+2 {
		t.Errorf("a burst made %d collections, want 2", now-before)
	}
	Sweep()
	within(20*time.Second, before+4)
}
