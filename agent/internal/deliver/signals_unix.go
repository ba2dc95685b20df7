//go:build unix

package deliver

import (
	"os"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// passed are the signals that mean the command. Of the others, those that stop a process or speak of its children,
// terminal or own faults mean this process.
var passed = []os.Signal{
	syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
	syscall.SIGALRM, syscall.SIGCONT, syscall.SIGWINCH,
}

// signals are caught from before the command starts, so that none of them ends this process and orphans the command.
type signals chan os.Signal

func catchSignals() signals {
	s := make(signals, 64)
	// What was ignored when this process started stays so for the command as well: nohup means both.
	caught := slices.DeleteFunc(slices.Clone(passed), signal.Ignored)
	// A closed output is noticed by writing to it, and the command by its own pipe.
	signal.Notify(s, append(caught, syscall.SIGPIPE)...)
	return s
}

func (s signals) stop() { signal.Stop(s) }

// passesOn tells whether sig is for the command and does not reach it anyway.
func passesOn(sig os.Signal) bool { return sig != syscall.SIGPIPE && !fromTerminal(sig) }

// asksToEnd tells whether sig means that the command is to be over. SIGHUP has many read their configuration again.
func asksToEnd(sig os.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT
}

// Both fail only where the command has ended.
func terminate(p *os.Process) { _ = p.Signal(syscall.SIGTERM) }
func reload(p *os.Process)    { _ = p.Signal(syscall.SIGHUP) }

// fromTerminal tells whether the command got sig already: Ctrl-C and Ctrl-\ go to the whole foreground group of the
// terminal, and many programs take a second one for impatience.
func fromTerminal(sig os.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
