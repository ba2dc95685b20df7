package test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// debug runs a debugger's command as a user, in a folder that the user may write to.
func debug(t *testing.T, u kit.User, dir, program string, args ...string) kit.Result {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: run tools/parts.sh gcore", err)
	}
	return kit.Command{Program: path, User: &u, Env: []string{"HOME=" + dir}}.Run(t, args...)
}

// holder is a process of a user that has a canary on its heap: the control.
func holder(t *testing.T, u kit.User, canary string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -c unlimited; read -r held; echo ready; read -r end`)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.UID, Gid: u.GID}}
	c.Dir = kit.Dir(t)
	giveTo(t, u, c.Dir) // for its core file
	stdin, err1 := c.StdinPipe()
	stdout, err2 := c.StdoutPipe()
	if err1 != nil || err2 != nil || c.Start() != nil {
		t.Fatal("the holder does not start")
	}
	if _, err := fmt.Fprintln(stdin, canary); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, len("ready\n"))
	if _, err := stdout.Read(ready); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
	return c
}

// Nobody but root gets at the memory of the two daemons, who are run as an ordinary user here: not a process of that
// user, and no core file.
func TestDaemonsAreConcealed(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	dir := kit.Dir(t)
	giveTo(t, kit.Nobody, dir)
	way := kit.Command{
		User: &kit.Nobody, Env: []string{"GOTRACEBACK=crash"}, // which makes SIGABRT ask for a core file
		Through: []string{"/bin/sh", "-c", `cd "$0"; ulimit -c unlimited; exec "$@"`, dir}, // where the user could leave it
	}
	server := kit.NewServer(t)
	server.Stop()
	giveTo(t, kit.Nobody, filepath.Dir(server.Data))
	server.Way = way
	server.Start(t)
	host := kit.NewAgent(t)
	host.Enroll(t, server.JoinString(t)).Want(t, 0)
	giveTo(t, kit.Nobody, filepath.Dir(host.State))
	host.Way = way
	host.Start(t)
	host.Connected(t)

	read := func(pid int) int {
		return debug(t, kit.Nobody, dir, "dd", fmt.Sprintf("if=/proc/%d/mem", pid), "of=/dev/null", "count=0").Code
	}
	attach := func(pid int) bool {
		core := filepath.Join(dir, "core")
		r := debug(t, kit.Nobody, dir, "gcore", "-o", core, fmt.Sprint(pid))
		_, err := os.Stat(fmt.Sprintf("%s.%d", core, pid))
		if (r.Code == 0) != (err == nil) {
			t.Errorf("gcore ended with %d, and its file: %v\n%s", r.Code, err, r.Stderr)
		}
		return err == nil
	}
	plain := holder(t, kit.Nobody, "a canary").Process.Pid
	var of syscall.Stat_t
	if err := syscall.Stat(fmt.Sprintf("/proc/%d/mem", plain), &of); err != nil || of.Uid != kit.Nobody.UID {
		t.Errorf("control: a plain process's memory is a file of user %d (%v)", of.Uid, err)
	}
	if read(plain) != 0 || !attach(plain) {
		t.Error("control: a plain process of the user cannot be read by the user")
	}
	for name, p := range map[string]*kit.Process{"agent": host.Process, "server": server.Process} {
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Pid()))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(limits), "Max core file size        0                    0 ") {
			t.Errorf("%s may leave core files:\n%s", name, limits)
		}
		// The files of a process that may not be dumped are root's, whoever runs it (proc(5)).
		var of syscall.Stat_t
		if err := syscall.Stat(fmt.Sprintf("/proc/%d/mem", p.Pid()), &of); err != nil || of.Uid != 0 {
			t.Errorf("%s may be dumped: its memory is a file of user %d (%v)", name, of.Uid, err)
		}
		if read(p.Pid()) == 0 || attach(p.Pid()) {
			t.Errorf("a process of the same user gets at the %s's memory", name)
		}
		if dumpsCore(t, p.Pid(), func() *os.ProcessState { return p.AwaitEnd() }) {
			t.Errorf("the %s leaves a core file", name)
		}
	}
	c := holder(t, kit.Nobody, "a canary")
	if !dumpsCore(t, c.Process.Pid, func() *os.ProcessState { _ = c.Wait(); return c.ProcessState }) {
		pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
		// Where it is piped to a program, it is for that one to take it or not, and gcore alone is the control.
		if err != nil || !strings.HasPrefix(string(pattern), "|") || !attach(holder(t, kit.Nobody, "a canary").Process.Pid) {
			t.Errorf("control: a plain process leaves no core file either (core_pattern %q, %v)", pattern, err)
		}
	}
}

// dumpsCore lifts a process's limit, as only root with CAP_SYS_RESOURCE can, and aborts it.
func dumpsCore(t *testing.T, pid int, ended func() *os.ProcessState) bool {
	t.Helper()
	r := debug(t, kit.User{Name: "root"}, "/", "prlimit", "--pid", fmt.Sprint(pid), "--core=unlimited:unlimited")
	if r.Code != 0 {
		t.Logf("the limit on core files of process %d stays: %s", pid, r.Stderr)
	}
	if err := syscall.Kill(pid, syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	status := ended().Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Errorf("process %d ended with %v, want SIGABRT", pid, status)
	}
	return status.CoreDump()
}

// roomyDir is in memory where there is room for core files, which have all that Go reserves: it is quicker.
func roomyDir(t *testing.T) string {
	t.Helper()
	const parent, room = "/dev/shm", 6 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(parent, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < room {
		return kit.Dir(t)
	}
	dir, err := os.MkdirTemp(parent, "sr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A core file that root makes has no value in it: the agent's arena is a plain one here, which is only left out of
// dumps. One of memfd_secret cannot be read at all.
func TestCoreFilesHoldNoValue(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	host := server.EnrollInWay(t, kit.Command{PlainArena: true})
	canary := rand.Text() + rand.Text()
	secret := kit.Text("canary", canary)
	addLogin(t, server.Admin, "crm", canary)
	server.Admin.Do(t, "grant", "add", "all", "--credential", "crm", "--any-host")
	password(t, host.Run(t, "get", "crm", "--field", "password"), canary)
	root, dir := kit.User{Name: "root"}, roomyDir(t)
	core := func(pid int) kit.Scan {
		t.Helper()
		prefix := filepath.Join(dir, "core")
		file := fmt.Sprintf("%s.%d", prefix, pid)
		r := debug(t, root, dir, "gcore", "-o", prefix, fmt.Sprint(pid)).Want(t, 0)
		s := kit.Search(t, file, secret)
		if s.Bytes < 1<<16 {
			t.Errorf("a core file of %d bytes\n%s", s.Bytes, r.Stderr)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := core(holder(t, root, canary).Process.Pid); len(s.Found) == 0 {
		t.Error("control: the core file of a process that holds it lacks the canary")
	}
	if s := kit.Memory(t, host.Pid(), secret); len(s.Arena) == 0 {
		t.Error("control: the agent does not hold the canary")
	}
	for name, p := range map[string]*kit.Process{"server": server.Process, "agent": host.Process} {
		s := core(p.Pid())
		t.Logf("%s: %v", name, s)
		if len(s.Found) > 0 {
			t.Errorf("the core file of the %s holds the canary", name)
		}
	}
}
