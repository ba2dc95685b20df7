package secret

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A burst of calls is one sweep, of two collections; what is called after it began gets another.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		collections := func() uint32 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.NumForcedGC
		}
		after := func(wait time.Duration) uint32 {
			time.Sleep(wait)
			synctest.Wait()
			return collections()
		}
		before := collections()
		for range 1000 {
			Sweep()
		}
		if now := after(sweepDelay - 1); now != before {
			t.Errorf("%d collections at once", now-before)
		}
		if now := after(1 + cleanupTime); now != before+2 || sweepDelay+cleanupTime > 1100*time.Millisecond {
			t.Errorf("a burst made %d collections within %v, want 2 within about a second", now-before, sweepDelay+cleanupTime)
		}
		if now := after(time.Hour); now != before+2 {
			t.Errorf("an hour after a burst there were %d collections, want 2", now-before)
		}
		Sweep()
		if now := after(sweepDelay + cleanupTime); now != before+4 {
			t.Errorf("a call after the burst made %d collections, want 2", now-before-2)
		}
	})
}
