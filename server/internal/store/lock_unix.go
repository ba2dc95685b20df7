//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// initialMap is how much of the address space the file gets at first, in bytes. When the file outgrows its mapping the
// writer has to wait for all readers before it can be mapped anew, so that has to be rare; it costs no memory.
const initialMap = 1 << 28

// lock takes the lock that bbolt takes again afterwards on the same open file, where it succeeds at once: the file
// must not change while checkFile reads it.
func lock(f *os.File, wait time.Duration) error {
	const pause = 20 * time.Millisecond
	for end := time.Now().Add(wait); ; time.Sleep(pause) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(end) {
			return ErrLocked
		}
	}
}

func unlock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
