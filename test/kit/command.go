package kit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A Command is a foreground command with its environment: a person's or a job's.
type Command struct {
	Program string
	Env     []string // besides what the test has
	Stdin   string
	User    *User    // nil: the test's own
	Args    []string // of a daemon, besides those that it always has
	// PlainArena runs the program as on a kernel without memfd_secret, so that the arena can be looked into.
	PlainArena bool
	// LockLimit is how many bytes the program may lock (RLIMIT_MEMLOCK); 0: what the test may.
	LockLimit int
	// Through is what runs the program elsewhere, given it and its arguments: a namespace's.
	Through []string
	// Plain starts the program of PlainBin in place of Bin's: hundreds of agents would measure the race detector.
	Plain bool
}

// A User is another user of this machine to run a job as.
type User struct {
	Name     string
	UID, GID uint32
}

// Nobody is the user that Debian has for those who own nothing.
var Nobody = User{Name: "nobody", UID: 65534, GID: 65534}

// NeedRoot is called by tests that act as several users, which only root can.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		Missing(t, "root, to act as several users: run it as root, as CI does")
	}
}

// Missing ends a test that needs what is not there. In CI, where CI is set, everything is there, and it fails; elsewhere it
// is skipped, and says what it needs. Nothing else of a test may skip it.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal("this test needs " + what)
	}
	t.Skip("needs " + what)
}

// A Result is how a command ended.
type Result struct {
	Args   []string
	Code   int
	Stdout string
	Stderr string
}

// Run runs the command to its end.
func (c Command) Run(t testing.TB, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Program, args...)
	cmd.Env = Environment(c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	through(cmd, c.Through)
	c.launching(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	result := Result{Args: append([]string{c.Program}, args...), Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%v: %v\n%s", result.Args, err, result.Stderr)
	}
	if strings.Contains(result.Stderr, raceReport) {
		t.Errorf("%v has a data race:\n%s", result.Args, result.Stderr)
	}
	return result
}

// through has the command run by another, which becomes it.
func through(cmd *exec.Cmd, by []string) {
	if len(by) > 0 {
		cmd.Args = slices.Concat(by, []string{cmd.Path}, cmd.Args[1:])
		cmd.Path = by[0]
	}
}

// Want fails the test where the command did not end with the code.
func (r Result) Want(t testing.TB, code int) Result {
	t.Helper()
	if r.Code != code {
		t.Fatalf("%s\nended with %d, want %d\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	return r
}

// JSON reads the one document on stdout into a value.
func (r Result) JSON(t testing.TB, into any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(r.Stdout))
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s\nprinted no JSON: %v\n%s", strings.Join(r.Args, " "), err, r.Stdout)
	}
	if decoder.More() {
		t.Fatalf("%s\nprinted more than one JSON document:\n%s", strings.Join(r.Args, " "), r.Stdout)
	}
}
