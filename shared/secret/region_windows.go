package secret

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// newRegion locks committed pages. Windows has no fork, and a page locked with VirtualLock is not written to the page
// file; crash dumps are the installer's to switch off.
func newRegion(size int) (*region, error) {
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	at, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_COMMIT|windows.MEM_RESERVE, windows.PAGE_READWRITE)
	if err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", size, err)
	}
	if err := lock(at, uintptr(size)); err != nil {
		_ = windows.VirtualFree(at, 0, windows.MEM_RELEASE)
		return nil, err
	}
	return &region{pointer(at), size}, nil
}

// pointer is the way round vet, which cannot tell an address that Go's collector does not own from a stale pointer into
// its heap.
func pointer(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// lock grows the process's minimum working set first, since that, less some overhead, is what it may lock.
func lock(at, size uintptr) error {
	var low, high uintptr
	var flags uint32
	process := windows.CurrentProcess()
	windows.GetProcessWorkingSetSizeEx(process, &low, &high, &flags)
	low, high = low+size, high+size
	if err := windows.SetProcessWorkingSetSizeEx(process, low, high, flags); err != nil {
		return fmt.Errorf("%w: a minimum working set of %d bytes was refused: %w; give the service's account the right "+
			"SeIncreaseWorkingSetPrivilege, or set the job object's minimum to %d", ErrLockLimit, low, err, low)
	}
	if err := windows.VirtualLock(at, size); err != nil {
		return fmt.Errorf("%w: locking %d bytes: %w; the minimum working set must be at least %d",
			ErrLockLimit, size, err, low)
	}
	return nil
}

func (r *region) release() error {
	at := uintptr(r.start)
	if err := windows.VirtualUnlock(at, uintptr(r.size)); err != nil {
		return fmt.Errorf("unlocking the arena: %w", err)
	}
	if err := windows.VirtualFree(at, 0, windows.MEM_RELEASE); err != nil {
		return fmt.Errorf("unmapping the arena: %w", err)
	}
	return nil
}
