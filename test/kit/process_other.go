//go:build !linux

package kit

import "syscall"

// attributes has nothing to set here; the tests that act as other users run on Linux.
func attributes(*User) *syscall.SysProcAttr { return nil }
