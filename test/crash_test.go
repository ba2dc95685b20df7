package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// crashes is how many random moments the tour is crashed at; the seed is printed, and STRONGROOM_CRASH_SEED repeats it.
const crashes = 10

// Server or agent is killed at random moments of the tour, on one vault over all rounds: each time both start again,
// the tour goes on to its end, and nothing that was answered for in an earlier round is lost.
func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("STRONGROOM_CRASH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("STRONGROOM_CRASH_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	server := kit.NewServer(t)

	// One round without a crash says how long a tour takes.
	begun := time.Now()
	calm := &round{t: t, server: server, name: "calm"}
	calm.play()
	length := time.Since(begun)

	hits := 0
	for i := range crashes {
		r := &round{t: t, server: server, name: fmt.Sprintf("round-%d", i), victim: "server"}
		if random.IntN(2) == 1 {
			r.victim = "agent"
		}
		r.after = time.Duration(random.Int64N(int64(length)))
		r.play()
		t.Logf("%s: %s killed after %v, in %q", r.name, r.victim, r.after.Round(time.Millisecond), r.hit)
		if r.hit != "" {
			hits++
		}
	}
	if hits < crashes/2 {
		t.Errorf("only %d of %d kills hit a running tour: the moments prove little", hits, crashes)
	}

	server.Admin.Do(t, "audit", "verify")
	for i := range crashes {
		name := fmt.Sprintf("round-%d", i)
		var shown struct{ Fields map[string]string }
		server.Admin.Do(t, "credential", "show", name, "--reveal", "--json").JSON(t, &shown)
		if want := "secret of " + name; shown.Fields["password"] != want {
			t.Errorf("%s: the vault has %q, want %q", name, shown.Fields["password"], want)
		}
	}
}

// A round is one tour with one crash.
type round struct {
	t      *testing.T
	server *kit.Server
	agent  *kit.Agent
	name   string
	victim string        // server or agent; nobody where empty
	after  time.Duration // from the beginning of the tour
	step   atomic.Value  // string: what is being done
	over   chan struct{} // closed when it is too late to kill
	killer chan struct{} // closed when nobody will kill any more
	dead   chan struct{} // closed when the victim is gone; nil where there is none, or it runs again
	hit    string        // the step that was being done when it died
}

func (r *round) play() {
	admin, name := r.server.Admin, r.name
	r.over, r.killer = make(chan struct{}), make(chan struct{})
	if r.victim == "server" {
		r.killLater(r.server.Process, r.after)
	}
	begun := time.Now()

	r.do("credential add", "taken", func() kit.Result {
		return admin.With("secret of "+name).Run(r.t, "credential", "add", name, "--application", "generic-rest", "--auth-type", "basic",
			"--field", "url=https://api.example.com", "--field", "username=robot", "--secret", "password=-")
	})
	token := r.do("host join-token", "", func() kit.Result { return admin.Run(r.t, "host", "join-token", "--json") })
	var made struct{ Join string }
	token.JSON(r.t, &made)
	r.agent = kit.NewAgent(r.t)
	r.do("enroll", "", func() kit.Result { return r.agent.Enroll(r.t, made.Join) })
	r.step.Store("agent run")
	r.agent.Start(r.t)
	if r.victim == "agent" {
		r.killLater(r.agent.Process, max(0, r.after-time.Since(begun)))
	}
	r.do("grant add", "taken", func() kit.Result {
		return admin.Run(r.t, "grant", "add", name, "--credential", name, "--host", r.agent.Host)
	})
	for range 3 { // from the server, and from the agent's memory
		r.do("get", "", func() kit.Result { return r.get() })
	}
	r.do("credential edit", "", func() kit.Result {
		return admin.With("secret of "+name).Run(r.t, "credential", "edit", name, "--secret", "password=-")
	})
	r.do("get after edit", "", func() kit.Result { return r.get() })
	r.step.Store("")
	close(r.over)
	if r.victim != "" {
		<-r.killer
	}
	r.revive()
	password(r.t, r.get(), "secret of "+name)
	r.agent.Stop()
}

// get gives an agent time to find its server again; nothing else is forgiven.
func (r *round) get() kit.Result {
	var got kit.Result
	kit.Eventually(r.t, kit.Patience, "the agent answers", func() bool {
		got = r.agent.Run(r.t, "get", r.name, "--field", "password")
		return got.Code != 5 || r.gone()
	})
	return got
}

// do runs a step. Where it fails because the victim has died, the victim is started again and the step repeated; done
// is what the repetition may say where the first had worked and only its answer was lost.
func (r *round) do(step, done string, run func() kit.Result) kit.Result {
	r.t.Helper()
	r.step.Store(step)
	result := run()
	if result.Code == 0 {
		return result
	}
	if !r.gone() {
		return result.Want(r.t, 0)
	}
	r.revive()
	result = run()
	if done != "" && result.Code == 1 && strings.Contains(result.Stderr, done) {
		return result
	}
	return result.Want(r.t, 0)
}

// killLater kills a daemon once the time has come, unless the round is over.
func (r *round) killLater(p *kit.Process, after time.Duration) {
	r.dead = make(chan struct{})
	dead := r.dead
	go func() {
		defer close(r.killer)
		select {
		case <-r.over:
			return
		case <-time.After(after):
		}
		r.hit, _ = r.step.Load().(string)
		p.Kill()
		close(dead)
	}()
}

// gone says whether the victim has been killed and not been started again. A step that failed because of it may
// notice a moment before the killer does.
func (r *round) gone() bool {
	if r.dead == nil {
		return false
	}
	select {
	case <-r.dead:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// revive starts the victim again, and waits for the agent to find its server.
func (r *round) revive() {
	r.t.Helper()
	if !r.gone() {
		return
	}
	r.dead = nil
	if r.victim == "server" {
		r.server.Start(r.t)
	} else {
		r.agent.Start(r.t)
	}
	if r.agent != nil && r.agent.Process != nil {
		r.agent.Connected(r.t)
	}
}
