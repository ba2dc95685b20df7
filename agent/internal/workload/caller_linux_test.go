package workload

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// The test binary is the agent's "own binary" here, and a copy of it is a stranger. Both play the parts below.
const rolesVariable = "STRONGROOM_TEST_ROLES"

func TestMain(m *testing.M) {
	roles := os.Getenv(rolesVariable)
	if roles == "" {
		os.Exit(m.Run())
	}
	os.Exit(play(strings.Split(roles, ",")))
}

// play runs the first role; a role that is a path starts that program with the rest of the roles.
func play(roles []string) int {
	switch role := roles[0]; {
	case role == "dial": // connect, and stay until the other end hangs up
		conn, err := net.Dial("unix", roles[1])
		if err != nil {
			return 1
		}
		_, _ = io.Copy(io.Discard, conn)
		return 0
	case role == "exec": // connect, and on a byte become the program in roles[2], which is put in the place of one's own
		conn, err := net.Dial("unix", roles[1])
		if err != nil {
			return 1
		}
		f, err := conn.(*net.UnixConn).File()
		if err != nil {
			return 1
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return 1
		}
		self := roles[3]
		if os.Rename(roles[2], self) != nil || syscall.Dup3(int(f.Fd()), 0, 0) != nil { // which stays open, unlike f
			return 1
		}
		if os.Setenv(rolesVariable, "stay") == nil {
			_ = syscall.Exec(self, []string{self}, os.Environ())
		}
		return 1
	case role == "stay": // with the connection that is the standard input
		_, _ = os.Stdout.WriteString("here\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return 0
	case role == "leave": // connect, hand the connection to a process that stays, and end
		conn, err := net.Dial("unix", roles[1])
		if err != nil {
			return 1
		}
		f, err := conn.(*net.UnixConn).File()
		if err != nil {
			return 1
		}
		heir := exec.Command("sleep", "60")
		heir.Stdin = f
		if heir.Start() != nil {
			return 1
		}
		return 0
	default:
		next := exec.Command(role)
		next.Env = append(os.Environ(), rolesVariable+"="+strings.Join(roles[1:], ","))
		next.Stdin = os.Stdin
		if next.Run() != nil {
			return 1
		}
		return 0
	}
}

// listen answers a socket that every user may connect to.
func listen(t *testing.T) (string, *net.UnixListener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "workload")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	return path, l
}

// stranger is a copy of the test binary: another file, so not our own.
func stranger(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stranger")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return kit.Program(t, filepath.Join(dir, "job"), b)
}

func ownBinary(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a child that plays roles and answers it with its connection.
func start(t *testing.T, l *net.UnixListener, path string, attr *syscall.SysProcAttr, roles ...string) (*exec.Cmd, *net.UnixConn) {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), rolesVariable+"="+strings.Join(roles, ","))
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := l.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return cmd, conn
}

func attest(t *testing.T, conn *net.UnixConn) *Caller {
	t.Helper()
	c, err := FromConn(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		kit.Missing(t, "root, who starts processes as another user and in another mount namespace")
	}
}

func TestStrangerIsItself(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	exe := stranger(t)
	cmd, conn := start(t, l, exe, nil, "dial", path)
	c := attest(t, conn)
	if c.PID != int32(cmd.Process.Pid) || c.Exe != exe {
		t.Errorf("job is %d %q, want %d %q", c.PID, c.Exe, cmd.Process.Pid, exe)
	}
	if c.UID != uint32(os.Getuid()) || c.GID != uint32(os.Getgid()) {
		t.Errorf("uid %d gid %d, want %d %d", c.UID, c.GID, os.Getuid(), os.Getgid())
	}
	if os.Getuid() == 0 && c.User != "root" {
		t.Errorf("user %q, want root", c.User)
	}
	if err := c.Recheck(); err != nil {
		t.Errorf("Recheck of a process that did not change: %v", err)
	}
}

func TestUserAndGroupsOfTheConnection(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path, l := listen(t)
	exe := stranger(t)
	many := make([]uint32, 100) // more than fit into the first answer
	for i := range many {
		many[i] = uint32(70000 + i)
	}
	_, conn := start(t, l, exe, &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: 54321, Gid: 54322, Groups: many},
	}, "dial", path)
	c := attest(t, conn)
	if c.UID != 54321 || c.GID != 54322 || c.User != "" {
		t.Errorf("uid %d gid %d user %q, want 54321, 54322 and no name", c.UID, c.GID, c.User)
	}
	if !slices.Equal(c.Groups, many) {
		t.Errorf("groups %v, want 70000 to 70099", c.Groups)
	}
	if c.Exe != exe {
		t.Errorf("exe %q, want %q", c.Exe, exe)
	}
}

func TestOwnBinaryIsNotTheJob(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	exe, own := stranger(t), ownBinary(t)
	cmd, conn := start(t, l, exe, nil, own, own, "dial", path)
	c := attest(t, conn)
	if c.PID != int32(cmd.Process.Pid) || c.Exe != exe {
		t.Errorf("job is %d %q, want the stranger two levels up, %d %q", c.PID, c.Exe, cmd.Process.Pid, exe)
	}
	if c.peer.connected.pid == c.PID {
		t.Error("the connection was the stranger's own: the test proves nothing")
	}
	if err := c.Recheck(); err != nil {
		t.Errorf("Recheck: %v", err)
	}
}

func TestOwnBinaryKeepsTheUserOfTheConnection(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path, l := listen(t)
	// Another name of the same file, in a folder that others may enter.
	own := filepath.Join(filepath.Dir(path), "own")
	if err := os.Link(ownBinary(t), own); err != nil {
		t.Fatal(err)
	}
	_, conn := start(t, l, own, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}, "dial", path)
	c := attest(t, conn)
	if c.UID != 54321 {
		t.Errorf("uid %d, want the connection's 54321 and not the ancestor's", c.UID)
	}
	if c.Exe == own || c.PID == c.peer.connected.pid {
		t.Errorf("job is %d %q, want an ancestor", c.PID, c.Exe)
	}
}

func TestAncestryIsBounded(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	exe, own := stranger(t), ownBinary(t)
	roles := slices.Repeat([]string{own}, 32)
	_, conn := start(t, l, exe, nil, append(roles, "dial", path)...)
	c := attest(t, conn)
	if c.Exe != "" || c.PID != c.peer.connected.pid {
		t.Errorf("job is %d %q, want the caller with no executable", c.PID, c.Exe)
	}
}

func TestOtherMountNamespaceHasNoExe(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path, l := listen(t)
	cmd, conn := start(t, l, stranger(t), &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}, "dial", path)
	c := attest(t, conn)
	if c.Exe != "" || c.PID != int32(cmd.Process.Pid) {
		t.Errorf("job is %d %q, want %d without a path", c.PID, c.Exe, cmd.Process.Pid)
	}
}

func TestReplacedFileHasNoExe(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	exe := stranger(t)
	_, conn := start(t, l, exe, nil, "dial", path)
	c := attest(t, conn)
	if c.Exe != exe {
		t.Fatalf("exe %q, want %q before it is replaced", c.Exe, exe)
	}
	if err := os.Rename(exe, exe+".old"); err != nil {
		t.Fatal(err)
	}
	if err := c.Recheck(); !errors.Is(err, ErrChanged) {
		t.Errorf("Recheck after a rename: %v, want ErrChanged", err)
	}
	if err := os.Remove(exe + ".old"); err != nil {
		t.Fatal(err)
	}
	// What the kernel says of a deleted file is the name of another one now.
	if err := os.WriteFile(exe+".old (deleted)", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if c := attest(t, conn); c.Exe != "" {
		t.Errorf("exe %q of a deleted file, want none", c.Exe)
	}
}

func TestRecheckAfterTheJobEnded(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	cmd, conn := start(t, l, stranger(t), nil, "dial", path)
	c := attest(t, conn)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := c.Recheck(); !errors.Is(err, ErrGone) {
		t.Errorf("Recheck of a dead process: %v, want ErrGone", err)
	}
	if _, err := FromConn(conn); !errors.Is(err, ErrGone) {
		t.Errorf("FromConn of a dead process: %v, want ErrGone", err)
	}
}

func TestZombieIsGone(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	cmd, conn := start(t, l, stranger(t), nil, "dial", path)
	c := attest(t, conn)
	if err := cmd.Process.Kill(); err != nil { // and nobody waits for it
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	// The connection closes a little before the process is a zombie.
	deadline := time.Now().Add(time.Minute)
	for !errors.Is(c.Recheck(), ErrGone) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if err := c.Recheck(); !errors.Is(err, ErrGone) {
		t.Errorf("Recheck of a zombie: %v, want ErrGone", err)
	}
}

// A connection that outlives the process that made it belongs to nobody who could be attested.
func TestInheritedConnectionIsRefused(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	cmd, conn := start(t, l, stranger(t), &syscall.SysProcAttr{Setpgid: true}, "leave", path)
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := FromConn(conn); !errors.Is(err, ErrGone) {
		t.Errorf("FromConn: %v, want ErrGone", err)
	}
}

// Kernels before 6.5 give no pidfd.
func TestWithoutPidfd(t *testing.T) {
	t.Parallel()
	path, l := listen(t)
	cmd, conn := start(t, l, stranger(t), nil, "dial", path)
	c := attest(t, conn)
	c.peer.pidfd.Close()
	c.peer.pidfd = nil
	if err := c.Recheck(); err != nil {
		t.Errorf("Recheck: %v", err)
	}
	c.peer.connected.start++ // what a later process of the same number looks like
	if err := c.Recheck(); !errors.Is(err, ErrChanged) {
		t.Errorf("Recheck with another start time: %v, want ErrChanged", err)
	}
	c.peer.connected.start--
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := c.Recheck(); !errors.Is(err, ErrGone) {
		t.Errorf("Recheck of a dead process: %v, want ErrGone", err)
	}
}

func BenchmarkAttest(b *testing.B) {
	dir := b.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	conn, err := l.AcceptUnix()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for b.Loop() {
		c, err := FromConn(conn)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Recheck(); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
