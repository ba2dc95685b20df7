package kit

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a running daemon. Its output is shown where the test fails.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	lines  chan string // what it prints on stdout
	ended  chan struct{}
	mu     sync.Mutex
	output bytes.Buffer
}

// raceReport is what a program built with the race detector says when it finds one.
const raceReport = "WARNING: DATA RACE"

// Start runs a program of Bin in the background.
func Start(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	return Command{}.Start(t, program, args...)
}

// Start runs a program of Bin in the background, in the command's way. The command's own program is not used.
func (c Command) Start(t testing.TB, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, lines: make(chan string, 16), ended: make(chan struct{})}
	bin := Bin(t)
	if c.Plain {
		bin = PlainBin(t)
	}
	p.cmd = exec.Command(filepath.Join(bin, program), append(args, c.Args...)...)
	p.cmd.Env = Environment(c.Env...)
	through(p.cmd, c.Through)
	c.launching(p.cmd)
	p.cmd.Stderr = p
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(stdout)
	t.Cleanup(func() {
		p.Kill()
		if strings.Contains(p.Output(), raceReport) {
			t.Errorf("%s has a data race", program)
		}
		if t.Failed() {
			t.Logf("%s %s:\n%s", program, strings.Join(args, " "), p.Output())
		}
	})
	return p
}

// follow reads stdout to its end, as Wait demands, and then waits.
func (p *Process) follow(stdout io.Reader) {
	defer close(p.ended)
	scanner := bufio.NewScanner(stdout)
	for scanner.Scan() {
		line := scanner.Text()
		_, _ = p.Write([]byte(line + "\n"))
		select {
		case p.lines <- line:
		default: // nobody reads beyond the ready line
		}
	}
	_ = p.cmd.Wait() // how it ended is asked by Stop
}

// Write takes the process's stderr.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

// Output is all that the process has printed, on both streams.
func (p *Process) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// Ready waits for the line that says the daemon serves and gives its KEY=VALUE pairs.
func (p *Process) Ready() map[string]string {
	p.t.Helper()
	for deadline := time.After(Patience); ; {
		select {
		case line := <-p.lines:
			if rest, ok := strings.CutPrefix(line, "ready "); ok {
				pairs := map[string]string{}
				for _, pair := range strings.Fields(rest) {
					key, value, _ := strings.Cut(pair, "=")
					pairs[key] = value
				}
				return pairs
			}
		case <-p.ended:
			p.t.Fatalf("%s ended before it was ready (%v):\n%s", p.cmd.Path, p.cmd.ProcessState, p.Output())
		case <-deadline:
			p.t.Fatalf("%s is not ready after %v:\n%s", p.cmd.Path, Patience, p.Output())
		}
	}
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.ended
}

// AwaitEnd waits for the process's end and says how it was.
func (p *Process) AwaitEnd() *os.ProcessState {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.t.Fatalf("%s still runs after %v:\n%s", p.cmd.Path, Patience, p.Output())
	}
	return p.cmd.ProcessState
}

// Stop ends the process as a service manager does; it must exit with 0.
func (p *Process) Stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%s: %v", p.cmd.Path, err)
	}
	select {
	case <-p.ended:
	case <-time.After(Patience):
		p.Kill()
		p.t.Fatalf("%s still ran %v after SIGTERM:\n%s", p.cmd.Path, Patience, p.Output())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Fatalf("%s ended with %d after SIGTERM:\n%s", p.cmd.Path, code, p.Output())
	}
}

// Environment is this process's without what would lead the programs to somebody's real vault.
func Environment(extra ...string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "STRONGROOM_") {
			env = append(env, pair)
		}
	}
	// A program built with the race detector would sleep a second at its end, for goroutines that still race then.
	return append(append(env, "GORACE=atexit_sleep_ms=0"), extra...)
}
