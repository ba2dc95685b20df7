package workload

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is where control groups are made that parseCgroup looks at.
func hierarchy(t *testing.T) string {
	t.Helper()
	needRoot(t)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	unified := ""
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		_, kind, _ := strings.Cut(line, " - ")
		switch {
		case strings.HasPrefix(kind, "cgroup ") && strings.Contains(kind, "name=systemd"):
			return fields[4]
		case strings.HasPrefix(kind, "cgroup2 "):
			unified = fields[4]
		}
	}
	if unified == "" {
		t.Fatal("no control groups are mounted: mount -t cgroup2 none /sys/fs/cgroup")
	}
	return unified
}

// makeGroup makes a control group, and takes it and what it stands in away at the end.
func makeGroup(t *testing.T, path string) (procs string) {
	t.Helper()
	root := hierarchy(t)
	dir := filepath.Join(root, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(time.Minute); dir != root; dir = filepath.Dir(dir) {
			for errors.Is(syscall.Rmdir(dir), syscall.EBUSY) && filepath.Base(dir) == filepath.Base(path) && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond) // a killed process stays in it for a moment
			}
		}
	})
	return filepath.Join(dir, "cgroup.procs")
}

func move(t *testing.T, pid int32, procs string) {
	t.Helper()
	if err := os.WriteFile(procs, fmt.Append(nil, pid), 0); err != nil {
		t.Fatal(err)
	}
}

// unique is a name that no other run of this test has.
func unique(format string) string { return fmt.Sprintf(format, strings.ToLower(rand.Text())) }

func TestUnitAndContainer(t *testing.T) {
	t.Parallel()
	service, id := unique("strongroom-%s.service"), hex.EncodeToString([]byte(rand.Text() + rand.Text())[:32])
	for _, tt := range []struct{ what, path, unit, container string }{
		{"a service", "/system.slice/" + service, service, ""},
		{"a group that the service made", "/system.slice/" + service + "/sshd.service", service, ""},
		{"an escaped name", "/system.slice/" + `a\x2d` + service, `a\x2d` + service, ""},
		{"a user's group called like a service", "/user.slice/user-54321.slice/user@54321.service/system.slice/" + service, "user@54321.service", ""},
		{"a container", "/docker/" + id, "", id},
		{"a service in a container", "/system.slice/docker-" + id + ".scope/system.slice/" + service, "docker-" + id + ".scope", id},
	} {
		procs := makeGroup(t, tt.path)
		path, l := listen(t)
		cmd, conn := start(t, l, stranger(t), nil, "dial", path)
		move(t, int32(cmd.Process.Pid), procs)
		c := attest(t, conn)
		if c.Unit != tt.unit || c.Container != tt.container {
			t.Errorf("%s: unit %q, container %q; want %q, %q", tt.what, c.Unit, c.Container, tt.unit, tt.container)
		}
		if err := c.Recheck(); err != nil {
			t.Errorf("%s: Recheck: %v", tt.what, err)
		}
	}
}

func TestMovedIsChanged(t *testing.T) {
	t.Parallel()
	a, b := makeGroup(t, "/system.slice/"+unique("a-%s.service")), makeGroup(t, "/system.slice/"+unique("b-%s.service"))
	path, l := listen(t)
	cmd, conn := start(t, l, stranger(t), nil, "dial", path)
	move(t, int32(cmd.Process.Pid), a)
	c := attest(t, conn)
	if err := c.Recheck(); err != nil {
		t.Fatal(err)
	}
	move(t, int32(cmd.Process.Pid), b)
	if err := c.Recheck(); !errors.Is(err, ErrChanged) {
		t.Errorf("Recheck in another unit: %v, want ErrChanged", err)
	}
}

// Our own binary asks for the job that started it, but not for what started its unit or container: a service whose
// ExecStart= is our exec is itself the job, and init is not.
func TestOwnBinaryAcrossUnits(t *testing.T) {
	t.Parallel()
	unit := unique("strongroom-%s.service")
	procs := makeGroup(t, "/system.slice/"+unit)
	path, l := listen(t)
	exe := stranger(t)
	cmd, conn := start(t, l, exe, nil, ownBinary(t), "dial", path)
	c := attest(t, conn)
	if c.Exe != exe || c.PID != int32(cmd.Process.Pid) {
		t.Fatalf("job is %d %q, want the stranger, %d", c.PID, c.Exe, cmd.Process.Pid)
	}
	own := c.peer.connected.pid
	move(t, own, procs)
	if c := attest(t, conn); c.Unit != unit || c.Exe != "" || c.PID != own || c.ExeSHA256(t.Context()) != "" {
		t.Errorf("job is %d %q in %q, want our own process %d in %s, without an executable", c.PID, c.Exe, c.Unit, own, unit)
	}
	move(t, int32(cmd.Process.Pid), procs)
	if c := attest(t, conn); c.Unit != unit || c.Exe != exe || c.PID != int32(cmd.Process.Pid) {
		t.Errorf("both in the unit: job is %d %q in %q, want the stranger again", c.PID, c.Exe, c.Unit)
	}
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestHashOfTheExecutable(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	exe, other := stranger(t), stranger(t)
	f, err := os.OpenFile(other, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("more"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, conn := start(t, l, exe, nil, "dial", path)
	_, conn2 := start(t, l, other, nil, "dial", path)
	a, b := attest(t, conn).ExeSHA256(t.Context()), attest(t, conn2).ExeSHA256(t.Context())
	if a != sumOf(t, exe) || b != sumOf(t, other) || a == b {
		t.Errorf("%s and %s, want %s and %s", a, b, sumOf(t, exe), sumOf(t, other))
	}
	c := attest(t, conn)
	if err := os.Remove(exe); err != nil {
		t.Fatal(err)
	}
	if sum := c.ExeSHA256(t.Context()); sum != "" {
		t.Errorf("a deleted file has the hash %s", sum)
	}
}

func TestOtherMountNamespaceHasNoHash(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path, l := listen(t)
	_, conn := start(t, l, stranger(t), &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}, "dial", path)
	if sum := attest(t, conn).ExeSHA256(t.Context()); sum != "" {
		t.Errorf("the hash is %s, want none", sum)
	}
}

// A process that becomes another program is no longer what it was, even if that program took the other's name.
func TestAnotherProgramOfTheSameName(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	exe, evil := stranger(t), stranger(t)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), rolesVariable+"="+strings.Join([]string{"exec", path, evil, exe}, ","))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := l.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	before := attest(t, conn)
	if err := before.Recheck(); err != nil || before.Exe != exe {
		t.Fatalf("%q, %v", before.Exe, err)
	}
	becomes(t, conn, out)
	if after := attest(t, conn); after.Exe != exe || after.PID != before.PID {
		t.Fatalf("afterwards it is %d %q: the test proves nothing", after.PID, after.Exe)
	}
	if err := before.Recheck(); !errors.Is(err, ErrChanged) {
		t.Errorf("Recheck: %v, want ErrChanged", err)
	}
	if sum := before.ExeSHA256(t.Context()); sum != "" {
		t.Errorf("it has the hash %s", sum)
	}
}

func becomes(t *testing.T, conn *net.UnixConn, out io.Reader) {
	t.Helper()
	if err := out.(*os.File).SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 5)
	if n, err := out.Read(said); err != nil || !bytes.Equal(said[:n], []byte("here\n")) {
		t.Fatalf("it said %q, %v", said[:n], err)
	}
}

func statOf(t *testing.T, f *os.File) fileID {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	return idOf(s)
}

func TestWhatIsNotHashed(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	id := func() fileID { return statOf(t, f) }
	for {
		if err := f.Chmod(0o600); err != nil { // which changes it now
			t.Fatal(err)
		}
		changed := time.Now()
		if sum, err := hashOf(t.Context(), f, id()); err != nil || sum != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
			t.Errorf("an empty file: %s, %v", sum, err)
		}
		_, ok := remembered(id())
		if time.Since(changed) > settled/2 {
			continue // it may have settled meanwhile
		}
		if ok {
			t.Error("a file that was made just now is remembered: its next change could go unseen")
		}
		break
	}
	was := id()
	if err := f.Truncate(1); err != nil {
		t.Fatal(err)
	}
	if _, err := hashOf(t.Context(), f, was); !errors.Is(err, errNotHashed) {
		t.Errorf("another file than was looked at: %v", err)
	}
	if err := f.Truncate(512<<20 + 1); err != nil {
		t.Fatal(err)
	}
	if _, err := hashOf(t.Context(), f, id()); !errors.Is(err, errNotHashed) {
		t.Errorf("more than 512 MiB: %v", err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := hashOf(t.Context(), dir, statOf(t, dir)); !errors.Is(err, errNotHashed) {
		t.Errorf("a folder: %v", err)
	}
}

func TestHashesAreRemembered(t *testing.T) {
	t.Parallel()
	now := time.Now()
	id := fileID{dev: 1 << 40, ino: 1}
	id.ctime.Sec = now.Add(-time.Hour).Unix()
	remember(id, "aa", now)
	if sum, ok := remembered(id); !ok || sum != "aa" {
		t.Errorf("%s, %t", sum, ok)
	}
	for _, change := range []func(*fileID){
		func(id *fileID) { id.dev++ }, func(id *fileID) { id.ino++ }, func(id *fileID) { id.size++ },
		func(id *fileID) { id.mtime.Nsec++ }, func(id *fileID) { id.ctime.Nsec++ },
	} {
		other := id
		change(&other)
		if _, ok := remembered(other); ok {
			t.Errorf("%+v is taken for %+v", other, id)
		}
	}
	for n := range 3000 {
		id.ino = uint64(n + 2)
		remember(id, "bb", now)
	}
	hashes.mu.Lock()
	defer hashes.mu.Unlock()
	if len(hashes.of) > 1024 {
		t.Errorf("%d hashes are remembered", len(hashes.of))
	}
}
