//go:build !linux

package main

import "syscall"

// attributes has nothing to set here: the demo's server runs on Linux.
func attributes() *syscall.SysProcAttr { return nil }
