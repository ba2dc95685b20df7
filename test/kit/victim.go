package kit

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// crashTag is that of the builds that know the points of shared/crash.
const crashTag = "crashpoints"

var crashing struct {
	once sync.Once
	err  error
}

// CrashBin gives the folder of the programs that can be killed at named points. They are built once a test run, without
// the race detector: they are started some hundred times.
func CrashBin(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Bin(t), crashTag) // which Main removes
	crashing.once.Do(func() { crashing.err = buildCrashing(dir, "-o", dir+"/") })
	if crashing.err != nil {
		t.Fatal(crashing.err)
	}
	return dir
}

// Mutant builds the programs of CrashBin with lines replaced: by path from the module's root what is there, once, and
// what is there instead. The control of a test that must find what is wrong then.
func Mutant(t testing.TB, lines map[string][2]string) string {
	t.Helper()
	dir := Dir(t)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, line := range lines {
		path := filepath.Join(Root(), filepath.FromSlash(file))
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), line[0]) != 1 {
			t.Fatalf("%s does not have %q once: the control is out of date", file, line[0])
		}
		overlay.Replace[path] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		text = []byte(strings.Replace(string(text), line[0], line[1], 1))
		if err := os.WriteFile(overlay.Replace[path], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := buildCrashing(bin, "-overlay", File(t, string(text)), "-o", bin+"/"); err != nil {
		t.Fatal(err)
	}
	return bin
}

func buildCrashing(dir string, flags ...string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	args := append([]string{"build", "-buildvcs=false", "-tags", crashTag}, flags...)
	cmd := exec.Command("go", append(args, "./server/cmd/strongroom-server", "./agent/cmd/strongroom-agent")...)
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs with crash points: %w\n%s", err, out)
	}
	return nil
}

// A Victim runs programs of CrashBin, or of a Mutant, that a test kills at named points. Its methods are for one
// goroutine.
type Victim struct {
	Bin       string
	Durations string // NAME=DURATION, with commas: what crash.Duration gives
	hits, arm string // files
}

// NewVictim is for the programs of a folder.
func NewVictim(t testing.TB, bin string) *Victim {
	t.Helper()
	dir := Dir(t)
	return &Victim{Bin: bin, hits: filepath.Join(dir, "hits"), arm: filepath.Join(dir, "arm")}
}

func (v *Victim) environment(at string) []string {
	if at == "" {
		at = "@" + v.arm
	}
	return []string{"STRONGROOM_CRASH=" + at, "STRONGROOM_CRASH_LOG=" + v.hits, "STRONGROOM_CRASH_DURATIONS=" + v.Durations}
}

// Run runs a command, which is killed at a point where one is given as NAME:N: its code is -1 then.
func (v *Victim) Run(t testing.TB, at, program string, args ...string) Result {
	t.Helper()
	return Command{Program: filepath.Join(v.Bin, program), Env: v.environment(at)}.Run(t, args...)
}

// Start runs a daemon, which is killed at a point where one is given, or where Arm is told later.
func (v *Victim) Start(t testing.TB, at, program string, args ...string) *Process {
	t.Helper()
	v.disarm(t)
	p := &Process{t: t, lines: make(chan string, 16), ended: make(chan struct{})}
	p.cmd = exec.Command(filepath.Join(v.Bin, program), args...)
	p.cmd.Env = Environment(v.environment(at)...)
	p.cmd.SysProcAttr = attributes(nil)
	p.cmd.Stderr = p
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(stdout)
	t.Cleanup(p.Kill)
	return p
}

// Arm has the running daemon killed when it passes a point for the Nth time from now on: NAME:N.
func (v *Victim) Arm(t testing.TB, at string) {
	t.Helper()
	if err := os.WriteFile(v.arm+".new", []byte(at), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(v.arm+".new", v.arm); err != nil {
		t.Fatal(err)
	}
}

func (v *Victim) disarm(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(v.arm); err != nil {
		t.Fatal(err)
	}
}

// Hits counts how often each point was passed.
func (v *Victim) Hits(t testing.TB) map[string]int {
	t.Helper()
	text, err := os.ReadFile(v.hits)
	if err != nil {
		t.Fatal(err)
	}
	hits := map[string]int{}
	for name := range strings.Lines(string(text)) {
		hits[strings.TrimSpace(name)]++
	}
	return hits
}

// Serves waits until the daemon says that it serves, or has been killed: then it is false. A daemon that ends otherwise
// fails the test.
func (p *Process) Serves() bool {
	p.t.Helper()
	for {
		select {
		case line := <-p.lines:
			if strings.HasPrefix(line, "ready ") {
				return true
			}
		case <-p.ended:
			if !p.Killed() {
				p.t.Fatalf("%s ended by itself (%v):\n%s", p.cmd.Path, p.cmd.ProcessState, p.Output())
			}
			return false
		case <-p.t.Context().Done():
			p.t.Fatalf("the test is over and %s is not ready:\n%s", p.cmd.Path, p.Output())
		}
	}
}

// Ended is closed once the process is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Killed says whether the process, which has ended, was killed.
func (p *Process) Killed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Address gives a HOST:PORT that a server can come back to after a crash.
func Address(t testing.TB) string {
	t.Helper()
	return freeAddress(t)
}
