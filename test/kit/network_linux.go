package kit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Where the two ends of a Network are, each behind the router.
const (
	serverAddress = "10.77.1.2"
	serverGateway = "10.77.1.1"
	hostsAddress  = "10.77.2.2"
	hostsGateway  = "10.77.2.1"
)

// A Network is three namespaces in a row: the server's, a router's and the hosts'. What is sent from one end to the
// other can be made to vanish on its way while both ends' interfaces stay up, as in a network that is cut somewhere
// else: no reset and no answer comes back. The namespaces end with the test, even where that is killed.
type Network struct {
	Server, Hosts *Namespace
	router        *Namespace
}

// A Direction is a way through the router, named by where it leads.
type Direction string

// The two directions.
const (
	ToServer Direction = serverAddress
	ToHosts  Direction = hostsAddress
)

// NewNetwork needs root.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	NeedRoot(t)
	n := &Network{Server: newNamespace(t, serverGateway), router: newNamespace(t, ""), Hosts: newNamespace(t, hostsGateway)}
	n.router.run(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	for name, end := range map[string]struct {
		at      *Namespace
		address string
	}{"toserver": {n.Server, serverAddress}, "tohosts": {n.Hosts, hostsAddress}} {
		n.router.run(t, "ip", "link", "add", "name", name, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(end.at.holder.Process.Pid))
		n.router.run(t, "ip", "addr", "add", end.at.gateway+"/24", "dev", name)
		n.router.run(t, "ip", "link", "set", name, "up")
		end.at.run(t, "ip", "addr", "add", end.address+"/24", "dev", "eth0")
		end.at.run(t, "ip", "link", "set", "lo", "up")
		end.at.Up(t)
	}
	return n
}

// NewServer starts a server at the server's end; its admin is there too.
func (n *Network) NewServer(t testing.TB) *Server {
	t.Helper()
	return n.NewServerInWay(t, Command{})
}

// NewServerInWay does so in the command's way.
func (n *Network) NewServerInWay(t testing.TB, c Command) *Server {
	t.Helper()
	return n.Server.Way(c).newServerAt(t, net.JoinHostPort(serverAddress, "7443"), "127.0.0.1:8443")
}

// NewFleet begins to enrol and start agents at the hosts' end.
func (n *Network) NewFleet(t testing.TB, s *Server, size int, labels ...string) *Fleet {
	t.Helper()
	return s.newFleet(t, n.Hosts.Way(Command{Plain: true}), size, labels)
}

// Enroll joins a new host at the hosts' end, starts its agent and returns once that is connected.
func (n *Network) Enroll(t testing.TB, s *Server) *Agent {
	t.Helper()
	a := NewAgent(t)
	a.Way, a.job = n.Hosts.Way(a.Way), n.Hosts.Way(a.job)
	a.Enroll(t, s.JoinString(t)).Want(t, 0)
	a.Start(t)
	a.Connected(t)
	return a
}

// Cut lets what goes in a direction vanish.
func (n *Network) Cut(t testing.TB, to Direction) {
	t.Helper()
	n.router.run(t, "ip", "route", "add", "blackhole", string(to)+"/32")
}

// Mend takes Cut back.
func (n *Network) Mend(t testing.TB, to Direction) {
	t.Helper()
	n.router.run(t, "ip", "route", "del", "blackhole", string(to)+"/32")
}

// A Namespace is a network of its own.
type Namespace struct {
	holder  *exec.Cmd // what lives in it; the namespace ends with the last
	enter   string    // the program
	gateway string
}

func newNamespace(t testing.TB, gateway string) *Namespace {
	t.Helper()
	n := &Namespace{exec.Command(part(t, "unshare"), "--net", "sleep", "infinity"), part(t, "nsenter"), gateway}
	n.holder.SysProcAttr = attributes(nil)
	if err := n.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = n.holder.Process.Kill()
		_ = n.holder.Wait() // it was killed
	})
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, Patience, "a network namespace", func() bool {
		its, err := os.Readlink(n.path())
		return err == nil && its != own
	})
	return n
}

func (n *Namespace) path() string { return fmt.Sprintf("/proc/%d/ns/net", n.holder.Process.Pid) }

// Way gives a command that does the same in the namespace.
func (n *Namespace) Way(c Command) Command {
	c.Through = append([]string{n.enter, "--net=" + n.path(), "--"}, c.Through...)
	return c
}

func (n *Namespace) run(t testing.TB, program string, args ...string) {
	t.Helper()
	n.Way(Command{Program: part(t, program)}).Run(t, args...).Want(t, 0)
}

// Down takes the interface of an end down: what is sent fails at once, and nothing arrives.
func (n *Namespace) Down(t testing.TB) {
	t.Helper()
	n.run(t, "ip", "link", "set", "eth0", "down")
}

// Up takes Down back.
func (n *Namespace) Up(t testing.TB) {
	t.Helper()
	n.run(t, "ip", "link", "set", "eth0", "up")
	n.run(t, "ip", "route", "replace", "default", "via", n.gateway)
}

// Reaches says whether a connection to an address can be made from inside, within a second.
func (n *Namespace) Reaches(t testing.TB, address string) bool {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	// A process of its own: a thread of this one could not leave the namespace again, and the end of a thread ends what
	// it has started.
	dial := n.Way(Command{Program: part(t, "timeout")}).Run(t, "1", "bash", "-c", "exec 3<>/dev/tcp/"+host+"/"+port)
	return dial.Code == 0
}

// SaysNothing connects to an address from inside, so many times, and waits until the other side has closed all of that.
func (n *Namespace) SaysNothing(t testing.TB, address string, times int) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Error(err)
	}
	const script = `for ((i = 0; i < $3; i++)); do exec {fd}<>/dev/tcp/$1/$2 || exit; fds+=($fd); done; for fd in ${fds[@]}; do read -r -u $fd; done; exit 0`
	r := n.Way(Command{Program: part(t, "bash")}).Run(t, "-c", script, "bash", host, port, fmt.Sprint(times))
	if r.Code != 0 {
		t.Errorf("%d silent connections: %d, %s", times, r.Code, r.Stderr)
	}
}

// part finds a program of the system; tools/parts.sh has installed it.
func part(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // where not everybody looks
		if path := filepath.Join(dir, name); exec.Command(path, "-V").Run() == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: tools/parts.sh %s installs it", name, name)
	return ""
}
