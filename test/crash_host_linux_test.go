package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/test/kit"
)

// The points of an agent, beside those of durable, which storePoints adds: each file that it stores has its own.
var (
	enrolPoints   = []string{"enrol.ask:1", "enrol.answered:1", "enrol.stored:1"}
	renewPoints   = []string{"renew.ask:1", "renew.answered:1", "renew.replaced:1", "renew.switch:1", "renew.opened:1", "renew.switched:1"}
	recoverPoints = []string{"recover.ask:1", "renew.ask:1", "renew.answered:1", "renew.replaced:1", "recover.done:1"}
)

// storePoints adds the points of each file that a host stored which nobody killed, since it had passed some before.
func storePoints(points []string, before, after map[string]int) []string {
	for _, point := range []string{"durable.sync", "durable.move", "durable.syncdir"} {
		for n := range after[point] - before[point] {
			points = append(points, fmt.Sprintf("%s:%d", point, n+1))
		}
	}
	return points
}

// Certificates for the tests of hosts: one that is due for its renewal from the start, since certificates begin some
// minutes before they are made, and one that ends at once.
const (
	dueLife   = "host-certificate=6m"
	shortLife = "host-certificate=1s"
)

// mortal is a host whose agent is killed.
type mortal struct {
	t             testing.TB
	s             *siege // of its server
	victim        *kit.Victim
	state, socket string
	join          string // file
	cut           func() // after each crash, and whenever something was said to be done
	others        int    // hosts that there are beside this one
}

// newMortal is a host with a join token of its own. Its state folder is to be in dir.
func newMortal(t testing.TB, s *siege, dir string, cut func()) *mortal {
	t.Helper()
	c := s.client()
	defer c.Close()
	made, err := c.AddJoinToken(t.Context(), api.JoinTokenAdd{})
	if err != nil {
		t.Fatal(err)
	}
	h := &mortal{
		t: t, s: s, victim: kit.NewVictim(t, s.victim.Bin), state: filepath.Join(dir, "state"),
		socket: filepath.Join(kit.Dir(t), "agent.sock"), join: kit.File(t, made.Join), cut: cut, others: s.hosts(t),
	}
	h.victim.Durations = "look=100ms"
	return h
}

// hosts counts those that the server knows, none of which may be frozen.
func (s *siege) hosts(t testing.TB) int {
	t.Helper()
	c := s.client()
	defer c.Close()
	list, err := c.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range list.Items {
		if h.Frozen {
			t.Errorf("the host %s is frozen", h.ID)
		}
	}
	return len(list.Items)
}

func (h *mortal) enroll(at string) kit.Result {
	h.t.Helper()
	return h.victim.Run(h.t, at, "strongroom-agent", "enroll", "--join", "@"+h.join, "--state", h.state)
}

// dies runs the agent until it is killed at a point. Where it comes to until and stores no more, it is killed there.
func (h *mortal) dies(at, until string) {
	h.t.Helper()
	agent := h.start(at)
	died := func() bool {
		select {
		case <-agent.Ended():
			return true
		default:
			return false
		}
	}
	kit.Eventually(h.t, kit.Patience, "the agent comes to "+at, func() bool {
		return died() || strings.HasPrefix(at, "durable.") && strings.Contains(agent.Output(), until)
	})
	if !died() {
		agent.Kill()
	}
	if !agent.Killed() {
		h.t.Fatalf("the agent ended by itself before %s:\n%s", at, agent.Output())
	}
	h.cut()
}

func (h *mortal) start(at string) *kit.Process {
	h.t.Helper()
	return h.victim.Start(h.t, at, "strongroom-agent", "run", "--state", h.state, "--socket", h.socket)
}

// lives runs the agent as the service does: a job gets its credential, until is in what the agent says, and the server
// knows the one host.
func (h *mortal) lives(until string) {
	h.t.Helper()
	agent := h.start("")
	if !agent.Serves() {
		h.t.Fatalf("the agent was killed where nobody asked for it:\n%s", agent.Output())
	}
	kit.Eventually(h.t, kit.Patience, "the agent says "+until+": "+agent.Output(), func() bool { return strings.Contains(agent.Output(), until) })
	ctx, cancel := context.WithTimeout(h.t.Context(), kit.Patience)
	defer cancel()
	got, err := client.New(client.Options{Socket: h.socket, Wait: kit.Patience}).Field(ctx, standing, "token")
	if err != nil || string(got) != "value of "+standMark {
		h.t.Errorf("a job got %q, %v:\n%s", got, err, agent.Output())
	}
	agent.Stop()
	if n := h.s.hosts(h.t) - h.others; n != 1 {
		h.t.Errorf("the host is %d hosts at the server", n)
	}
}

// eachDisk runs a test with hosts on the machine's own disk, where a crash is a kill, and with hosts on disks that lose
// what is not synced.
func eachDisk(t *testing.T, test func(t *testing.T, s *siege, host func(*testing.T) *mortal)) {
	t.Helper()
	bin, random := kit.CrashBin(t), crashSeed(t)
	disks := map[string]func(t *testing.T) (string, func()){
		"killed":    func(t *testing.T) (string, func()) { return kit.Dir(t), func() {} },
		"power cut": func(t *testing.T) (string, func()) { return forgetful(t, random) },
	}
	for name, disk := range disks {
		t.Run(name, func(t *testing.T) {
			s := newSiege(t, random, bin, emptyDir(t), nil)
			test(t, s, func(t *testing.T) *mortal {
				dir, cut := disk(t)
				return newMortal(t, s, dir, cut)
			})
		})
	}
}

// restart goes on with another life of the certificates that the server makes.
func (s *siege) restart(durations string) {
	s.t.Helper()
	s.server.Stop()
	s.victim.Durations = durations
	s.start("")
}

// A host that is killed anywhere on its way in is let in by the same command, as the one host that it is.
func TestEnrolmentCrashes(t *testing.T) {
	t.Parallel()
	eachDisk(t, func(t *testing.T, s *siege, host func(*testing.T) *mortal) {
		calm := host(t)
		calm.enroll("").Want(t, 0)
		for _, at := range storePoints(enrolPoints, nil, calm.victim.Hits(t)) {
			h := host(t)
			if r := h.enroll(at); r.Code != -1 {
				t.Fatalf("enrolment was not killed at %s: %d, %s", at, r.Code, r.Stderr)
			}
			h.cut()
			// Where the identity was stored already, the command says so.
			_, missing := os.Stat(filepath.Join(h.state, "identity.json"))
			r := h.enroll("")
			if missing == nil && !strings.Contains(r.Stderr, "enrolled already") || missing != nil && r.Code != 0 {
				t.Errorf("after %s: %d, %s", at, r.Code, r.Stderr)
			}
			h.cut()
			h.lives("connected")
			h.wantHit(at)
		}
	})
}

// wantHit is the control of one crash: the point was passed.
func (h *mortal) wantHit(at string) {
	h.t.Helper()
	point, _, _ := strings.Cut(at, ":")
	n := h.victim.Hits(h.t)[point]
	h.t.Logf("%s: %d hits", at, n)
	if n == 0 {
		h.t.Errorf("the point %s was never passed", point)
	}
}

// An agent that is killed anywhere in a renewal goes on by itself, with the old certificate or the new one.
func TestRenewalCrashes(t *testing.T) {
	t.Parallel()
	const renewed = "the certificate is renewed"
	eachDisk(t, func(t *testing.T, s *siege, host func(*testing.T) *mortal) {
		s.restart(dueLife)
		calm := host(t)
		calm.enroll("").Want(t, 0)
		enrolled := calm.victim.Hits(t)
		calm.lives(renewed)
		for _, at := range storePoints(renewPoints, enrolled, calm.victim.Hits(t)) {
			h := host(t)
			h.enroll("").Want(t, 0)
			h.cut()
			h.dies(at, renewed)
			h.lives(renewed)
			h.wantHit(at)
		}
	})
}

// An agent whose certificate has ended and that is killed anywhere in its recovery recovers when it starts again.
func TestRecoveryCrashes(t *testing.T) {
	t.Parallel()
	const files = 3 // that a recovery stores: a key, an identity, a checkpoint
	eachDisk(t, func(t *testing.T, s *siege, host func(*testing.T) *mortal) {
		s.restart(shortLife)
		points := storePoints(recoverPoints, nil, map[string]int{"durable.sync": files, "durable.move": files, "durable.syncdir": files})
		var hosts []*mortal
		for range points {
			h := host(t)
			h.enroll("").Want(t, 0)
			h.cut()
			hosts = append(hosts, h)
		}
		time.Sleep(1100 * time.Millisecond) // until the last certificate has ended
		s.restart(dueLife)
		for i, at := range points {
			h := hosts[i]
			h.others = s.hosts(t) - 1
			h.dies(at, "connected")
			h.lives("connected")
			h.wantHit(at)
		}
	})
}
