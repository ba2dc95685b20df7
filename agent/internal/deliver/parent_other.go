//go:build !linux

package deliver

import "syscall"

func diesWithUs() *syscall.SysProcAttr { return nil }
