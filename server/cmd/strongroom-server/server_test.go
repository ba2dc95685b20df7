package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strongroom/strongroom/shared/cli/clitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"strongroom-server": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0") // a second for each command otherwise
			return nil
		},
		Cmds: clitest.Commands(),
	})
}

func TestHelpEndsWithAnExample(t *testing.T) {
	t.Parallel()
	// The root, init, run, verify, restore, check, version, completion and help.
	if seen := clitest.Help(t, newApp().root()); seen != 9 {
		t.Errorf("%d commands were visited, want 9", seen)
	}
}
