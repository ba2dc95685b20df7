// Package cli holds what the project's commands agree on: their help, version
// and completion, how values are read (a literal, @FILE, - for stdin), how
// settings files are, how answers look (JSON or a table), and how commands end
// (the exit codes and the one line on stderr). It has no command of its own to
// run, writes only to the files that it is given, and never exits.
package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// The exit codes.
const (
	Done        = 0
	Failed      = 1
	Usage       = 2
	Refused     = 3
	NotFound    = 4
	Unreachable = 5 // not reachable, or sealed
)

// exit is an error that knows its exit code.
type exit struct {
	code   int
	err    error
	silent bool
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

// Exit gives err an exit code; it replaces one that err may have already. A nil
// err stays nil.
func Exit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exit{code: code, err: err}
}

// Silent ends with code and prints nothing more: for commands whose answer on
// stdout already says it.
func Silent(code int) error {
	return &exit{code: code, err: fmt.Errorf("exit code %d", code), silent: true}
}

// Usagef is an error with the exit code Usage. The text must not repeat what
// may have been meant as a secret.
func Usagef(format string, args ...any) error {
	return &exit{code: Usage, err: fmt.Errorf(format, args...)}
}

// Code is the exit code of err: Done for nil, and Failed where none was given.
func Code(err error) int {
	var e *exit
	switch {
	case err == nil:
		return Done
	case errors.As(err, &e):
		return e.code
	}
	return Failed
}

// Report writes err as one line, "program: what happened", and returns its exit
// code. It writes nothing for nil and for Silent.
func Report(w io.Writer, program string, err error) int {
	var e *exit
	if err != nil && !(errors.As(err, &e) && e.silent) {
		_, _ = fmt.Fprintf(w, "%s: %s\n", program, Printable(err.Error()))
	}
	return Code(err)
}

// Printable makes text that came from elsewhere safe for a terminal and for one
// line: control and other unprintable characters become escapes.
func Printable(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case unprintable(r) && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case unprintable(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
