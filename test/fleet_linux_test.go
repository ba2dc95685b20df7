package test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/test/kit"
)

// enrolling is how long hundreds of agents may take to be enrolled and connected.
const enrolling = 5 * time.Minute

// A server that is killed and started again under 50 agents loses no lease: no job's read fails at any moment, and none
// has to be leased anew.
func TestServerRestartLosesNoLease(t *testing.T) {
	t.Parallel()
	const agents = 50
	server := kit.NewServer(t)
	addLogin(t, server.Admin, "crm", "the secret")
	server.Admin.Do(t, "grant", "add", "all", "--credential", "crm", "--host-label", "role=runner", "--ttl", "1h")
	fleet := server.NewFleet(t, agents, "role=runner")
	allConnected(t, fleet, time.Time{}, enrolling)
	jobs := make([]*client.Client, agents)
	for i := range jobs {
		jobs[i] = client.New(client.Options{Socket: fleet.Socket(i)})
		readSecret(t, jobs[i])
	}
	var reads, stale atomic.Int64
	var working sync.WaitGroup
	over := make(chan struct{})
	for i := range jobs {
		working.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(200 * time.Millisecond):
				}
				if readSecret(t, jobs[i]) {
					stale.Add(1)
				}
				reads.Add(1)
			}
		})
	}
	for attempt := 1; ; attempt++ {
		killed := time.Now()
		server.Kill()
		before := stale.Load()
		kit.Eventually(t, kit.Patience, "a job is told that its value is stale", func() bool { return stale.Load() > before })
		server.Start(t)
		away := time.Since(killed)
		took := allConnected(t, fleet, killed, kit.Patience)[agents-1].Sub(killed) - away
		t.Logf("server away for %v; all %d agents back %v after it served", away.Round(time.Millisecond), agents, took.Round(time.Millisecond))
		// The longer they have tried in vain the longer they wait.
		if took <= 10*time.Second+away {
			break
		}
		if attempt == 3 {
			t.Errorf("each time the last agent was back later than 10 s and as long as the server had been away")
			break
		}
	}
	for i := range jobs {
		if s, err := jobs[i].Status(t.Context()); err != nil || s.Leases != 1 || !s.Connected {
			t.Errorf("agent %d afterwards: %+v, %v; want it connected, with its lease", i, s, err)
		}
	}
	close(over)
	working.Wait()
	t.Logf("%d reads, %d of them stale", reads.Load(), stale.Load())
	if leased := countLeased(t, server.Admin); leased != agents {
		t.Errorf("the log has %d leases, want %d: one for each agent and none for a restart", leased, agents)
	}
}

// readSecret reads as a job does, and says whether the value is stale.
func readSecret(t *testing.T, job *client.Client) (stale bool) {
	got, err := job.Get(t.Context(), "crm")
	if err != nil || got.Version != 1 || string(got.Fields["password"]) != "the secret" {
		t.Errorf("a job's read: %v, %v", got, err)
		return false
	}
	return got.Lease.Stale
}

// countLeased counts the reads that the server itself answered. Those that agents answered are told from them by their
// reason.
func countLeased(t *testing.T, admin kit.Admin) (leased int) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Items []kit.Entry
			Next  string
		}
		args := []string{"audit", "list", "--json", "--action", "credential.read", "--limit", "1000"}
		if cursor != "" {
			args = append(args, "--cursor", cursor)
		}
		admin.Do(t, args...).JSON(t, &page)
		for _, e := range page.Items {
			if !strings.Contains(e.Reason, "(claimed by the host)") {
				leased++
			}
		}
		if cursor = page.Next; cursor == "" {
			return leased
		}
	}
}

// allConnected waits until every agent of a fleet has connected since a moment, and gives when each did, in order.
func allConnected(t *testing.T, f *kit.Fleet, since time.Time, limit time.Duration) []time.Time {
	t.Helper()
	var when []time.Time
	began := time.Now()
	for {
		seen := map[int]bool{}
		when = when[:0]
		for _, e := range f.Events(t) {
			if e.Message == "connected" && e.Time.After(since) && !seen[e.Agent] {
				seen[e.Agent] = true
				when = append(when, e.Time)
			}
		}
		if len(when) == f.Size {
			return when
		}
		if time.Since(began) > limit {
			t.Fatalf("%d of %d agents are connected after %v", len(when), f.Size, limit)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// 500 agents that lost their server for a minute, which was killed, and then the network to it cut, come back without help:
// each waits at most 15 s, no two in step. The server lets them in under the bound of its connections, of which strangers
// who say nothing would have all, and answers every person and job meanwhile, most within 5 s.
func TestManyAgentsReturn(t *testing.T) {
	t.Parallel()
	const agents, strangers, away = 500, 700, time.Minute
	const files, bound = 800, 600 // three quarters of the server's files may be connections of agents
	network := kit.NewNetwork(t)
	server := network.NewServerInWay(t, kit.Command{Plain: true, Through: []string{"prlimit", fmt.Sprintf("--nofile=%d", files)}})
	addLogin(t, server.Admin, "crm", "the secret")
	server.Admin.Do(t, "grant", "add", "all", "--credential", "crm", "--host-label", "role=runner")
	began := time.Now()
	fleet := network.NewFleet(t, server, agents, "role=runner")
	allConnected(t, fleet, time.Time{}, enrolling)
	t.Logf("%d agents enrolled and connected in %v; %d KiB of memory each", agents, time.Since(began).Round(time.Millisecond),
		residentKiB(t, fleet.Pid())/agents)

	killed := time.Now()
	server.Kill()
	waitForLongestWaits(t, fleet, killed)
	perSecond := nextTries(t, fleet, killed, time.Now())
	network.Cut(t, kit.ToServer)
	server.Start(t)
	others := openFiles(t, server.Pid())
	time.Sleep(time.Until(killed.Add(away)))
	mended := time.Now()
	network.Mend(t, kit.ToServer)

	var turnedAway sync.WaitGroup
	turnedAway.Go(func() { network.Hosts.SaysNothing(t, server.Agents, strangers) })
	mostFiles := watchFiles(t, server.Pid())
	responsive := keepAsking(t, server, fleet, killed)
	back := allConnected(t, fleet, killed, kit.Patience)
	status, lease := responsive()
	most := mostFiles() - others
	turnedAway.Wait()
	t.Logf("server away for %v; the last agent was back %v after it could be reached; it had %d connections at most, with those of people",
		mended.Sub(killed).Round(time.Millisecond), back[len(back)-1].Sub(mended).Round(time.Millisecond), most)
	if back[0].Before(mended) {
		t.Errorf("an agent was back %v before the network was", mended.Sub(back[0]))
	}
	if most < bound-50 || most > bound+50 { // its other files come and go
		t.Errorf("the server had %d connections at most, want some %d", most, bound)
	}
	t.Logf("agents that were to try again in each second: %v", perSecond)
	for second, n := range perSecond {
		if n > agents/4 {
			t.Errorf("%d of %d agents were to come in second %d: they are in step", n, agents, second)
		}
	}
	t.Logf("meanwhile: status in %v as a rule, the first read of a returned host's job in %v", status.Round(time.Millisecond), lease.Round(time.Millisecond))
	if status > 5*time.Second || lease > 5*time.Second { // of two cores that also run other tests
		t.Errorf("meanwhile status took %v and first reads %v", status, lease)
	}
}

// openFiles counts what a process has open, connections among it.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Error(err)
	}
	return len(open)
}

// watchFiles watches what a process has open, until it is told to say how much that was at most.
func watchFiles(t *testing.T, pid int) (most func() int) {
	var n int
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			n = max(n, openFiles(t, pid))
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() int {
		close(over)
		watching.Wait()
		return n
	}
}

// nextTries counts by the second when the agents, as they said before the server was there again, were to try next. When
// they come in fact is up to the machine as well.
func nextTries(t *testing.T, f *kit.Fleet, since, until time.Time) map[int]int {
	t.Helper()
	next := map[int]time.Time{}
	for _, e := range f.Events(t) {
		if e.Message == "not connected" && e.Time.After(since) && e.Time.Before(until) {
			next[e.Agent] = e.Time.Add(e.RetryIn)
		}
	}
	perSecond := map[int]int{}
	for _, at := range next {
		perSecond[int(at.Sub(since)/time.Second)]++
	}
	if len(next) != f.Size {
		t.Errorf("%d of %d agents said when they try again", len(next), f.Size)
	}
	return perSecond
}

// waitForLongestWaits waits until three of four agents have waited as long as they ever do: the upper bound of a wait
// doubles from 0.2 s, and the eighth is that of all later ones.
func waitForLongestWaits(t *testing.T, f *kit.Fleet, since time.Time) {
	t.Helper()
	var failures map[int]int
	var longest time.Duration
	kit.Eventually(t, kit.Patience, "three of four agents have failed eight times", func() bool {
		time.Sleep(200 * time.Millisecond)
		failures, longest = map[int]int{}, 0
		often := 0
		for _, e := range f.Events(t) {
			if e.Message == "not connected" && e.Time.After(since) {
				longest = max(longest, e.RetryIn)
				if failures[e.Agent]++; failures[e.Agent] == 8 {
					often++
				}
			}
		}
		return often >= f.Size*3/4
	})
	most := 0
	for _, n := range failures {
		most = max(most, n)
	}
	t.Logf("after %v without the server: the longest wait is %v, the busiest agent tried %d times", time.Since(since).Round(time.Second), longest, most)
	if longest > 15100*time.Millisecond || longest < 12*time.Second || most > 25 {
		t.Errorf("the longest wait is %v, want some near 15 s and none above; the busiest agent tried %d times, want 25 at most", longest, most)
	}
}

// keepAsking asks for the server's status, and has a job read on hosts that have just returned, five times or more, until
// it is told to say how long that took in the median.
func keepAsking(t *testing.T, server *kit.Server, f *kit.Fleet, since time.Time) func() (status, lease time.Duration) {
	over := make(chan struct{})
	var statuses, leases []time.Duration
	var asking sync.WaitGroup
	asking.Go(func() {
		read := map[int]bool{}
		for ; ; time.Sleep(100 * time.Millisecond) {
			select {
			case <-over:
				if len(leases) >= 5 || t.Failed() {
					return
				}
			default:
			}
			began := time.Now()
			if r := server.Admin.Run(t, "status", "--json"); r.Code != 0 {
				t.Errorf("status: %s", r.Stderr)
			}
			statuses = append(statuses, time.Since(began))
			for _, e := range f.Events(t) {
				if e.Message != "connected" || e.Time.Before(since) || read[e.Agent] {
					continue
				}
				read[e.Agent] = true
				began := time.Now()
				readSecret(t, client.New(client.Options{Socket: f.Socket(e.Agent)}))
				leases = append(leases, time.Since(began))
				break
			}
		}
	})
	return func() (time.Duration, time.Duration) {
		close(over)
		asking.Wait()
		slices.Sort(statuses)
		slices.Sort(leases)
		if len(leases) < 5 {
			t.Fatalf("%d first reads", len(leases))
		}
		return statuses[len(statuses)/2], leases[len(leases)/2]
	}
}

// residentKiB is what a process has in memory, as Linux says.
func residentKiB(t *testing.T, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kib)
		}
	}
	return kib
}
