package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// The demo runs to its end and leaves nothing behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	program := filepath.Join(kit.Dir(t), "demo")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "./test/demo")
	build.Dir = kit.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	left := kit.Dir(t)
	began := time.Now()
	shown := kit.Command{Program: program, Env: []string{"TMPDIR=" + left}}.Run(t, "-bin", kit.Bin(t), "-once").Want(t, 0)
	t.Logf("%v\n%s", time.Since(began).Round(time.Millisecond), shown.Stdout)
	for _, must := range []string{"turns it away", "(exit code 128)", "(exit code 125)", "you had the password"} {
		if !strings.Contains(shown.Stdout, must) {
			t.Errorf("the demo does not show %q", must)
		}
	}
	if rest, err := filepath.Glob(filepath.Join(left, "*")); err != nil || len(rest) > 0 {
		t.Errorf("the demo left %v, %v", rest, err)
	}
}
