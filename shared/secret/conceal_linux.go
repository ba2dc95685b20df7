package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Conceal keeps the process's memory from other processes of the same user and
// out of core files: nobody but root can attach to it (prctl(2),
// PR_SET_DUMPABLE). It is called once, before there are secrets.
func Conceal() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("secret: forbid core dumps: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("secret: forbid core dumps: %w", err)
	}
	return nil
}
