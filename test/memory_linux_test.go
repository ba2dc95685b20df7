package test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/test/kit"
)

// newCanary has signs that JSON escapes, each in a way of its own.
func newCanary() string {
	text := rand.Text()
	return text[:9] + `"` + text[9:14] + `\` + text[14:19] + "<" + text[19:] + "\n" + rand.Text()
}

// clean scans until nothing is found outside the arena: an object that was dropped keeps its bytes until the
// collection, which begins within a second or so where the machine has time for it (TestSweep). With wiped nothing may be
// left within the arena either.
func clean(t *testing.T, when string, p *kit.Process, wiped bool, secrets ...kit.Secret) {
	t.Helper()
	var first, s kit.Scan
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		s = kit.Memory(t, p.Pid(), secrets...)
		if first.Bytes == 0 {
			first = s
		}
		if over := len(s.Found) == 0 && (!wiped || len(s.Arena) == 0); over || time.Since(began) > 30*time.Second {
			break
		}
	}
	t.Logf("%s: %d pieces at once, then %v", when, len(first.Found)+len(first.Arena), s)
	if len(s.Found) > 0 || wiped && len(s.Arena) > 0 {
		t.Errorf("%s: pieces stay outside the arena: %q, within it: %q", when, kit.Names(s.Found), kit.Names(s.Arena))
	}
	if s.Bytes < 1<<20 {
		t.Errorf("%s: only %d bytes were read", when, s.Bytes)
	}
}

// What passes through the two daemons is nowhere in their memory but in the arena: not while it is leased, and not
// afterwards. Where the arena can be read, as on old kernels, the copies in it are the control.
func TestNoCanaryInMemory(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"memfd_secret": false, "mlock": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.NeedRoot(t)
			noCanaryInMemory(t, kit.Command{Env: []string{"GOGC=10"}, PlainArena: plain})
		})
	}
}

const (
	manyCredentials = 30
	manyHosts       = 3
	manyRounds      = 12 // of as many deliveries as credentials times hosts
)

func noCanaryInMemory(t *testing.T, way kit.Command) {
	server := way.NewServer(t)
	admin := server.Admin
	var hosts []*kit.Agent
	var jobs []*client.Client
	for range manyHosts {
		host := server.EnrollInWay(t, way)
		hosts = append(hosts, host)
		for range 3 {
			jobs = append(jobs, client.New(client.Options{Socket: host.Socket}))
		}
	}
	canary := newCanary()
	secret := kit.Text("canary", canary)
	for i := range manyCredentials {
		admin.With(canary).Do(t, "credential", "add", fmt.Sprintf("c%d", i), "--application", "generic-rest", "--auth-type", "access_token",
			"--secret", "token=-", "--tag", "set=all")
	}
	admin.With(canary).Do(t, "credential", "edit", "c0", "--secret", "token=-", "--description", "again")
	clean(t, "server after credential add", server.Process, true, secret)

	for round := range manyRounds {
		if round > 0 {
			admin.Do(t, "grant", "revoke", "all")
			for _, host := range hosts {
				kit.Eventually(t, kit.Patience, "the leases end", func() bool { return host.Status(t).Leases == 0 })
			}
		}
		admin.Do(t, "grant", "add", "all", "--tag", "set=all", "--any-host")
		readAll(t, jobs, canary)
	}
	clean(t, fmt.Sprintf("server after %d deliveries", manyRounds*manyHosts*manyCredentials), server.Process, true, secret)
	clean(t, "agent while leased", hosts[0].Process, false, secret)
	s := kit.Memory(t, hosts[0].Pid(), secret)
	if (len(s.Arena) > 0) != way.PlainArena {
		t.Errorf("control: %d pieces in an agent's arena that can be read: %t", len(s.Arena), way.PlainArena)
	}

	var shown struct{ Fields map[string]string }
	result := admin.Do(t, "credential", "show", "c0", "--reveal", "--json")
	if err := json.Unmarshal([]byte(result.Stdout), &shown); err != nil || shown.Fields["token"] != canary {
		t.Fatalf("revealed %v, %v", shown, err)
	}
	clean(t, "server after reveal", server.Process, true, secret)
	admin.Do(t, "grant", "revoke", "all")
	kit.Eventually(t, kit.Patience, "the leases end", func() bool { return hosts[0].Status(t).Leases == 0 })
	clean(t, "agent after revocation", hosts[0].Process, true, secret)
	leaksAreFound(t, canary)
}

// readAll has all jobs read every credential at the same time, as JSON and raw.
func readAll(t *testing.T, jobs []*client.Client, want string) {
	t.Helper()
	var all sync.WaitGroup
	for i, job := range jobs {
		all.Go(func() {
			for n := range manyCredentials {
				ref := fmt.Sprintf("c%d", (n+7*i)%manyCredentials)
				if got, err := job.Field(t.Context(), ref, "token"); err != nil || string(got) != want {
					t.Errorf("read %d bytes of %s, %v", len(got), ref, err)
				}
				if _, err := job.Get(t.Context(), ref); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

// leaksAreFound is the control of the scanner: a process that has a canary, or a piece of it, is caught.
func leaksAreFound(t *testing.T, canary string) {
	t.Helper()
	for _, held := range []string{canary, "x" + canary[1:9] + "x"} {
		leak := exec.CommandContext(t.Context(), "sleep", "60")
		leak.Env = []string{"held=" + held}
		if err := leak.Start(); err != nil {
			t.Fatal(err)
		}
		if s := kit.Memory(t, leak.Process.Pid, kit.Text("canary", canary)); len(s.Found) == 0 {
			t.Errorf("control: %d bytes of it in a process are not found", len(held)-2)
		}
	}
}

// A value leaves the agent's memory with whatever ends its lease. The arena can be read here: that it holds the value
// before is the control.
func TestValuesLeaveTheAgent(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	way := kit.Command{PlainArena: true}
	server := kit.NewServer(t)
	admin := server.Admin
	// held starts an agent that has leased a value of its own.
	held := func(name string, flags ...string) (*kit.Agent, kit.Secret) {
		t.Helper()
		host, canary := server.EnrollInWay(t, way), rand.Text()+rand.Text()
		addLogin(t, admin, name, canary)
		admin.Do(t, append([]string{"grant", "add", name, "--credential", name, "--any-host"}, flags...)...)
		password(t, host.Run(t, "get", name, "--field", "password"), canary)
		secret := kit.Text(name, canary)
		kit.Eventually(t, kit.Patience, "control: the agent has "+name, func() bool {
			password(t, host.Run(t, "get", name, "--field", "password"), canary) // from the lease, or from one more
			return len(kit.Memory(t, host.Pid(), secret).Arena) > 0
		})
		clean(t, "agent while "+name+" is leased", host.Process, false, secret)
		return host, secret
	}
	host, secret := held("ends", "--ttl", "8s")
	kit.Eventually(t, kit.Patience, "the lease ends", func() bool { return host.Status(t).Leases == 0 })
	clean(t, "agent after the lease's end", host.Process, true, secret)

	host, secret = held("revoked")
	admin.Do(t, "grant", "revoke", "revoked")
	clean(t, "agent after the grant's revocation", host.Process, true, secret)

	host, secret = held("deleted")
	admin.Do(t, "credential", "delete", "deleted", "--yes")
	clean(t, "agent after the credential's end", host.Process, true, secret)

	host, secret = held("host")
	admin.Do(t, "host", "revoke", host.Host)
	clean(t, "agent after the host's revocation", host.Process, true, secret)

	for attempt := 1; ; attempt++ {
		name := fmt.Sprintf("stopping-%d", attempt)
		host, secret = held(name)
		if wipesBeforeItEnds(t, server, host, name, secret) {
			break
		}
		if attempt == 5 {
			t.Fatal("the agent ended each time before it was seen without the value")
		}
	}
}

// wipesBeforeItEnds ends an agent and looks at it until it has no value any more, or is gone before that was seen: it
// waits a second for its last report, which a server that stands still does not take.
func wipesBeforeItEnds(t *testing.T, server *kit.Server, host *kit.Agent, name string, secret kit.Secret) bool {
	t.Helper()
	signal := func(pid int, s syscall.Signal) bool {
		err := syscall.Kill(pid, s)
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		return err == nil
	}
	signal(server.Pid(), syscall.SIGSTOP)
	defer signal(server.Pid(), syscall.SIGCONT)
	if _, err := client.New(client.Options{Socket: host.Socket}).Get(t.Context(), name); err != nil {
		t.Fatal(err) // so that there is something to report
	}
	signal(host.Pid(), syscall.SIGTERM)
	for {
		if !signal(host.Pid(), syscall.SIGSTOP) {
			return false
		}
		s := kit.Memory(t, host.Pid(), secret)
		if s.Bytes < 1<<20 {
			return false
		}
		if len(s.Found)+len(s.Arena) == 0 {
			return true
		}
		signal(host.Pid(), syscall.SIGCONT)
		time.Sleep(5 * time.Millisecond)
	}
}
