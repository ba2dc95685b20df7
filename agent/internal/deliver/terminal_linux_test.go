package deliver

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal answers both ends of a new pseudo-terminal.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number uint32
	err2 := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// Ctrl-C reaches the command through the terminal, and not a second time through us. A termination does reach it.
func TestRunOnATerminal(t *testing.T) {
	t.Parallel()
	master, slave := openTerminal(t)
	cmd := runner(t, "sh", "-c", `trap 'echo INT' INT; trap 'echo TERM; exit 9' TERM; test -t 0 && echo terminal; while :; do sleep 0.01; done`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := master.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(master)
	next := func() string {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		return strings.TrimSpace(strings.ReplaceAll(line, "^C", "")) // which the terminal writes before or after what comes of it
	}
	if line := next(); line != "terminal" {
		t.Fatalf("the command's stdin is no terminal: %q", line)
	}
	if _, err := master.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if line := next(); line != "INT" {
		t.Fatalf("after Ctrl-C: %q", line)
	}
	// Two at once would count as one, so the second is made to come later.
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // for the command to get it, if it does
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if line := next(); line != "TERM" {
		t.Errorf("after one Ctrl-C and a termination: %q, want TERM", line)
	}
	wantExit(t, cmd, 9)
}
