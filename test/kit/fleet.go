package kit

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var plain struct {
	once sync.Once
	err  error
}

// PlainBin gives the folder of the server and of the fleet without the race detector, built once a test run.
func PlainBin(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Bin(t), "plain") // which Main removes
	plain.once.Do(func() {
		if plain.err = os.Mkdir(dir, 0o755); plain.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", dir+string(filepath.Separator), "./test/fleet", "./server/cmd/strongroom-server")
		cmd.Dir = Root()
		if out, err := cmd.CombinedOutput(); err != nil {
			plain.err = fmt.Errorf("building without the race detector: %w\n%s", err, out)
		}
	})
	if plain.err != nil {
		t.Fatal(plain.err)
	}
	return dir
}

// A Fleet is many agents in one process.
type Fleet struct {
	*Process
	Size int
	dir  string
}

// NewFleet begins to enrol and start agents.
func (s *Server) NewFleet(t testing.TB, size int, labels ...string) *Fleet {
	t.Helper()
	return s.newFleet(t, Command{Plain: true}, size, labels)
}

func (s *Server) newFleet(t testing.TB, way Command, size int, labels []string) *Fleet {
	t.Helper()
	args := []string{"host", "join-token", "--json", "--uses", strconv.Itoa(size)}
	for _, label := range labels {
		args = append(args, "--label", label)
	}
	var made struct{ Join string }
	s.Admin.Do(t, args...).JSON(t, &made)
	f := &Fleet{Size: size, dir: Dir(t)}
	f.Process = way.Start(t, "fleet", "-dir", f.dir, "-n", strconv.Itoa(size), "-join", File(t, made.Join))
	return f
}

// Socket is that of one of the agents, counted from 0.
func (f *Fleet) Socket(agent int) string { return filepath.Join(f.dir, strconv.Itoa(agent)+".sock") }

// An Event is what an agent of a fleet logs about its connection.
type Event struct {
	Agent   int
	Time    time.Time
	Message string        `json:"msg"`      // connected, not connected
	Why     string        `json:"why"`      // not connected: the reason
	RetryIn time.Duration `json:"retry_in"` // not connected: how long it waits
}

// Events are those of all agents about their connections, in their order.
func (f *Fleet) Events(t testing.TB) []Event {
	t.Helper()
	var events []Event
	for line := range strings.Lines(f.Output()) {
		if !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}\n") {
			continue // not the log's, or not all of it yet
		}
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("the fleet logged %q: %v", line, err)
		}
		if e.Message == "connected" || e.Message == "not connected" {
			events = append(events, e)
		}
	}
	return events
}
