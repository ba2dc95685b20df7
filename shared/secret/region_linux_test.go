package secret

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/test/kit"
)

// regions are both ways to get memory, since a machine's kernel takes only one of them by itself.
var regions = map[string]struct {
	make  func(size int) (*region, error)
	flags []string // of /proc/PID/smaps: lo locked, dd not dumped, dc not copied on fork, wf wiped on fork
	child error    // what a forked child gets on reading
}{
	"memfd_secret": {hiddenRegion, []string{"lo", "dd", "dc"}, unix.EFAULT},
	"mlock":        {lockedRegion, []string{"lo", "dd", "wf"}, nil},
}

func eachRegion(t *testing.T, f func(t *testing.T, name string, a *Arena)) {
	t.Parallel()
	for name, kind := range regions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size := 4 * os.Getpagesize()
			r, err := kind.make(size)
			if errors.Is(err, unix.ENOSYS) {
				kit.Missing(t, "memfd_secret, which this kernel does not have; mlock is what NewArena uses here")
			}
			if err != nil {
				t.Fatal(err)
			}
			a := newArena(r)
			t.Cleanup(func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
			f(t, name, a)
		})
	}
}

func TestRegionHoldsSecrets(t *testing.T) {
	eachRegion(t, func(t *testing.T, _ string, a *Arena) {
		whole := mustNew(t, a, a.Size())
		fillWith(whole.Reveal(), 'x')
		whole.Wipe()
		key := holding(t, a, "0123456789abcdef0123456789abcdef")
		nonce := make([]byte, NonceSize)
		ciphertext, err := Seal(nil, key, nonce, []byte("value"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := a.Open(key, nonce, ciphertext, nil); err != nil || string(s.Reveal()) != "value" {
			t.Errorf("opened %q, %v", s.Reveal(), err)
		}
	})
}

func TestRegionIsLockedAndLeftOutOfDumps(t *testing.T) {
	eachRegion(t, func(t *testing.T, name string, a *Arena) {
		got := mappingFlags(t, a.region.bytes())
		for _, flag := range regions[name].flags {
			if !slices.Contains(got, flag) {
				t.Errorf("the mapping has no flag %q: %v", flag, got)
			}
		}
		// Control: an ordinary mapping has none of them.
		plain, err := unix.Mmap(-1, 0, len(a.region.bytes()), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(plain)
		for _, flag := range mappingFlags(t, plain) {
			if slices.Contains(regions[name].flags, flag) {
				t.Errorf("control: an ordinary mapping has the flag %q", flag)
			}
		}
	})
}

// mappingFlags are the VmFlags of the mapping that b lies in.
func mappingFlags(t *testing.T, b []byte) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	inside := false
	s := bufio.NewScanner(f)
	for s.Scan() {
		var low, high uintptr
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x ", &low, &high); n == 2 {
			inside = low <= at && at < high
		} else if flags, ok := strings.CutPrefix(s.Text(), "VmFlags:"); ok && inside {
			return strings.Fields(flags)
		}
	}
	t.Fatalf("no mapping holds %#x: %v", at, s.Err())
	return nil
}

func TestForkedChildHasNoSecrets(t *testing.T) {
	eachRegion(t, func(t *testing.T, name string, a *Arena) {
		b := holding(t, a, canary)
		got, err := readInChild(t, b.Reveal())
		if !errors.Is(err, regions[name].child) || leaks(got) {
			t.Errorf("a forked child reads %q, %v", got, err)
		}
		if string(b.Reveal()) != canary {
			t.Error("the fork changed the parent's secret")
		}
		// Control: ordinary mapped memory is copied to the child.
		plain, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(plain)
		copy(plain, canary)
		if got, err := readInChild(t, plain[:len(canary)]); got != canary || err != nil {
			t.Errorf("control: a forked child reads %q, %v", got, err)
		}
	})
}

// readInChild returns what a child forked without exec finds at b.
func readInChild(t *testing.T, b []byte) (string, error) {
	t.Helper()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	pid, errno := forkWrite(uintptr(pipe[1]), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		t.Fatal(errno)
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(int(pid), &status, 0, nil); err == nil {
			break
		} else if !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
	}
	if !status.Exited() {
		t.Fatalf("the child ended with %v", status)
	}
	if code := status.ExitStatus(); code != 0 {
		return "", unix.Errno(code)
	}
	got := make([]byte, len(b))
	n, err := unix.Read(pipe[0], got)
	return string(got[:max(n, 0)]), err
}

// forkWrite forks a child that writes n bytes at address at to fd and exits with the error's number. The child has one
// thread of a Go program and may do nothing but system calls.
//
//go:norace
//go:nosplit
func forkWrite(fd, at, n uintptr) (pid uintptr, errno syscall.Errno) {
	pid, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	_, _, errno = syscall.RawSyscall(syscall.SYS_WRITE, fd, at, n)
	for {
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
}

// TestCloseZeroesTheMemory looks at an arena's pages through a second mapping, since its own is gone by then.
func TestCloseZeroesTheMemory(t *testing.T) {
	t.Parallel()
	size := os.Getpagesize()
	fd, err := unix.MemfdCreate("arena", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	var views [2][]byte
	for i := range views {
		if views[i], err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			t.Fatal(err)
		}
	}
	defer unix.Munmap(views[1])
	a := newArena(&region{unsafe.Pointer(unsafe.SliceData(views[0])), size})
	holding(t, a, canary)
	if !strings.HasPrefix(string(views[1]), canary) {
		t.Fatal("control: the second mapping does not show the secret")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Trim(string(views[1]), "\x00") != "" {
		t.Error("the memory still holds the secret")
	}
}

func TestReadFileDoesNotWaitForAPipe(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := a.ReadFile(path, 10)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("ReadFile of a pipe succeeded")
		}
	case <-time.After(time.Minute):
		t.Fatal("ReadFile waits for a writer")
	}
}

const limitedChild = "SECRET_TEST_LIMITED"

// TestLockLimitNamesTheNumber runs itself as a process that may lock 64 KiB only and has 16 KiB of them in use.
func TestLockLimitNamesTheNumber(t *testing.T) {
	if os.Getenv(limitedChild) != "" {
		lockBeyondLimit(t)
		return
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLockLimitNamesTheNumber$", "-test.v")
	cmd.Env = append(os.Environ(), limitedChild+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func lockBeyondLimit(t *testing.T) {
	// Never unlocked: the thread without the capability ends with the goroutine.
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	caps[0].Effective &^= 1 << unix.CAP_IPC_LOCK
	if err := unix.Capset(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	a, err := NewArena(16 << 10)
	if err != nil {
		t.Fatalf("control: an arena within the limit: %v", err)
	}
	defer a.Close()
	_, err = NewArena(64 << 10)
	if !errors.Is(err, ErrLockLimit) || !strings.Contains(err.Error(), "LimitMEMLOCK=81920") ||
		!strings.Contains(err.Error(), "ulimit -l 80") {
		t.Errorf("an arena beyond the limit: %v", err)
	}
}
