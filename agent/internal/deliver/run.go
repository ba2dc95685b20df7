package deliver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// The exit codes that say that the command did not run, or not to its end, because of exec itself. They are those of
// env(1) and the shells, chosen apart from what commands use.
const (
	ExitFailed   = 125
	ExitCannot   = 126
	ExitNotFound = 127
)

// outlived is how long output is still passed on after the command has ended: a process that it left behind may hold
// the pipes open for ever.
const outlived = 2 * time.Second

// Command is a program to run with credentials.
type Command struct {
	Args []string // the program, looked up in PATH, and its arguments
	Env  []string // the whole environment; of two settings of a variable the later counts
	// Stdin is passed on as it is: a terminal stays one.
	Stdin          *os.File
	Stdout, Stderr io.Writer
	// Redactor, if there is one, goes over Stdout and Stderr, each by itself. The command then sees pipes and not the
	// terminal: putting a terminal of our own between would merge the two streams, rewrite their line ends and take
	// over job control, all to keep colours. A command that needs the terminal is run without a Redactor.
	Redactor *Redactor
}

// Run runs the command to its end and answers its exit code, 128+N where signal N ended it. Where there is an error the
// code is one of ExitFailed, ExitCannot and ExitNotFound.
//
// Signals that reach this process are passed on to the command until it ends, but for those that the terminal sends to
// both. If this process is killed, the kernel kills the command (on Linux, unless the command is set-user-ID; its own
// children are left to it).
func Run(c Command) (code int, err error) {
	// The kernel takes the thread that started the command for its parent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return notFound(c.Args[0], err)
	}
	cmd := &exec.Cmd{
		Path: path, Args: c.Args, Env: c.Env, Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
		SysProcAttr: diesWithUs(), WaitDelay: outlived,
	}
	var redacting []*RedactingWriter
	if c.Redactor != nil {
		redacting = []*RedactingWriter{c.Redactor.Writer(c.Stdout), c.Redactor.Writer(c.Stderr)}
		cmd.Stdout, cmd.Stderr = redacting[0], redacting[1]
	}
	signals := catchSignals() // before there is anybody to miss one
	defer signals.stop()
	if err := cmd.Start(); err != nil {
		return cannotRun(c.Args[0], err)
	}
	ended := make(chan struct{})
	passing := make(chan struct{})
	go func() {
		defer close(passing)
		signals.passOn(cmd.Process, ended)
	}()
	err = cmd.Wait()
	close(ended)
	<-passing
	for _, w := range redacting {
		err = errors.Join(err, w.Close())
	}
	return result(c.Args[0], cmd.ProcessState, err)
}

// notFound says why there is no program to start.
func notFound(name string, err error) (int, error) {
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		err = lookup.Err
	}
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return ExitNotFound, fmt.Errorf("%s: command not found; check its name and PATH", name)
	}
	return cannotRun(name, err)
}

func cannotRun(name string, err error) (int, error) {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return ExitCannot, fmt.Errorf("%s cannot be run: %w; check that it is an executable file for this machine and that its interpreter is there",
		name, err)
}

// result tells the command's end from what went wrong around it. Where nobody reads the output anymore the command was
// told so by its own pipe.
func result(name string, state *os.ProcessState, err error) (int, error) {
	if state == nil {
		return ExitFailed, fmt.Errorf("%s: waiting for it: %w", name, err)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) && !errors.Is(err, syscall.EPIPE) {
		return ExitFailed, fmt.Errorf("%s: passing on its output: %w", name, err)
	}
	return exitCode(state), nil
}
