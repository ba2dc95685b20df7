package cli

import (
	"errors"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// Values reads the values of one command. A value is a literal, @FILE for a
// file's content, - for stdin's (once a command), or @@x for the literal @x. It
// has at most 64 KiB after one trailing line end of a file or stdin is dropped.
type Values struct {
	arena *secret.Arena
	stdin io.Reader
	taken string // the flag that took stdin
}

// NewValues reads - from stdin and keeps what it reads in a.
func NewValues(a *secret.Arena, stdin io.Reader) *Values {
	return &Values{arena: a, stdin: stdin}
}

// Secret reads a value that must not stand on a command line, where every user
// of the machine can see it: a literal is a usage error, which does not repeat
// it. flag is how the error names the value, such as "--password".
func (v *Values) Secret(flag, text string) (*secret.Buffer, error) {
	if b, source, err := v.read(flag, text); source {
		return b, err
	}
	return nil, Usagef("%s: a secret is never given on the command line; name a file with @FILE, or use - for stdin", flag)
}

// Bytes reads a value that may be a literal.
func (v *Values) Bytes(flag, text string) (*secret.Buffer, error) {
	if b, source, err := v.read(flag, text); source {
		return b, err
	}
	text = literal(text)
	if len(text) > credential.MaxValue {
		return nil, tooLong(flag)
	}
	return v.arena.From([]byte(text))
}

// Text reads a value that is no secret and must be UTF-8.
func (v *Values) Text(flag, text string) (string, error) {
	b, err := v.Bytes(flag, text)
	if err != nil {
		return "", err
	}
	defer b.Wipe()
	if !utf8.Valid(b.Reveal()) {
		return "", Usagef("%s: not UTF-8", flag)
	}
	return string(b.Reveal()), nil
}

func literal(text string) string {
	if strings.HasPrefix(text, "@@") {
		return text[1:]
	}
	return text
}

// read reports whether text names a file or stdin, and then reads it.
func (v *Values) read(flag, text string) (b *secret.Buffer, source bool, err error) {
	switch {
	case text == "-":
		b, err = v.readStdin(flag)
	case strings.HasPrefix(text, "@") && !strings.HasPrefix(text, "@@"):
		b, err = v.readFile(flag, text[1:])
	default:
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	b, err = v.dropLineEnd(flag, b)
	return b, true, err
}

// roomForLineEnd is what a value may be longer before its line end is dropped.
const roomForLineEnd = len("\r\n")

func (v *Values) readStdin(flag string) (*secret.Buffer, error) {
	if v.taken != "" {
		return nil, Usagef("%s: stdin is read once a command, and %s takes it already; use @FILE for one of them", flag, v.taken)
	}
	v.taken = flag
	b, err := v.arena.ReadAll(v.stdin, credential.MaxValue+roomForLineEnd)
	if err != nil {
		return nil, readError(flag, "stdin", err)
	}
	return b, nil
}

// readFile does not name the file in its errors: what follows an @ may be a
// secret that begins with one.
func (v *Values) readFile(flag, path string) (*secret.Buffer, error) {
	if path == "" {
		return nil, Usagef("%s: the name of a file must follow the @", flag)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, readError(flag, "the file that follows the @", err)
	}
	defer f.Close()
	b, err := v.arena.ReadAll(f, credential.MaxValue+roomForLineEnd)
	if err != nil {
		return nil, readError(flag, "the file that follows the @", err)
	}
	return b, nil
}

func readError(flag, source string, err error) error {
	if errors.Is(err, secret.ErrTooLong) {
		return tooLong(flag)
	}
	return Usagef("%s: %s cannot be read: %w", flag, source, WithoutPath(err))
}

func tooLong(flag string) error {
	return Usagef("%s: the value is longer than %d bytes", flag, credential.MaxValue)
}

func (v *Values) dropLineEnd(flag string, b *secret.Buffer) (*secret.Buffer, error) {
	text := b.Reveal()
	n := len(text)
	if n > 0 && text[n-1] == '\n' {
		n--
		if n > 0 && text[n-1] == '\r' {
			n--
		}
	}
	if n > credential.MaxValue {
		b.Wipe()
		return nil, tooLong(flag)
	}
	if n == len(text) {
		return b, nil
	}
	defer b.Wipe()
	return v.arena.From(text[:n])
}

// Pair splits NAME=VALUE and checks the name. Its errors repeat neither part,
// since either may hold a secret that was put in the wrong place.
func Pair(flag, text string) (name, value string, err error) {
	name, value, found := strings.Cut(text, "=")
	if !found || credential.ValidField(name) != nil {
		return "", "", Usagef("%s: wanted is NAME=VALUE, the name being letters, digits and . _ -", flag)
	}
	return name, value, nil
}
