package test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

// Certificates that are not a host's of this vault leave an entry that says why. The whole table of identities, with
// clocks that move, is in server/internal/delivery.
func TestRefusedCertificatesAreLogged(t *testing.T) {
	t.Parallel()
	server, other := kit.NewServer(t), kit.NewServer(t)
	enrol := func(s *kit.Server) (identity.Join, *tls.Certificate, string) {
		join, err := identity.ParseJoin(s.JoinString(t))
		if err != nil {
			t.Fatal(err)
		}
		key := newKey(t)
		joined := mustJoin(t, wire.NewEnrolmentClient(dial(t, join, nil)), join.Token, key)
		return join, &tls.Certificate{Certificate: joined.GetCertificates(), PrivateKey: key}, joined.GetHost()
	}
	join, own, host := enrol(server)
	_, foreign, _ := enrol(other)
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	console, err := tls.LoadX509KeyPair(filepath.Join(server.Data, "vault", "console.pem"), filepath.Join(server.Data, "vault", "console.pem"))
	if err != nil {
		t.Fatal(err)
	}
	logged := func(host, reason string) bool {
		return slices.ContainsFunc(server.Admin.Audit(t, "--action", "host.connect"), func(e kit.Entry) bool {
			return e.Outcome == "refused" && e.Reason == reason && e.Host == host
		})
	}
	const another = "certificate of another issuer"
	for who, cert := range map[string]*tls.Certificate{
		"another vault's host": foreign, "the console's": &console, "self-made, in the host's name": forge(t, leaf.URIs[0]),
	} {
		conn := dial(t, join, cert)
		if _, err := wire.NewAgentsClient(conn).List(t.Context(), &wire.ListRequest{}); err == nil {
			t.Errorf("%s was served", who)
		}
	}
	kit.Eventually(t, kit.Patience, "the refusals are logged", func() bool { return logged("", another) })
	genuine := dial(t, join, own)
	if _, err := wire.NewAgentsClient(genuine).List(t.Context(), &wire.ListRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("the control: %v", err)
	}
	server.Admin.Do(t, "host", "revoke", host)
	if _, err := wire.NewAgentsClient(dial(t, join, own)).List(t.Context(), &wire.ListRequest{}); !refusedCode(err) {
		t.Errorf("a revoked host: %v", err)
	}
	kit.Eventually(t, kit.Patience, "the revoked host's attempt is logged", func() bool { return logged(host, "this host is revoked") })
}

// connectProxy passes CONNECT on and counts it. It wants robot:hunter2.
func connectProxy(t *testing.T) (address string, passed *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	passed = new(atomic.Int32)
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != "Basic cm9ib3Q6aHVudGVyMg==" {
			http.Error(w, "who are you", http.StatusProxyAuthRequired)
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		defer to.Close()
		passed.Add(1)
		w.WriteHeader(http.StatusOK)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		go func() { _, _ = io.Copy(to, c) }()
		_, _ = io.Copy(c, to)
	})}
	go func() { _ = proxy.Serve(l) }()
	t.Cleanup(func() { _ = proxy.Close() })
	return l.Addr().String(), passed
}

// A host enrols and runs through a proxy, with two servers named of which the first is away.
func TestSeveralServersBehindAProxy(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	addLogin(t, server.Admin, "crm", "hunter2-hunter2")
	server.Admin.Do(t, "grant", "add", "g", "--credential", "crm", "--any-host")
	proxy, passed := connectProxy(t)
	const away = "127.0.0.1:1" // which nobody listens on, and no other test is given
	auth := kit.File(t, "robot:hunter2\n")
	dir := kit.Dir(t)
	state, socket := filepath.Join(dir, "state"), filepath.Join(dir, "agent.sock")
	job := kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-agent"), Env: []string{"STRONGROOM_SOCKET=" + socket}}
	enroll := []string{"enroll", "--join", "@" + kit.File(t, server.JoinString(t)), "--state", state,
		"--server", away, "--server", server.Agents, "--proxy", "http://" + proxy}
	if r := job.Run(t, enroll...).Want(t, 5); !strings.Contains(r.Stderr, "the proxy "+proxy+" answered 407") {
		t.Errorf("without a password: %s", r.Stderr)
	}
	job.Run(t, append(enroll, "--proxy-auth", "@"+auth)...).Want(t, 0)
	text, err := os.ReadFile(filepath.Join(state, "identity.json"))
	if err != nil || !strings.Contains(string(text), `"servers"`) || strings.Contains(string(text), "hunter2") {
		t.Errorf("identity.json (%v) does not name the servers, or the proxy's password:\n%s", err, text)
	}
	before := passed.Load()
	agent := kit.Start(t, "strongroom-agent", "run", "--state", state, "--socket", socket, "--server", away,
		"--server", server.Agents, "--proxy", "http://"+proxy, "--proxy-auth", "@"+auth)
	agent.Ready()
	var status struct {
		Connected bool
		Server    string
	}
	kit.Eventually(t, kit.Patience, "the agent is connected to the server that is there", func() bool {
		job.Run(t, "status", "--json").Want(t, 0).JSON(t, &status)
		return status.Connected && status.Server == server.Agents
	})
	password(t, job.Run(t, "get", "crm", "--field", "password"), "hunter2-hunter2")
	if passed.Load() == before {
		t.Error("the agent went past the proxy")
	}
	if strings.Contains(agent.Output(), "hunter2") {
		t.Error("the agent logs the proxy's password")
	}
}
