//go:build unix

package admission

import "golang.org/x/sys/unix"

// Files is how many files this process may have open, connections among them. The store and the log need some of them:
// a listener's bound must leave them theirs.
func Files() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<20 {
		return 1 << 20
	}
	return int(limit.Cur)
}
