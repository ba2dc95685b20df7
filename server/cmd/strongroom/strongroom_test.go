package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strongroom/strongroom/shared/cli/clitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"strongroom": main})
}

// Each script has a server of its own (server_test.go), which writes what it
// was sent to requests.txt, with envelopes opened.
func TestScripts(t *testing.T) {
	t.Parallel()
	commands := clitest.Commands()
	commands["fill"] = fill
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
		Cmds: commands,
	})
}

// fill FILE N TAIL writes N bytes and a tail with Go's escapes.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	tail, err := strconv.Unquote(`"` + args[2] + `"`)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(bytes.Repeat([]byte("x"), n), tail...), 0o600))
}

func TestHelpEndsWithAnExample(t *testing.T) {
	t.Parallel()
	if seen := clitest.Help(t, newApp().root()); seen < 30 {
		t.Errorf("only %d commands were visited", seen)
	}
}
