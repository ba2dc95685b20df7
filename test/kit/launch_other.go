//go:build !linux

package kit

import "os/exec"

// launching has nothing to prepare: the ways in which a command can be run are Linux's.
func (c Command) launching(*exec.Cmd) {}

func launch() {}
