package kit

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
)

// A Server is a vault and the process that serves it.
type Server struct {
	*Process
	Data, KeyFile   string
	CAFingerprint   string
	LogKey          string
	Agents, Console string // HOST:PORT, URL; they stay the same over restarts
	Admin           Admin
	Way             Command // in which Start runs it
	password        string
}

// NewServer makes a vault, starts its server and logs the first admin in.
func NewServer(t testing.TB) *Server {
	t.Helper()
	return Command{}.NewServer(t)
}

// NewServer is as the function, and starts the server in the command's way.
func (c Command) NewServer(t testing.TB) *Server {
	t.Helper()
	return c.newServerAt(t, freeAddress(t), freeAddress(t))
}

func (c Command) newServerAt(t testing.TB, agents, console string) *Server {
	t.Helper()
	dir := Dir(t)
	s := &Server{Way: c, Data: filepath.Join(dir, "data"), KeyFile: filepath.Join(dir, "unseal.key"), Agents: agents, Console: "https://" + console}
	var made struct {
		CAFingerprint string `json:"ca_fingerprint"`
		LogKey        string `json:"log_key"`
		AdminPassword string `json:"admin_password"`
	}
	Command{Program: filepath.Join(Bin(t), "strongroom-server")}.
		Run(t, "init", "--data", s.Data, "--key-file", s.KeyFile, "--json").Want(t, 0).JSON(t, &made)
	s.CAFingerprint, s.LogKey, s.password = made.CAFingerprint, made.LogKey, made.AdminPassword
	s.Start(t)
	token := filepath.Join(dir, "token")
	s.Admin = Admin{Command{Program: filepath.Join(Bin(t), "strongroom"), Through: c.Through, Env: []string{
		"STRONGROOM_SERVER=" + s.Console, "STRONGROOM_CA_FINGERPRINT=" + s.CAFingerprint, "STRONGROOM_TOKEN_FILE=" + token,
	}}}
	s.Admin.Run(t, "login", "--user", "admin", "--password", "@"+File(t, s.password), "--token-out", token).Want(t, 0)
	if info, err := os.Stat(token); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("login's token file: %v, %v; want mode 0600", info, err)
	}
	return s
}

// Start runs the server, again after it was killed or stopped.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.Process = s.Way.Start(t, "strongroom-server", "run", "--data", s.Data, "--key-file", s.KeyFile,
		"--agents", s.Agents, "--console", s.Console[len("https://"):])
	ready := s.Ready()
	if ready["sealed"] != "false" {
		t.Fatalf("the server is sealed:\n%s", s.Output())
	}
	if ready["agents"] != s.Agents || ready["console"] != s.Console {
		t.Fatalf("ready says %v, want %s and %s", ready, s.Agents, s.Console)
	}
}

var lastPort atomic.Uint32

// freeAddress gives an address that a server can come back to after a crash: its port lies below those that the system
// gives to outgoing connections, so no connection can have taken it meanwhile.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 10000 + (uint32(os.Getpid())*64+lastPort.Add(1))%20000
		address := net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10))
		if listener, err := net.Listen("tcp", address); err == nil {
			if err := listener.Close(); err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatal("no free port between 10000 and 30000")
	return ""
}

// An Admin is the people's command line, logged in.
type Admin struct{ Command }

// Do runs a command that must succeed.
func (a Admin) Do(t testing.TB, args ...string) Result {
	t.Helper()
	return a.Run(t, args...).Want(t, 0)
}

// With gives the same admin with something on stdin.
func (a Admin) With(stdin string) Admin {
	a.Stdin = stdin
	return a
}

// An Entry is a line of the audit log, as `audit list` gives it.
type Entry struct {
	Actor, Action, Target, Host, Job, Outcome, Reason string
}

// Audit lists the newest entries that the flags let through, newest first.
func (a Admin) Audit(t testing.TB, flags ...string) []Entry {
	t.Helper()
	var list struct{ Items []Entry }
	a.Do(t, append([]string{"audit", "list", "--json"}, flags...)...).JSON(t, &list)
	return list.Items
}
