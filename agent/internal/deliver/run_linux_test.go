package deliver

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// With this variable set the test binary does nothing but Run its arguments, redacting the variable's value.
const runnerVariable = "STRONGROOM_TEST_RUN"

func TestMain(m *testing.M) {
	secret, ok := os.LookupEnv(runnerVariable)
	if !ok {
		os.Exit(m.Run())
	}
	os.Unsetenv(runnerVariable)
	code, err := Run(Command{
		Args: os.Args[1:], Env: append(os.Environ(), "SECRET="+secret), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Redactor: NewRedactor([][]byte{[]byte(secret)}),
	})
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
	}
	os.Exit(code)
}

// runner is a process that Runs args, in a session of its own so that no terminal of the tester's takes part.
func runner(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), runnerVariable+"=open-sesame")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	return cmd
}

// follow starts cmd and answers its stdout line by line; reading fails the test after some time.
func follow(t *testing.T, cmd *exec.Cmd) *bufio.Reader {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := out.(*os.File).SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(out)
}

func wantLine(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	if line, err := r.ReadString('\n'); line != want+"\n" {
		t.Fatalf("line %q, %v; want %q", line, err, want)
	}
}

func wantExit(t *testing.T, cmd *exec.Cmd, want int) {
	t.Helper()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Errorf("exit code %d (%v), want %d", got, cmd.ProcessState, want)
	}
}

func file(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRunExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		stderr string
	}{
		{"success", []string{"true"}, 0, ""},
		{"failure", []string{"sh", "-c", "exit 3"}, 3, ""},
		{"own code that looks like ours", []string{"sh", "-c", "exit 127"}, 127, ""},
		{"terminated", []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{"killed", []string{"sh", "-c", "kill -KILL $$"}, 137, ""},
		{"no such command", []string{"no-such-command-anywhere"}, 127, "no-such-command-anywhere: command not found"},
		{"no such file", []string{"./no/such/file"}, 127, "./no/such/file: command not found"},
		{"not executable", []string{file(t, "#!/bin/sh\n", 0o644)}, 126, "permission denied"},
		{"a folder", []string{t.TempDir()}, 126, "is a directory"},
		{"not a program", []string{file(t, "hello\n", 0o755)}, 126, "exec format error"},
		{"no such interpreter", []string{file(t, "#!/no/such/interpreter\n", 0o755)}, 126, "its interpreter"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			cmd := runner(t, c.args...)
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			wantExit(t, cmd, c.code)
			if !strings.Contains(stderr.String(), c.stderr) || (c.stderr == "") != (stderr.Len() == 0) {
				t.Errorf("stderr %q, want %q in it", stderr.String(), c.stderr)
			}
		})
	}
}

func TestRunStreams(t *testing.T) {
	t.Parallel()
	cmd := runner(t, "sh", "-c", `cat; echo "out $SECRET"; echo "err $SECRET" >&2; test "$SECRET" = open-sesame`)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("from stdin\n"), &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, 0)
	if got, want := stdout.String(), "from stdin\nout ***\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got, want := stderr.String(), "err ***\n"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

func TestRunWithoutRedactorPassesFilesOn(t *testing.T) {
	t.Parallel()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code, err := Run(Command{Args: []string{"sh", "-c", "readlink /proc/$$/fd/1; echo $A"}, Env: []string{"PATH=/usr/bin:/bin", "A=open-sesame"}, Stdout: out})
	if code != 0 || err != nil {
		t.Fatal(code, err)
	}
	if got, _ := os.ReadFile(out.Name()); string(got) != out.Name()+"\nopen-sesame\n" {
		t.Errorf("the command's stdout was %q", got)
	}
}

// A prompt without a line end is seen before it is answered.
func TestRunIsInteractive(t *testing.T) {
	t.Parallel()
	cmd := runner(t, "sh", "-c", `printf 'sure? '; read answer; echo "$answer it is"`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := follow(t, cmd)
	prompt := make([]byte, len("sure? "))
	if _, err := io.ReadFull(out, prompt); err != nil || string(prompt) != "sure? " {
		t.Fatalf("%q, %v", prompt, err)
	}
	if _, err := io.WriteString(in, "yes\n"); err != nil {
		t.Fatal(err)
	}
	wantLine(t, out, "yes it is")
	wantExit(t, cmd, 0)
}

func TestRunPassesSignalsOn(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT,
		"TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "ALRM": syscall.SIGALRM, "WINCH": syscall.SIGWINCH} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := runner(t, "sh", "-c", "trap 'echo got "+name+"; exit 9' "+name+"; echo ready; while :; do sleep 0.01; done")
			out := follow(t, cmd)
			wantLine(t, out, "ready")
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			wantLine(t, out, "got "+name)
			wantExit(t, cmd, 9)
		})
	}
}

func TestRunEndedByAPassedSignal(t *testing.T) {
	t.Parallel()
	cmd := runner(t, "sh", "-c", "echo ready; exec sleep 60")
	out := follow(t, cmd)
	wantLine(t, out, "ready")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, 130)
}

func TestRunUnderNohup(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := runner(t)
	cmd.Path = "/bin/sh"
	cmd.Args = []string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`, self,
		"sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"}
	out := follow(t, cmd)
	wantLine(t, out, "ready")
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	wantExit(t, cmd, 9)
}

// The child is gone with its parent, however the parent went.
func TestRunKilled(t *testing.T) {
	t.Parallel()
	cmd := runner(t, "sh", "-c", "echo $$; exec sleep 60")
	out := follow(t, cmd)
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(child), Events: unix.POLLIN}}, 20_000); n != 1 {
		t.Errorf("the command still runs 20 s after its parent was killed (%v)", err)
	}
}

// Neither process shows the secret to those who list processes.
func TestRunPutsNoSecretIntoArguments(t *testing.T) {
	t.Parallel()
	cmd := runner(t, "sh", "-c", `cat /proc/$PPID/cmdline /proc/$$/cmdline | grep -c "$SECRET"; grep -c "$SECRET" /proc/$$/environ; :`)
	out := follow(t, cmd)
	wantLine(t, out, "0")
	wantLine(t, out, "1") // the control
	wantExit(t, cmd, 0)
}

func TestRunWithAProcessLeftBehind(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 3} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			t.Parallel()
			cmd := runner(t, "sh", "-c", "sleep 60 & exit "+strconv.Itoa(code))
			out := follow(t, cmd)
			if _, err := io.Copy(io.Discard, out); err != nil {
				t.Fatalf("waiting for the end: %v", err)
			}
			wantExit(t, cmd, code)
		})
	}
}

// A command that has succeeded before anybody noticed that nobody reads has succeeded.
func TestRunEndsBeforeClosedOutputIsNoticed(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr bytes.Buffer
	cmd := runner(t, "echo", "x")
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, 0)
	if stderr.Len() > 0 {
		t.Errorf("stderr %q", stderr.String())
	}
}

// The command learns that nobody reads as it would without us in between.
func TestRunWithClosedOutput(t *testing.T) {
	t.Parallel()
	cmd := runner(t, "yes")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	wantExit(t, cmd, 141)
}

func TestRunReportsLostOutput(t *testing.T) {
	t.Parallel()
	code, err := Run(Command{Args: []string{"echo", "x"}, Env: os.Environ(), Stdout: &failing{}, Stderr: io.Discard, Redactor: redactorOf("secret")})
	if code != ExitFailed || err == nil || !strings.Contains(err.Error(), "full") {
		t.Errorf("%d, %v; want %d and the writer's error", code, err, ExitFailed)
	}
}
