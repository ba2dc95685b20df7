package kit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the test's own program is told by its environment when it is to become another: which, and in what way.
const (
	launchProgram = "KIT_LAUNCH_PROGRAM"
	launchPlain   = "KIT_LAUNCH_PLAIN_ARENA"
	launchLimit   = "KIT_LAUNCH_LOCK_LIMIT"
)

// launching prepares the command as c says. What a process can only do to itself is left to launch.
func (c Command) launching(cmd *exec.Cmd) {
	cmd.SysProcAttr = attributes(c.User)
	if c.User != nil {
		cmd.Dir = "/" // the test's own folder may be closed to that user
	}
	if !c.PlainArena && c.LockLimit == 0 {
		return
	}
	cmd.Env = append(cmd.Env, launchProgram+"="+cmd.Path, launchPlain+"="+strconv.FormatBool(c.PlainArena), launchLimit+"="+strconv.Itoa(c.LockLimit))
	cmd.Path = "/proc/self/exe"
}

// launch becomes the program that launching wants, and comes back where it wants none.
func launch() {
	program := os.Getenv(launchProgram)
	if program == "" {
		return
	}
	runtime.LockOSThread()
	err := limitLocking(os.Getenv(launchLimit))
	if os.Getenv(launchPlain) == "true" {
		err = errors.Join(err, forbid(unix.SYS_MEMFD_SECRET))
	}
	for _, name := range []string{launchProgram, launchPlain, launchLimit} {
		err = errors.Join(err, os.Unsetenv(name))
	}
	if err == nil {
		err = unix.Exec(program, os.Args, os.Environ())
	}
	fmt.Fprintln(os.Stderr, "launching", program, "failed:", err)
	os.Exit(125)
}

func limitLocking(bytes string) error {
	n, err := strconv.ParseUint(bytes, 10, 64)
	if err != nil || n == 0 {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: n, Max: n})
}

// forbid makes one system call fail with ENOSYS, for this thread and what it executes.
func forbid(call uint32) error {
	const number = 0 // where the filter finds that of the call
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}
