// Package clitest checks the habits that all programs share. It is for the
// programs' tests only, and runs no program but the one that is tested.
package clitest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// Commands are for scripts:
//
//	exits CODE PROGRAM ARG...  demands the exit code
//	json                       demands that stdout is exactly one JSON document
//	lines FILE N               demands the number of lines, each ended
//	mode OCTAL FILE            demands a file's permissions
func Commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "json": isJSON, "lines": lines, "mode": mode}
}

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

func isJSON(ts *testscript.TestScript, _ bool, _ []string) {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var doc any
	ts.Check(decoder.Decode(&doc))
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("more than one document on stdout")
	}
}

func lines(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if got := strings.Count(text, "\n"); strconv.Itoa(got) != args[1] || text != "" && !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%d lines, want %s", got, args[1])
	}
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatInt(int64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// Help demands that the help of every command ends with an example of that
// command, and answers how many commands it saw.
func Help(t *testing.T, root *cobra.Command) (seen int) {
	t.Helper()
	var help bytes.Buffer
	root.SetOut(&help)
	root.InitDefaultHelpCmd()
	var visit func(*cobra.Command)
	visit = func(c *cobra.Command) {
		seen++
		help.Reset()
		if err := c.Help(); err != nil {
			t.Error(err)
		}
		_, example, found := strings.Cut(help.String(), "\nExample:\n  ")
		if !found || !strings.Contains(example, c.CommandPath()) || strings.Contains(example, "\n\n") {
			t.Errorf("%s: its help does not end with an example of it:\n%s", c.CommandPath(), help.String())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	return seen
}
