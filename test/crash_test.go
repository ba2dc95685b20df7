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

	// One round without a crash says which steps there are and how long each takes.
	calm := &round{t: t, server: server, name: "calm"}
	calm.play()
	for i := range crashes {
		r := &round{t: t, server: server, name: fmt.Sprintf("round-%d", i), victim: "server"}
		first := 0
		if random.IntN(2) == 1 {
			r.victim, first = "agent", calm.agentFrom
		}
		r.killIn = first + random.IntN(len(calm.took)-first)
		r.after = time.Duration(random.Int64N(int64(calm.took[r.killIn])))
		r.play()
		t.Logf("%s: %s killed in step %d after %v, in %q", r.name, r.victim, r.killIn, r.after.Round(time.Millisecond), r.hit)
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
	t         *testing.T
	server    *kit.Server
	agent     *kit.Agent
	name      string
	took      []time.Duration // of each step
	agentFrom int             // the first step with an agent running

	victim string        // server or agent; nobody where empty
	killIn int           // the step that the crash is in
	after  time.Duration // and how long after its beginning
	step   atomic.Value  // string: what is being done
	dying  chan struct{} // closed when the victim is about to be killed
	dead   chan struct{} // closed when the victim is gone; nil before and after
	hit    string        // what was being done then
}

func (r *round) play() {
	admin, name := r.server.Admin, r.name
	r.do("credential add", "taken", func() kit.Result {
		return admin.With("secret of "+name).Run(r.t, "credential", "add", name, "--application", "generic-rest", "--auth-type", "basic",
			"--field", "url=https://api.example.com", "--field", "username=robot", "--secret", "password=-")
	})
	token := r.do("host join-token", "", func() kit.Result { return admin.Run(r.t, "host", "join-token", "--json") })
	var made struct{ Join string }
	token.JSON(r.t, &made)
	r.agent = kit.NewAgent(r.t)
	r.do("enroll", "", func() kit.Result { return r.agent.Enroll(r.t, made.Join) })
	r.agent.Start(r.t)
	r.agentFrom = len(r.took)
	r.do("grant add", "taken", func() kit.Result {
		return admin.Run(r.t, "grant", "add", name, "--credential", name, "--host", r.agent.Host)
	})
	r.do("get", "", r.get) // from the server
	r.do("get again", "", r.get)
	r.do("credential edit", "", func() kit.Result {
		return admin.With("secret of "+name).Run(r.t, "credential", "edit", name, "--secret", "password=-")
	})
	r.do("get after edit", "", r.get)
	r.step.Store("nothing: the tour was over")
	if r.dead != nil {
		<-r.dead
		r.revive()
	}
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
	if r.victim != "" && r.killIn == len(r.took) {
		r.killLater()
	}
	begun := time.Now()
	result := run()
	r.took = append(r.took, time.Since(begun))
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

func (r *round) killLater() {
	victim := r.server.Process
	if r.victim == "agent" {
		victim = r.agent.Process
	}
	dying, dead := make(chan struct{}), make(chan struct{})
	r.dying, r.dead = dying, dead
	go func() {
		defer close(dead)
		time.Sleep(r.after)
		r.hit, _ = r.step.Load().(string)
		close(dying)
		victim.Kill()
	}()
}

// gone says whether the victim has been killed and not been started again. A step that failed because of it may
// notice before the killer does.
func (r *round) gone() bool {
	if r.dead == nil {
		return false
	}
	select {
	case <-r.dying:
		<-r.dead
		return true
	default:
		return false
	}
}

// revive starts the victim again, and waits for the agent to find its server.
func (r *round) revive() {
	r.t.Helper()
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
