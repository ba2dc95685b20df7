package secret

import (
	"runtime"
	"sync/atomic"
	"time"
)

// sweepDelay is how long Sweep waits for others that want a collection too, in order to make it one.
const sweepDelay = time.Second

// cleanupTime is ample for the cleanups of one collection.
const cleanupTime = 10 * time.Millisecond

var sweeping atomic.Bool // a collection is on its way and has not begun

// Sweep asks for garbage to be collected a second from now, and returns at once. It is called after secrets were let go
// or passed through: after a revocation, a wipe, a seal, an unseal, a lease. What was allocated within Do is erased when
// it is collected, and an idle program would not collect for minutes. However often it is called, garbage is collected
// at most once a second for it, and each call is followed by a collection that begins after it.
func Sweep() {
	if !sweeping.CompareAndSwap(false, true) {
		return
	}
	time.AfterFunc(sweepDelay, func() {
		sweeping.Store(false) // before the collection: who calls while it runs gets another
		runtime.GC()
		// What crypto/ecdsa and crypto/ed25519 cache of a private key is let go by a cleanup after the key was
		// collected, and is garbage only then.
		time.Sleep(cleanupTime)
		runtime.GC()
	})
}
