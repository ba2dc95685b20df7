package test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/test/kit"
)

// An agent starts without its server and says what is wrong; it needs no help when the network comes back. How fast that is
// on a machine that stands still now and then shows in one of three attempts; TestComesBack has it in a time of its own.
func TestStartsWithoutServer(t *testing.T) {
	t.Parallel()
	network := kit.NewNetwork(t)
	server := network.NewServer(t)
	addLogin(t, server.Admin, "crm", "the secret")
	host := network.Enroll(t, server)
	server.Admin.Do(t, "grant", "add", "nightly", "--credential", "crm", "--host", host.Host)
	host.Stop()
	for _, c := range []struct {
		what         string
		cut, mend    func()
		lasts, limit time.Duration // lasts is longer than the first attempt to connect takes
	}{
		{"link down", func() { network.Hosts.Down(t) }, func() { network.Hosts.Up(t) }, 3 * time.Second, 10 * time.Second},
		{"packets vanish", func() { network.Cut(t, kit.ToServer) }, func() { network.Mend(t, kit.ToServer) }, 12 * time.Second, 15 * time.Second},
	} {
		for attempt := 1; ; attempt++ {
			c.cut()
			if network.Hosts.Reaches(t, server.Agents) {
				t.Fatalf("%s: the network is not cut", c.what)
			}
			told := startWithoutServer(t, host, c.lasts)
			t.Logf("%s: why: %s", c.what, host.Status(t).Why)
			c.mend()
			mended := time.Now()
			kit.Eventually(t, kit.Patience, c.what+": the agent is connected again", func() bool { return host.Status(t).Connected })
			back := time.Since(mended)
			t.Logf("%s: jobs were told after %v in the median, the agent connected %v after the network came back", c.what, told, back)
			password(t, host.Run(t, "get", "crm", "--field", "password"), "the secret")
			host.Stop()
			if told <= 3*time.Second && back <= c.limit {
				break
			}
			if attempt == 3 {
				t.Errorf("%s: each time jobs were told after more than 3 s, or the agent connected more than %v after the network came back", c.what, c.limit)
				break
			}
		}
	}
}

// startWithoutServer starts an agent and asks it for a while. It gives how long its jobs were told nothing, in the median.
func startWithoutServer(t *testing.T, host *kit.Agent, lasts time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	host.Start(t)
	t.Logf("serves its jobs after %v", time.Since(began).Round(time.Millisecond))
	var took []time.Duration
	for len(took) < 5 || time.Since(began) < lasts {
		took = append(took, sayNotReachable(t, host))
		time.Sleep(500 * time.Millisecond)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// sayNotReachable: neither the agent's status nor a job's command pretends. It gives how long the job was told nothing.
func sayNotReachable(t *testing.T, host *kit.Agent) (took time.Duration) {
	t.Helper()
	if s := host.Status(t); s.Connected || s.Health != "degraded" || !strings.Contains(s.Why, "the server is not reachable") {
		t.Fatalf("status of an agent without its server: %+v", s)
	}
	asked := time.Now()
	got := host.Run(t, "get", "crm", "--field", "password").Want(t, 5)
	took = time.Since(asked)
	if got.Stdout != "" || !strings.Contains(got.Stderr, "the server is not reachable") ||
		!strings.Contains(got.Stderr, "the agent holds no lease of it and keeps trying") {
		t.Errorf("a job is told %q", got.Stderr)
	}
	return took
}

// A held lease is served to its end and not a second longer, however the server went away: its own time, or the grant's
// offline time from the last contact.
func TestLeaseEndsWithoutServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what      string
		cut, mend func(*testing.T, *kit.Network, *kit.Server)
	}{
		{"link down",
			func(t *testing.T, n *kit.Network, _ *kit.Server) { n.Hosts.Down(t) },
			func(t *testing.T, n *kit.Network, _ *kit.Server) { n.Hosts.Up(t) }},
		{"packets vanish",
			func(t *testing.T, n *kit.Network, _ *kit.Server) { n.Cut(t, kit.ToServer); n.Cut(t, kit.ToHosts) },
			func(t *testing.T, n *kit.Network, _ *kit.Server) { n.Mend(t, kit.ToServer); n.Mend(t, kit.ToHosts) }},
		{"server killed",
			func(_ *testing.T, _ *kit.Network, s *kit.Server) { s.Kill() },
			func(t *testing.T, _ *kit.Network, s *kit.Server) { s.Start(t) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			network := kit.NewNetwork(t)
			server := network.NewServer(t)
			host := network.Enroll(t, server)
			ends := []leaseEnd{
				{name: "own-time", flags: []string{"--ttl", "3s"}, lasts: 3 * time.Second},
				// An agent that stands still at the cut hears the server's last word when it goes on.
				{name: "offline-time", flags: []string{"--ttl", "3s", "--offline", "12s"}, lasts: 12 * time.Second, late: 6 * time.Second},
				{name: "longer-than-offline", flags: []string{"--ttl", "14s", "--offline", "8s"}, lasts: 14 * time.Second},
			}
			for _, e := range ends {
				addLogin(t, server.Admin, e.name, "secret of "+e.name)
				server.Admin.Do(t, append([]string{"grant", "add", e.name, "--credential", e.name, "--host", host.Host}, e.flags...)...)
			}
			job := client.New(client.Options{Socket: host.Socket})
			leased := time.Now()
			for _, e := range ends {
				if _, err := job.Get(t.Context(), e.name); err != nil {
					t.Fatal(err)
				}
			}
			c.cut(t, network, server)
			cut := time.Now()
			var all sync.WaitGroup
			for i := range ends {
				all.Go(func() { ends[i].follow(t, job, cut) })
			}
			if network.Hosts.Reaches(t, server.Agents) {
				t.Error("the network is not cut")
			}
			all.Wait()
			for _, e := range ends {
				e.check(t, leased, cut)
			}
			host.Run(t, "get", "offline-time").Want(t, 5)
			kit.Eventually(t, kit.Patience, "no lease and no locked byte", func() bool {
				s := host.Status(t)
				return s.Leases == 0 && s.LockedBytes == 0
			})
			c.mend(t, network, server)
			mended := time.Now()
			kit.Eventually(t, kit.Patience, "the agent serves again", func() bool { return host.Status(t).Connected })
			t.Logf("connected %v after the network came back", time.Since(mended).Round(time.Millisecond))
			password(t, host.Run(t, "get", "own-time", "--field", "password"), "secret of own-time")
		})
	}
}

// A leaseEnd follows one lease until it is no longer served.
type leaseEnd struct {
	name  string
	flags []string
	lasts time.Duration // from the last contact, as said by hand
	late  time.Duration // how much later than the cut that may have been

	reads, stale     int
	served, promised time.Time // when the last read began, and what it said of the lease's end
	refused          time.Time // when the first read in vain was over
}

// follow reads as a job does, from when the server went away.
func (e *leaseEnd) follow(t *testing.T, job *client.Client, cut time.Time) {
	for time.Since(cut) < e.lasts+kit.Patience {
		began := time.Now()
		got, err := job.Get(t.Context(), e.name)
		if errors.Is(err, client.ErrNotReachable) {
			e.refused = time.Now()
			return
		}
		if err != nil {
			t.Errorf("%s, %v after the cut: %v", e.name, time.Since(cut), err)
			return
		}
		e.reads++
		e.served = began
		e.promised = time.Now().Add(got.Lease.Remaining)
		if got.Lease.Stale {
			e.stale++
		} else if began.Sub(cut) > 12*time.Second { // reports are on their way, whose answer is missed after 5 s
			t.Errorf("%s, %v after the cut: not marked as stale", e.name, began.Sub(cut))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// check: the last contact was between two moments. A read that began after the end is refused, and one that was over before
// it is not, however slow the machine is.
func (e *leaseEnd) check(t *testing.T, from, to time.Time) {
	const clocks = 100 * time.Millisecond // may be set meanwhile
	t.Logf("%s: %d reads (%d stale), the last began %v before its end, the first in vain was over %v after; it said its end was %v off",
		e.name, e.reads, e.stale, from.Add(e.lasts).Sub(e.served).Round(time.Millisecond),
		e.refused.Sub(from.Add(e.lasts)).Round(time.Millisecond), e.promised.Sub(from.Add(e.lasts)).Round(time.Millisecond))
	switch {
	case e.refused.IsZero():
		t.Errorf("%s: served long after its end", e.name)
	case e.served.After(to.Add(e.lasts + e.late + clocks)):
		t.Errorf("%s: served %v after its end", e.name, e.served.Sub(to.Add(e.lasts)))
	case e.refused.Before(from.Add(e.lasts - clocks)):
		t.Errorf("%s: refused %v before its end", e.name, from.Add(e.lasts).Sub(e.refused))
	}
}

// A connection that is dead without anybody having said so is noticed by both ends within 20 s, also where it is dead in one
// direction alone; one that is merely quiet is kept. A machine that stands still for seconds makes the one late and the other
// dead, so there are three attempts; TestDeadAndQuietConnections and TestDeadAndQuietHosts have a time of their own.
func TestHalfOpenConnections(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Second
	for _, c := range []struct {
		what string
		cut  []kit.Direction
	}{
		{"in both directions", []kit.Direction{kit.ToServer, kit.ToHosts}},
		{"to the server", []kit.Direction{kit.ToServer}},
		{"to the hosts", []kit.Direction{kit.ToHosts}},
		{"control: nowhere", nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			network := kit.NewNetwork(t)
			server := network.NewServer(t)
			host := network.Enroll(t, server)
			both := func() bool { return host.Status(t).Connected && shownConnected(t, server.Admin) }
			kit.Eventually(t, kit.Patience, "host list shows the host as connected", both)
			if c.cut == nil {
				kit.Eventually(t, kit.Patience, "the server is reached", func() bool { return network.Hosts.Reaches(t, server.Agents) })
				for attempt := 1; ; attempt++ {
					agent, list := noticed(t, host, server.Admin, limit)
					if agent == 0 && list == 0 {
						return
					}
					t.Logf("a quiet connection is taken for dead: by the agent after %v, by the server after %v", agent, list)
					if attempt == 3 {
						t.Fatal("a quiet connection is taken for dead each time")
					}
					kit.Eventually(t, kit.Patience, "both are connected again", both)
				}
			}
			for attempt := 1; ; attempt++ {
				for _, to := range c.cut {
					network.Cut(t, to)
				}
				cut := time.Now()
				if network.Hosts.Reaches(t, server.Agents) {
					t.Fatal("the network is not cut")
				}
				before := time.Since(cut)
				agent, list := noticed(t, host, server.Admin, limit-before)
				t.Logf("noticed by the agent after %v, by the server after %v (0s: not within %v)",
					agent.Round(time.Millisecond), list.Round(time.Millisecond), limit-before)
				for _, to := range c.cut {
					network.Mend(t, to)
				}
				kit.Eventually(t, kit.Patience, "both are connected again", both)
				if agent > 0 && list > 0 {
					return
				}
				if attempt == 3 {
					t.Fatalf("not noticed within %v each time", limit)
				}
			}
		})
	}
}

// noticed gives after which time within limit each end took the connection for dead; 0: it did not.
func noticed(t *testing.T, host *kit.Agent, admin kit.Admin, limit time.Duration) (agent, list time.Duration) {
	t.Helper()
	for began := time.Now(); (agent == 0 || list == 0) && time.Since(began) < limit; time.Sleep(200 * time.Millisecond) {
		if agent == 0 && !host.Status(t).Connected {
			agent = time.Since(began)
		}
		if list == 0 && !shownConnected(t, admin) {
			list = time.Since(began)
		}
	}
	return agent, list
}

// shownConnected: host list shows the one host as connected.
func shownConnected(t *testing.T, admin kit.Admin) bool {
	t.Helper()
	var list struct {
		Items []struct{ Connected bool }
	}
	admin.Do(t, "host", "list", "--json").JSON(t, &list)
	if len(list.Items) != 1 {
		t.Fatalf("host list: %+v, want one host", list.Items)
	}
	return list.Items[0].Connected
}
