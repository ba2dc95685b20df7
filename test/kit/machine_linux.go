package kit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Machine is a small Debian with a systemd of its own, booted in a container. It shares this machine's network, finds
// the three programs in /usr/local/bin, and ends with the test without a trace.
type Machine struct{ init string } // the process that is number one in there

// debianTime bounds making the folder that machines boot from, which takes a minute of two cores.
const debianTime = 10 * time.Minute

// NewMachine boots a machine. What the folder says is seen in it at the same path, read only.
func NewMachine(t testing.TB, folder string) *Machine {
	t.Helper()
	NeedRoot(t)
	container := exec.Command(part(t, "systemd-nspawn"), "--quiet", "--directory="+debian(t), "--volatile=overlay", "--register=no",
		"--keep-unit", "--boot", "--console=read-only", "--capability=CAP_IPC_LOCK", "--system-call-filter=memfd_secret",
		"--machine=strongroom-test", "--bind-ro="+Bin(t)+":/usr/local/bin", "--bind-ro="+folder)
	container.SysProcAttr = attributes(nil)
	var log strings.Builder
	container.Stdout, container.Stderr = &log, &log
	if err := container.Start(); err != nil {
		t.Fatal(err)
	}
	m := &Machine{}
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(m.init); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // all others end with it
		} else {
			_ = container.Process.Kill()
		}
		if _ = container.Wait(); t.Failed() {
			t.Logf("the machine's console:\n%s", log.String())
		}
	})
	children := fmt.Sprintf("/proc/%d/task/%[1]d/children", container.Process.Pid)
	Eventually(t, Patience, "a booted machine", func() bool {
		pids, err := os.ReadFile(children)
		if m.init = strings.TrimSpace(string(pids)); err != nil || m.init == "" || strings.Contains(m.init, " ") {
			return false
		}
		state := m.Run(t, "systemctl", "is-system-running").Stdout
		return state == "running\n" || state == "degraded\n"
	})
	return m
}

// Run runs a command in the machine.
func (m *Machine) Run(t testing.TB, program string, args ...string) Result {
	t.Helper()
	enter := Command{Program: part(t, "nsenter")}
	return enter.Run(t, append([]string{"--target=" + m.init, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--", program}, args...)...)
}

// debian makes the folder that machines boot from, once for all runs on this machine.
func debian(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "strongroom-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "bookworm")
	if _, err := os.Stat(root); err == nil {
		return root
	}
	t.Log("making a small Debian, once")
	partial := root + ".partial"
	ctx, cancel := context.WithTimeout(t.Context(), debianTime)
	defer cancel()
	for attempt := 1; ; attempt++ { // one download of many may fail
		if err := os.RemoveAll(partial); err != nil {
			t.Fatal(err)
		}
		made := exec.CommandContext(ctx, part(t, "debootstrap"), "--variant=minbase",
			"--include=systemd,systemd-sysv,dbus,libpam-systemd", "bookworm", partial)
		made.WaitDelay = time.Second
		out, err := made.CombinedOutput()
		if err == nil {
			break
		}
		if attempt == 3 || ctx.Err() != nil {
			t.Fatalf("debootstrap: %v\n%s", err, out)
		}
		t.Logf("debootstrap, once more: %v", err)
		time.Sleep(5 * time.Second)
	}
	if err := os.Rename(partial, root); err != nil {
		t.Fatal(err)
	}
	return root
}
