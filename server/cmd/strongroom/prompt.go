package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/term"

	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

var errInterrupted = errors.New("interrupted")

// canAsk reports whether somebody sits at stdin.
func (a *app) canAsk() bool { return cli.IsTerminal(a.Stdin) }

// ask reads a line from the terminal. flag is what answers it elsewhere.
func (a *app) ask(question, flag string) (string, error) {
	if !a.canAsk() {
		return "", required(flag)
	}
	_, _ = fmt.Fprint(a.Stderr, question)
	var line []byte
	// One byte at a time: what follows the line belongs to the next question.
	for c := make([]byte, 1); len(line) < 1024; {
		n, err := a.Stdin.Read(c)
		if n == 1 && c[0] == '\n' {
			break
		}
		line = append(line, c[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("reading the answer: %w", err)
		}
	}
	return strings.TrimSpace(string(line)), nil
}

// askSecret reads a line that is not shown. An interrupt restores the terminal
// before it ends the command.
func (a *app) askSecret(question, flag string) (*secret.Buffer, error) {
	if !a.canAsk() {
		return nil, required(flag)
	}
	fd := int(a.Stdin.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("reading the terminal's state: %w", err)
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	defer signal.Stop(interrupted)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	_, _ = fmt.Fprint(a.Stderr, question)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case <-interrupted:
		_ = term.Restore(fd, before)
		_, _ = fmt.Fprintln(a.Stderr)
		return nil, errInterrupted
	case got := <-answers:
		_, _ = fmt.Fprintln(a.Stderr)
		if got.err != nil {
			secret.Wipe(got.text)
			return nil, fmt.Errorf("reading the answer: %w", got.err)
		}
		return a.arena.From(got.text)
	}
}

// confirm asks before something that cannot be undone.
func (a *app) confirm(question string) error {
	answer, err := a.ask(cli.Printable(question)+" [y/N] ", "--yes")
	if err != nil {
		return err
	}
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return errors.New("nothing was changed")
	}
	return nil
}
