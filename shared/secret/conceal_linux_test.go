package secret

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/test/kit"
)

const nobody = 65534

// TestConceal looks at a process from another one of the same user; the control
// is one that does not conceal itself.
func TestConceal(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	for _, mode := range []string{"plain", "concealed"} {
		child := exec.Command(os.Args[0], "-test.run=^TestConcealChild$")
		child.Env = append(os.Environ(), "CONCEAL_CHILD="+mode)
		stdin, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		if strings.TrimSpace(line) != "ready" {
			t.Fatalf("the child says %q", line)
		}
		reader := exec.Command("/bin/dd", fmt.Sprintf("if=/proc/%d/mem", child.Process.Pid), "of=/dev/null", "count=0")
		reader.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, err := reader.CombinedOutput()
		if readable := err == nil; readable != (mode == "plain") {
			t.Errorf("%s: readable by its own user: %t (%s)", mode, readable, out)
		}
		limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", child.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if none := strings.Contains(string(limits), "Max core file size        0                    0 "); mode == "concealed" && !none {
			t.Errorf("core files are allowed:\n%s", limits)
		}
		_ = stdin.Close()
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestConcealChild is the process that TestConceal looks at.
func TestConcealChild(t *testing.T) {
	mode := os.Getenv("CONCEAL_CHILD")
	if mode == "" {
		return // it runs by itself only as a part of every test run
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(syscall.Setgroups(nil))
	must(syscall.Setresgid(nobody, nobody, nobody))
	must(syscall.Setresuid(nobody, nobody, nobody))
	// Becoming another user conceals by itself; a service that is started as its
	// user is not concealed.
	must(unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
	if mode == "concealed" {
		must(Conceal())
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}
