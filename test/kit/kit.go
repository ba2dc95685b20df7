// Package kit starts the built programs as processes on folders and ports of their own, runs people's and jobs'
// commands against them, and searches what they leave behind. It knows the programs by their commands alone and must
// not import server or agent. Everything it starts ends with the test that started it.
package kit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything may take that has no deadline of its own. It is long because the race detector and
// two cores make everything slow, and it is only ever waited out by a test that fails.
const Patience = 2 * time.Minute

// Race says whether tests and programs are built with the race detector, which takes memory of its own.
const Race = race

var build struct {
	once sync.Once
	dir  string
	err  error
}

// Main runs a package's tests and removes the programs built for them. TestMain calls it.
func Main(m *testing.M) int {
	launch()
	code := m.Run()
	if build.dir != "" {
		if err := os.RemoveAll(build.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// Bin gives the folder of the three programs, built once a test run: with the race detector where the test has it.
func Bin(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "strongroom-bin-"); build.err != nil {
			return
		}
		// Jobs of other users run the programs too.
		if build.err = os.Chmod(build.dir, 0o755); build.err != nil {
			return
		}
		args := []string{"build", "-buildvcs=false", "-o", build.dir + string(filepath.Separator)}
		if race {
			args = append(args, "-race")
		}
		args = append(args, "./server/cmd/strongroom-server", "./server/cmd/strongroom", "./agent/cmd/strongroom-agent")
		cmd := exec.Command("go", args...)
		cmd.Dir = Root()
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("building the programs: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.dir
}

// Root is the module's folder.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Dir makes a folder that ends with the test. Its path is short, since a socket's may have 107 bytes, and other users
// may pass through it to what is readable to them.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sr")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// File writes text to a file that only this user may read, and gives its path.
func File(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(Dir(t), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Program writes a program that everybody may run, and gives its path. A child that another test starts meanwhile would
// hold the file open for writing, and the kernel runs no such file: so none is started.
func Program(t testing.TB, path string, content []byte) string {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// Eventually calls done until it is true, and fails the test where it is not within limit.
func Eventually(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}
