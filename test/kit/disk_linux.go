package kit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// Disk makes a file system of so many bytes, in memory, that ends with the test: a disk that can be full without hurting
// anybody. It needs root, as CI is.
func Disk(t testing.TB, bytes int64) string {
	t.Helper()
	NeedRoot(t)
	dir := Dir(t)
	if err := syscall.Mount("strongroom-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0711", bytes)); err != nil {
		t.Fatalf("this test mounts a small disk, which needs the right to: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Fill takes all the room that dir's disk has left, but for so many bytes, in a file that it returns. Who removes that
// has the room back. What ends within a block may still grow to its end.
func Fill(t testing.TB, dir string, but int64) (file string) {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler-")
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for size := len(block); size > 0; {
		_, err := f.Write(block[:size])
		if errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if but > info.Size() {
		t.Fatalf("%s has %d bytes left, not %d", dir, info.Size(), but)
	}
	if err := errors.Join(f.Truncate(info.Size()-but), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// Free is how many bytes the disk of dir has left.
func Free(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
