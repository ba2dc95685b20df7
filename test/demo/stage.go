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
	"time"
)

const patience = 2 * time.Minute

// A stage is the demo's folder, the daemons that run on it and the environment in which commands are typed.
type stage struct {
	ctx      context.Context
	bin, dir string
	colour   bool
	steps    int
	env      []string // what a person would export
	host     string
	closers  []func()
	ended    chan string // a daemon that ended by itself
}

func newStage(ctx context.Context, bin, dir string) *stage {
	info, err := os.Stdout.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &stage{ctx: ctx, bin: bin, dir: dir, colour: terminal && os.Getenv("NO_COLOR") == "", ended: make(chan string, 2)}
}

// close ends what was started, the last first.
func (s *stage) close() {
	for _, c := range slices.Backward(s.closers) {
		c()
	}
}

func (s *stage) onClose(c func()) { s.closers = append(s.closers, c) }

func (s *stage) step(text string) {
	s.steps++
	fmt.Printf("%2d  %s\n", s.steps, text)
}

// note prints what is less than a step: a command, or what it said.
func (s *stage) note(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if s.colour {
			fmt.Printf("    \x1b[2m%s\x1b[0m\n", line)
		} else {
			fmt.Printf("    %s\n", line)
		}
	}
}

// environment is the person's own, without what would lead the commands elsewhere or make git ask somebody.
func (s *stage) environment() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "STRONGROOM_") && !strings.HasPrefix(pair, "GIT_") {
			env = append(env, pair)
		}
	}
	return append(append(env, "PATH="+s.bin+":"+os.Getenv("PATH"), "LC_ALL=C",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_TERMINAL_PROMPT=0"), s.env...)
}

// command prepares what is typed; programs of ours are found in bin.
func (s *stage) command(args []string) *exec.Cmd {
	s.note("$ " + typed(args))
	name := args[0]
	if own := filepath.Join(s.bin, name); strings.HasPrefix(name, "strongroom") {
		name = own
	}
	cmd := exec.CommandContext(s.ctx, name, args[1:]...)
	cmd.Dir = s.dir
	cmd.Env = s.environment()
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = time.Second
	return cmd
}

// typed shows a command as it would be typed.
func typed(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if strings.ContainsAny(a, " '\"$();&") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func (s *stage) run(args ...string) error { return s.runWith("", args...) }

// runWith runs a command that must succeed, with text on its stdin.
func (s *stage) runWith(stdin string, args ...string) error {
	cmd := s.command(args)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return s.failed(cmd, err, out)
	}
	return nil
}

// mustFail runs a job that has to be turned away, and shows how it is.
func (s *stage) mustFail(args ...string) error {
	cmd := s.command(args)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err == nil {
		return fmt.Errorf("%s succeeded, and should not have", typed(args))
	}
	if s.ctx.Err() != nil || !errors.As(err, &exit) {
		return s.failed(cmd, err, out)
	}
	s.note(string(out))
	s.note(fmt.Sprintf("(exit code %d)", exit.ExitCode()))
	return nil
}

// output runs a command that prints one JSON document, and reads it.
func (s *stage) output(into any, args ...string) error {
	cmd := s.command(args)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return s.failed(cmd, err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}

func (s *stage) failed(cmd *exec.Cmd, err error, out []byte) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	return fmt.Errorf("%s: %w\n%s", typed(append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...)), err, out)
}

// daemon starts a program that stays, and gives the pairs of its ready line. What it logs goes to a file.
func (s *stage) daemon(logName string, args ...string) (map[string]string, error) {
	cmd := s.command(args)
	cmd.Cancel = func() error { return nil } // close ends it, in its turn
	cmd.WaitDelay = 0
	log, err := os.Create(filepath.Join(s.dir, logName))
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
	ready, gone := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(gone)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "ready "); ok && len(ready) == 0 {
				ready <- rest
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // that it ended is all there is to say
		s.ended <- args[0]
	}()
	s.onClose(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended by itself
		select {
		case <-gone:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-gone
		}
	})
	return s.awaitReady(args[0], logName, ready, gone)
}

func (s *stage) awaitReady(name, logName string, ready chan string, gone chan struct{}) (map[string]string, error) {
	select {
	case line := <-ready:
		pairs := map[string]string{}
		for _, pair := range strings.Fields(line) {
			key, value, _ := strings.Cut(pair, "=")
			pairs[key] = value
		}
		return pairs, nil
	case <-gone:
		text, err := os.ReadFile(filepath.Join(s.dir, logName))
		return nil, errors.Join(fmt.Errorf("%s ended before it was ready:\n%s", name, text), err)
	case <-time.After(patience):
		return nil, fmt.Errorf("%s is not ready after %v", name, patience)
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// wait lasts until Ctrl-C, or until a daemon ends by itself.
func (s *stage) wait() error {
	select {
	case <-s.ctx.Done():
		fmt.Println("\nEnding, and removing " + s.dir)
		return nil
	case name := <-s.ended:
		return fmt.Errorf("%s has ended by itself", name)
	}
}
