package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"strongroom": main})
}

// Each script has a server of its own (server_test.go), which writes what it
// was sent to requests.txt, with envelopes opened.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			s := startServer(env.T().(testing.TB), env.WorkDir)
			env.Setenv("STRONGROOM_SERVER", s.URL)
			env.Setenv("STRONGROOM_CA_FINGERPRINT", s.CAFingerprint)
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("TZ", "UTC")
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each command otherwise
			return os.WriteFile(filepath.Join(env.WorkDir, "tok"), []byte("tok-alice\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"mode":  mode,
			"fill":  fill,
			"json":  isJSON,
			"lines": lines,
		},
	})
}

// exits CODE PROGRAM ARG... demands the exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// mode OCTAL FILE demands a file's permissions.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// fill FILE N TAIL writes N bytes and a tail with Go's escapes.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	tail, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(bytes.Repeat([]byte("x"), n), tail...), 0o600))
}

// json demands that stdout is exactly one JSON document.
func isJSON(ts *testscript.TestScript, _ bool, _ []string) {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var doc any
	ts.Check(decoder.Decode(&doc))
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("more than one document on stdout")
	}
}

// lines FILE N demands the number of lines, each ended.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if got := strings.Count(text, "\n"); strconv.Itoa(got) != args[1] || text != "" && !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%d lines, want %s", got, args[1])
	}
}

// Every command's help ends with an example, and an example is of that command.
func TestHelpEndsWithAnExample(t *testing.T) {
	t.Parallel()
	count := 0
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		count++
		var help bytes.Buffer
		c.SetOut(&help)
		c.InitDefaultHelpFlag()
		if err := c.Help(); err != nil {
			t.Error(err)
		}
		_, example, found := strings.Cut(help.String(), "\nExample:\n  ")
		if !found || !strings.Contains(example, c.CommandPath()) && c.CommandPath() != "strongroom" {
			t.Errorf("%s: its help does not end with an example of it:\n%s", c.CommandPath(), help.String())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}).root())
	if count < 30 {
		t.Errorf("only %d commands were visited", count)
	}
}
