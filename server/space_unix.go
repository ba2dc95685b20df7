//go:build unix

package server

import "syscall"

// freeSpace is what an ordinary user can still write to the disk of a folder, in
// bytes; -1: not known.
func freeSpace(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
