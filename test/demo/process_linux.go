package main

import "syscall"

// attributes keeps a terminal's Ctrl-C from the children, which close ends in their turn, and ties their life to ours.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
