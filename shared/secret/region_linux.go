package secret

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newRegion prefers memfd_secret, which hides the pages from the kernel's own map as well, so that not even root reads
// them through /proc/PID/mem. Kernels without it (before 5.14, or switched off) give plain locked pages.
func newRegion(size int) (*region, error) {
	page := os.Getpagesize()
	size = (size + page - 1) / page * page
	if r, err := hiddenRegion(size); err == nil {
		return r, nil
	}
	return lockedRegion(size)
}

func hiddenRegion(size int) (*region, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_secret: %w", err)
	}
	// The mapping keeps the memory; with the descriptor gone nothing can map it a second time.
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, fmt.Errorf("sizing the secret memory: %w", err)
	}
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, mappingError("mapping the secret memory", size, err)
	}
	// The kernel refuses MADV_WIPEONFORK for shared mappings, so a child gets no mapping at all.
	return advise(b, unix.MADV_DONTFORK)
}

func lockedRegion(size int) (*region, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("mapping %d bytes: %w", size, err)
	}
	if err := unix.Mlock(b); err != nil {
		return nil, errors.Join(mappingError("locking the arena", size, err), unix.Munmap(b))
	}
	return advise(b, unix.MADV_WIPEONFORK)
}

// advise keeps b out of core dumps and, as onFork says, away from children, and touches every page, so that a lack of
// memory shows now and not in the middle of a decryption.
func advise(b []byte, onFork int) (*region, error) {
	for _, advice := range []int{unix.MADV_DONTDUMP, onFork} {
		if err := unix.Madvise(b, advice); err != nil {
			return nil, errors.Join(fmt.Errorf("protecting the arena (madvise %d): %w", advice, err), unix.Munmap(b))
		}
	}
	Wipe(b)
	return &region{unsafe.Pointer(unsafe.SliceData(b)), len(b)}, nil
}

func (r *region) release() error {
	if err := unix.Munmap(r.bytes()); err != nil {
		return fmt.Errorf("unmapping the arena: %w", err)
	}
	return nil
}

func mappingError(doing string, size int, err error) error {
	if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	need := size + lockedBytes()
	return fmt.Errorf("%w: %s of %d bytes: %w; set LimitMEMLOCK=%d in the systemd unit (or `ulimit -l %d`), "+
		"or give the process CAP_IPC_LOCK", ErrLockLimit, doing, size, err, need, (need+1023)/1024)
}

// lockedBytes is how much this process has locked already, which counts against the same limit; 0 if unknown.
func lockedBytes() int {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmLck:"); ok {
			var kib int
			_, _ = fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kib)
			return kib * 1024
		}
	}
	return 0
}
