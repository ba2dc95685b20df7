package test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// giveTo makes a folder and all in it another user's.
func giveTo(t *testing.T, u kit.User, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(u.UID), int(u.GID))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A daemon that may not lock its arena ends with 1 and says which number to set; with that number it runs.
func TestLockLimitIsNamed(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	host := kit.NewAgent(t)
	host.Enroll(t, server.JoinString(t)).Want(t, 0)
	server.Stop()
	giveTo(t, kit.Nobody, filepath.Dir(server.Data))
	giveTo(t, kit.Nobody, filepath.Dir(host.State))
	for name, daemon := range map[string]struct {
		program string
		need    int
		args    []string
	}{
		"server": {"strongroom-server", 3145728, []string{"run", "--data", server.Data, "--key-file", server.KeyFile,
			"--agents", "127.0.0.1:0", "--console", "127.0.0.1:0", "--locked-memory", "3MiB"}},
		// The agent has 256 KiB beside, which its way to the server may need for a password.
		"agent": {"strongroom-agent", 3407872, []string{"run", "--state", host.State, "--socket", host.Socket, "--locked-memory", "3MiB"}},
	} {
		for _, plain := range []bool{false, true} {
			way := kit.Command{Program: filepath.Join(kit.Bin(t), daemon.program), User: &kit.Nobody, PlainArena: plain, LockLimit: daemon.need - 4096}
			r := way.Run(t, daemon.args...).Want(t, 1)
			want := fmt.Sprintf("LimitMEMLOCK=%d in the systemd unit (or `ulimit -l %d`)", daemon.need, daemon.need/1024)
			if !strings.Contains(r.Stderr, "the limit on locked memory is too low") || !strings.Contains(r.Stderr, want) || r.Stdout != "" {
				t.Errorf("%s, plain arena %t: it says %q, want %q", name, plain, r.Stderr, want)
			}
			way.LockLimit = daemon.need
			p := way.Start(t, daemon.program, daemon.args...)
			p.Ready()
			p.Stop()
		}
	}
}

// The agent's locked memory is no single user's: what does not fit into a user's part is refused in words that name the
// setting, and others are served meanwhile.
func TestArenaOfAgentIsShared(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	admin := server.Admin
	host := server.EnrollInWay(t, kit.Command{Args: []string{"--locked-memory", "256KiB"}})
	// A user may have 128 KiB at first: two of these with one answer fit, and three do not.
	for i := range 5 {
		addLogin(t, admin, fmt.Sprintf("c%d", i), strings.Repeat("v", 30<<10))
	}
	admin.Do(t, "grant", "add", "all", "--application", "generic-rest", "--any-host")
	get := func(user *kit.User, name string) kit.Result {
		t.Helper()
		if user == nil {
			return host.Run(t, "get", name, "--field", "password")
		}
		return host.RunAs(t, *user, "get", name, "--field", "password")
	}
	// A job may be gone a moment before the agent has its answer's room again.
	gives := func(user *kit.User, name string) {
		t.Helper()
		var r kit.Result
		kit.Eventually(t, kit.Patience, "there is room for "+name, func() bool {
			r = get(user, name)
			return r.Code == 0
		})
		password(t, r, strings.Repeat("v", 30<<10))
	}
	for _, name := range []string{"c0", "c1", "c2"} {
		gives(nil, name)
	}
	full := func(r kit.Result, words string) {
		t.Helper()
		if r.Want(t, 1); !strings.Contains(r.Stderr, words) || !strings.Contains(r.Stderr, "--locked-memory") {
			t.Errorf("it says %q, want %q and --locked-memory", r.Stderr, words)
		}
	}
	const words = "it does not fit into the agent's locked memory (262144 bytes"
	full(get(nil, "c3"), words) // the answer
	full(get(nil, "c4"), words) // the lease
	// Another user has room for what the first one leased, and for a lease of his own.
	gives(&kit.Nobody, "c0")
	gives(&kit.Nobody, "c4")
	// Once leases end there is room again.
	admin.Do(t, "credential", "delete", "c0", "--yes")
	admin.Do(t, "credential", "delete", "c1", "--yes")
	kit.Eventually(t, kit.Patience, "two leases end", func() bool { return host.Status(t).Leases == 3 })
	gives(nil, "c3")
}

// A server without room for a value says so to people and to jobs, and goes on with others.
func TestArenaOfServerIsFull(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	host := server.Enroll(t)
	value := bytes.Repeat([]byte("v"), 64<<10)
	add := []string{"credential", "add", "admin/big"}
	for i := range 8 {
		add = append(add, "--masked", fmt.Sprintf("v%d=@%s", i, kit.File(t, string(value))))
	}
	admin.Do(t, add...)
	admin.Do(t, "grant", "add", "big", "--credential", "admin/big", "--any-host")
	addLogin(t, admin, "small", "a secret")
	admin.Do(t, "grant", "add", "small", "--credential", "small", "--any-host")
	password(t, host.Run(t, "get", "admin/big", "--field", "v7"), string(value))
	admin.Do(t, "grant", "revoke", "big")
	kit.Eventually(t, kit.Patience, "the lease ends", func() bool { return host.Status(t).Leases == 0 })

	server.Stop()
	server.Way.Args = []string{"--locked-memory", "1MiB"}
	server.Start(t)
	host.Connected(t)
	admin.Do(t, "grant", "add", "big", "--credential", "admin/big", "--any-host")
	const words = "the server's locked memory is full: try again, or run the server with a larger --locked-memory"
	for _, r := range []kit.Result{
		admin.Run(t, "credential", "show", "admin/big", "--reveal").Want(t, 1),
		host.Run(t, "get", "admin/big", "--field", "v7").Want(t, 5),
	} {
		if !strings.Contains(r.Stderr, words) {
			t.Errorf("it says %q, want %q", r.Stderr, words)
		}
	}
	kit.Eventually(t, kit.Patience, "others are served", func() bool { return host.Run(t, "get", "small", "--field", "password").Code == 0 })
	password(t, host.Run(t, "get", "small", "--field", "password"), "a secret")
}
