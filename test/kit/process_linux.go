package kit

import "syscall"

// attributes ties a child's life to the test's, so that a test that is killed leaves nothing running.
func attributes(u *User) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if u != nil {
		attr.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: []uint32{u.GID}}
	}
	return attr
}
