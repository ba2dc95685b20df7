package test

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A shell is bash on what is to the programs a machine of its own: network, processes, and the folders that the system's
// own daemons write to, so that commands can be typed as they are documented. It ends with the test, and takes along
// whatever it started.
type shell struct {
	keyboard *os.File
	lines    chan string // what it and its commands print, stderr as well
}

func newShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	// Commands come over a pipe of their own, so that none can read what is typed after it.
	script, keyboard, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	cmd := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c",
		"ip link set lo up && mount -t tmpfs tmpfs /var/lib && mount -t tmpfs tmpfs /run && exec bash --norc /dev/fd/3")
	cmd.ExtraFiles = []*os.File{script}
	cmd.Dir, cmd.Env = dir, env
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = script.Close() // the shell has its own
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // takes its whole PID namespace along
		_ = cmd.Wait()
	})
	sh := &shell{keyboard, make(chan string)}
	go func() {
		defer close(sh.lines)
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			sh.lines <- scanner.Text()
		}
	}()
	t.Cleanup(func() {
		go func() {
			for range sh.lines { // lets the reader end
			}
		}()
	})
	return sh
}

// exitLine follows what the command said last, which need not be a whole line.
var exitLine = regexp.MustCompile(`^(.*)shell-exit-([0-9]+)$`)

// runs types a command and waits for its end.
func (sh *shell) runs(t *testing.T, command string) (code int, said []string) {
	t.Helper()
	said = sh.until(t, command+"\necho shell-exit-$?\n", exitLine.MatchString)
	end := exitLine.FindStringSubmatch(said[len(said)-1])
	if said = said[:len(said)-1]; end[1] != "" {
		said = append(said, end[1])
	}
	code, _ = strconv.Atoi(end[2])
	return code, said
}

// serves types a command that stays in the background, and waits until it says that it is ready.
func (sh *shell) serves(t *testing.T, command string) (said []string) {
	t.Helper()
	return sh.until(t, command, func(line string) bool { return strings.HasPrefix(line, "ready ") })
}

// until collects what is said up to the line that is waited for.
func (sh *shell) until(t *testing.T, typed string, last func(string) bool) (said []string) {
	t.Helper()
	if _, err := sh.keyboard.WriteString(typed); err != nil {
		t.Fatalf("typing %q: %v", typed, err)
	}
	for deadline := time.After(10 * time.Minute); ; { // a first build is long
		select {
		case line, ok := <-sh.lines:
			if !ok {
				t.Fatalf("the shell ended in %q:\n%s", typed, strings.Join(said, "\n"))
			}
			if said = append(said, line); last(line) {
				return said
			}
		case <-deadline:
			t.Fatalf("%q did not end:\n%s", typed, strings.Join(said, "\n"))
		}
	}
}
