package audit

import (
	"errors"
	"os"
	"syscall"
)

// allocate takes up room for a file, all of it or an error.
func allocate(file *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(file.Fd()), 0, 0, size)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR): // the runtime interrupts its threads
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fill(file, size)
		default:
			return os.NewSyscallError("fallocate "+file.Name(), err)
		}
	}
}

// freeRoom is how many bytes may still be written below dir.
func freeRoom(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
