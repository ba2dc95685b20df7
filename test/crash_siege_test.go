package test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/test/kit"
)

// crashSeed is printed; STRONGROOM_CRASH_SEED repeats it.
func crashSeed(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("STRONGROOM_CRASH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("STRONGROOM_CRASH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A siege is a vault whose server is crashed again and again, and what it has answered for so far.
type siege struct {
	t               testing.TB
	random          *rand.Rand
	victim          *kit.Victim
	data            string
	agents, console string // HOST:PORT
	fingerprint     string
	arena           *secret.Arena
	token           *secret.Buffer
	server          *kit.Process
	ledger          *ledger
	// cut is what comes after each crash, before the server is started again; nil: nothing.
	cut     func()
	crashes int
	struck  map[string]int // crashes by the point that they were at
	starts  []time.Duration
}

// randomly is where a crash was that was at no point.
const randomly = "a random moment"

// newSiege makes a vault in a folder that is not there yet. cut, where given, comes after init and after each crash.
func newSiege(t testing.TB, random *rand.Rand, bin, data string, cut func()) *siege {
	t.Helper()
	arena, err := secret.NewArena(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = arena.Close() })
	s := &siege{
		t: t, random: random, victim: kit.NewVictim(t, bin), data: data,
		agents: kit.Address(t), console: kit.Address(t), arena: arena, cut: cut, struck: map[string]int{},
	}
	var made struct {
		CAFingerprint string `json:"ca_fingerprint"`
		AdminPassword string `json:"admin_password"`
	}
	s.victim.Run(t, "", "strongroom-server", "init", "--data", data, "--json").Want(t, 0).JSON(t, &made)
	s.fingerprint = made.CAFingerprint
	if cut != nil {
		cut() // init has said that there is a vault
	}
	s.start("")
	password, err := arena.From([]byte(made.AdminPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer password.Wipe()
	client := s.client()
	defer client.Close()
	session, err := client.Login(t.Context(), "admin", password, "")
	if err != nil {
		t.Fatal(err)
	}
	s.token = session.Token
	s.ledger = newLedger(s)
	return s
}

func (s *siege) client() *api.Client {
	s.t.Helper()
	c, err := api.New(api.Config{Server: s.console, CAFingerprint: s.fingerprint, Token: s.token, Arena: s.arena})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// start runs the server and says whether it serves: false where it was killed at a point while it started.
func (s *siege) start(at string) bool {
	s.t.Helper()
	begun := time.Now()
	s.server = s.victim.Start(s.t, at, "strongroom-server", "run", "--data", s.data, "--agents", s.agents, "--console", s.console)
	if !s.server.Serves() {
		s.crashed(at)
		return false
	}
	s.starts = append(s.starts, time.Since(begun))
	return true
}

// crashed is called once the server is gone: at a point, or killed at a random moment. It looks at what is left.
func (s *siege) crashed(at string) {
	s.t.Helper()
	s.crashes++
	point, _, _ := strings.Cut(at, ":")
	s.struck[point]++
	if s.cut != nil {
		s.cut()
	}
	s.verify(at)
}

// attack lets everybody work until the server is gone: killed at a point, NAME:N, or at a random moment, which is also
// where the point is not reached in time. It says which it was.
func (s *siege) attack(at string) string {
	s.t.Helper()
	wait := 20 * time.Second
	if at == "" {
		wait = time.Duration(s.random.Int64N(int64(200 * time.Millisecond)))
	} else {
		s.victim.Arm(s.t, at)
	}
	var workers sync.WaitGroup
	for _, work := range s.ledger.workers() {
		workers.Go(work)
	}
	select {
	case <-s.server.Ended():
		if !s.server.Killed() {
			s.t.Fatalf("the server ended by itself:\n%s", s.server.Output())
		}
	case <-time.After(wait):
		s.server.Kill()
		at = randomly
	}
	workers.Wait()
	s.crashed(at)
	return at
}

// A storm is a number of crashes at points, in turn, and at random moments, each followed by a look at everything.
func (s *siege) storm(crashes int) {
	s.t.Helper()
	for round := 0; s.crashes < crashes; round++ {
		at := ""
		if round%4 != 3 {
			at = servingPoints[(round-round/4)%len(servingPoints)]
			at = fmt.Sprintf("%s:%d", at, 1+s.random.IntN(timesPassed(at)))
		}
		at = s.attack(at)
		for _, point := range s.startsToCrash(round, at) {
			if s.start(point + ":1") {
				s.server.Kill()
				s.crashed(randomly)
			}
		}
		if !s.start("") {
			s.t.Fatal("the server was killed where nobody asked for it")
		}
		s.ledger.settle()
		if s.t.Failed() {
			s.t.Fatalf("after crash %d at %s", s.crashes, at)
		}
	}
	s.server.Kill()
	s.crashed(randomly)
	s.report()
}

// startsToCrash says where the next starts are crashed: some of them, and of those some once more. There is something
// to reconcile where the crash came between a change's intent and its outcome.
func (s *siege) startsToCrash(round int, after string) (points []string) {
	point, _, _ := strings.Cut(after, ":")
	switch {
	case round%2 == 0 && (point == "audit.change.intent" || point == "audit.change.stored" || strings.HasPrefix(point, "store.")):
		points = []string{"audit.reconcile"}
	case round%3 == 0:
		points = []string{startPoints[round/3%len(startPoints)]}
	}
	if len(points) > 0 && s.random.IntN(3) == 0 {
		points = append(points, startPoints[s.random.IntN(len(startPoints))])
	}
	return points
}

// timesPassed is how often a point is passed in no time: hosts do not join as often as things change.
func timesPassed(point string) int {
	if strings.HasSuffix(point, ".joined") {
		return 2
	}
	return 16
}

// verify checks what a crash left on the disk, before anybody mends it: the log, bbolt's pages, and every record.
func (s *siege) verify(at string) {
	s.t.Helper()
	for _, args := range [][]string{
		{"verify", "--data", s.data},
		{"check", "--data", s.data, "--key-file", filepath.Join(s.data, "unseal.key")},
	} {
		if r := s.victim.Run(s.t, "", "strongroom-server", args...); r.Code != 0 {
			s.t.Fatalf("%s after crash %d at %s: %d, %s", args[0], s.crashes, at, r.Code, r.Stderr)
		}
	}
}

func (s *siege) report() {
	s.t.Helper()
	total, worst := time.Duration(0), time.Duration(0)
	for _, d := range s.starts {
		total, worst = total+d, max(worst, d)
	}
	s.t.Logf("%d crashes; %d starts took %v in the mean and %v at most; %s",
		s.crashes, len(s.starts), (total / time.Duration(len(s.starts))).Round(time.Millisecond), worst.Round(time.Millisecond), s.ledger)
}

// wantHits prints how often each point was passed and how many crashes were at it, and fails the test where one has none.
func wantHits(sieges []*siege, points []string) {
	t := sieges[0].t
	t.Helper()
	hits, struck := map[string]int{}, map[string]int{}
	for _, s := range sieges {
		for name, n := range s.victim.Hits(t) {
			hits[name] += n
		}
		for name, n := range s.struck {
			struck[name] += n
		}
	}
	points = slices.Sorted(slices.Values(points))
	for _, point := range append(slices.Compact(points), randomly) {
		t.Logf("%6d hits, %3d crashes: %s", hits[point], struck[point], point)
		if struck[point] == 0 {
			t.Errorf("no crash was at %s", point)
		}
	}
}

// unanswered says that a call has no answer because the server is gone. Anything else that went wrong is a fault.
func unanswered(err error) bool {
	var network net.Error
	return errors.Is(err, api.ErrNotReachable) || errors.As(err, &network)
}

func emptyDir(t testing.TB) string { return filepath.Join(kit.Dir(t), "data") }
