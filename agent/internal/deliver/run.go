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

	"github.com/strongroom/strongroom/shared/cli"
)

// The exit codes that say that the command did not run, or not to its end, because of exec itself. They are those of
// env(1) and the shells, chosen apart from what commands use.
const (
	ExitFailed   = 125
	ExitCannot   = 126
	ExitNotFound = 127
)

const (
	// outlived is how long output is still passed on after the command has ended: a process that it left behind may
	// hold the pipes open for ever.
	outlived = 2 * time.Second
	// grace is how long a command that is to be started again may take to end.
	grace = 10 * time.Second
)

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
	// Begin, if there is one, is called before the command starts and after signals are caught: what it leaves behind
	// can be taken away after Run. Where it fails the command is not started.
	Begin func() error
	// Changes, if there are any, are told to the command while it runs.
	Changes <-chan Change
}

// Change is news for a running command.
type Change struct {
	// Quiet leaves the command as it is: the news is for what goes over its output, as a secret that it may print.
	Quiet bool
	// Restart has the command ended, by SIGTERM and 10 s later by SIGKILL (on Windows at once), and started again. A
	// command that has been asked to end by SIGTERM, SIGINT or SIGQUIT is left to that. Otherwise it gets SIGHUP,
	// which Windows does not have.
	Restart bool
	// Env is the whole environment to start it again with.
	Env []string
	// Redactor takes the place of the command's where that has one, at once.
	Redactor *Redactor
}

// Run runs the command until it ends by itself and answers its exit code, 128+N where signal N ended it. Where there is
// an error the code is one of ExitFailed, ExitCannot and ExitNotFound.
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
	r := running{Command: c, signals: catchSignals()} // before there is anybody to miss one
	defer r.signals.stop()
	if c.Redactor != nil {
		r.redacting = []*RedactingWriter{c.Redactor.Writer(c.Stdout), c.Redactor.Writer(c.Stderr)}
		r.Stdout, r.Stderr = r.redacting[0], r.redacting[1]
	}
	if c.Begin != nil {
		if err := c.Begin(); err != nil {
			return ExitFailed, err
		}
	}
	for {
		cmd := &exec.Cmd{
			Path: path, Args: r.Args, Env: r.Env, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr,
			SysProcAttr: diesWithUs(), WaitDelay: outlived,
		}
		if err := cmd.Start(); err != nil {
			return cannotRun(c.Args[0], err)
		}
		again, err := r.attend(cmd)
		for _, w := range r.redacting {
			err = errors.Join(err, w.Close())
		}
		if again == nil {
			return result(c.Args[0], cmd.ProcessState, err)
		}
		r.Env = again.Env
		r.redact(r.Redactor) // what comes next is not the rest of what was printed before
	}
}

// running is a command that may be started several times, one after the other.
type running struct {
	Command
	signals   signals
	redacting []*RedactingWriter
	leaving   bool // it has been asked to end
}

// attend waits for the end of what was started, and passes on to it what comes meanwhile. Where it is to be started
// again it answers with what.
func (r *running) attend(cmd *exec.Cmd) (again *Change, err error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var overdue <-chan time.Time
	for {
		select {
		case err := <-ended:
			if r.leaving {
				again = nil
			}
			return again, err
		case sig := <-r.signals:
			r.leaving = r.leaving || asksToEnd(sig)
			if passesOn(sig) {
				_ = cmd.Process.Signal(sig) // it fails only where the command has ended
			}
		case c := <-r.Changes:
			r.redact(c.Redactor)
			switch {
			case c.Quiet:
			case !c.Restart:
				reload(cmd.Process)
			case r.leaving:
			default:
				if again == nil {
					terminate(cmd.Process)
					overdue = time.After(grace)
				}
				again = &c
			}
		case <-overdue:
			_ = cmd.Process.Kill()
		}
	}
}

func (r *running) redact(by *Redactor) {
	if r.Redactor == nil || by == nil {
		return
	}
	r.Redactor = by
	for _, w := range r.redacting {
		w.Use(by)
	}
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
	return ExitCannot, fmt.Errorf("%s cannot be run: %w; check that it is an executable file for this machine and that its interpreter is there",
		name, cli.WithoutPath(err))
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
