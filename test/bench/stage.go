//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything may take that has no deadline of its own.
const patience = 20 * time.Second

// A stage is the folder of a run and the processes that it started.
type stage struct {
	ctx      context.Context
	bin, dir string
	self     string // this program, which is also the floor and the fresh jobs
	daemons  []*daemon
}

func newStage(ctx context.Context, bin, dir string) (*stage, error) {
	self, err := os.Executable()
	return &stage{ctx: ctx, bin: bin, dir: dir, self: self}, err
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// write leaves a file that only this user may read.
func (s *stage) write(name string, text []byte) (string, error) {
	return s.path(name), os.WriteFile(s.path(name), text, 0o600)
}

// close ends every daemon, the last first.
func (s *stage) close() error {
	var err error
	for _, d := range slices.Backward(s.daemons) {
		err = errors.Join(err, d.stop())
	}
	return err
}

// command prepares a program, without what would lead it to somebody's real vault.
func (s *stage) command(ctx context.Context, env []string, program string, args ...string) *exec.Cmd {
	if program != s.self {
		program = filepath.Join(s.bin, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "STRONGROOM_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// output runs a command to its end and reads the JSON document that it prints, if into is given.
func (s *stage) output(into any, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	cmd := s.command(ctx, nil, program, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), args[0], err, stderr.Bytes())
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(out, into); err != nil {
		// The decoder's error may quote what it read.
		return fmt.Errorf("%s %s printed no JSON document", filepath.Base(program), args[0])
	}
	return nil
}

// A daemon is a process that stays until it is stopped.
type daemon struct {
	cmd   *exec.Cmd
	log   string
	ready map[string]string // the pairs of its ready line
	ended chan struct{}
}

// start runs a program in the background and waits until it is ready. What it logs goes to a file.
func (s *stage) start(name string, env []string, program string, args ...string) (*daemon, error) {
	cmd := s.command(context.WithoutCancel(s.ctx), env, program, args...)
	d := &daemon{cmd: cmd, log: s.path(name + ".log"), ended: make(chan struct{})}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.daemons = append(s.daemons, d)
	ready := make(chan string, 1)
	go d.follow(stdout, ready)
	select {
	case line := <-ready:
		d.ready = map[string]string{}
		for _, pair := range strings.Fields(line) {
			key, value, _ := strings.Cut(pair, "=")
			d.ready[key] = value
		}
		return d, nil
	case <-d.ended:
		text, err := os.ReadFile(d.log)
		return nil, errors.Join(fmt.Errorf("%s ended before it was ready:\n%s", name, text), err)
	case <-time.After(patience):
		return nil, fmt.Errorf("%s is not ready after %v", name, patience)
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	}
}

// follow reads stdout to its end, as Wait demands, and then waits.
func (d *daemon) follow(stdout io.Reader, ready chan<- string) {
	defer close(d.ended)
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "ready "); ok && len(ready) == 0 {
			ready <- rest
		}
	}
	_ = d.cmd.Wait() // that it ended is all there is to say
}

// stop ends a daemon as a service manager does, and by force where that takes long.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-d.ended:
		return nil
	case <-time.After(5 * time.Second):
	}
	_ = d.cmd.Process.Kill()
	<-d.ended
	return fmt.Errorf("%s still ran 5 s after SIGTERM", d.cmd.Path)
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }
