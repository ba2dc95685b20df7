package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// JSONFlag adds --json.
func (p *Program) JSONFlag(flags *pflag.FlagSet) {
	flags.BoolVar(&p.JSON, "json", false, "print one JSON document on stdout")
}

// Show prints an answer: doc as JSON where --json asks for it, else the table.
func (p *Program) Show(doc any, human Table) error {
	if p.JSON {
		return p.ShowJSON(doc)
	}
	return p.Write(human.text(IsTerminal(p.Stdout), os.Getenv("NO_COLOR") == ""))
}

// ShowJSON prints an answer as JSON, asked for or not.
func (p *Program) ShowJSON(doc any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return fmt.Errorf("writing the answer as JSON: %w", err)
	}
	return p.Write(text.Bytes())
}

// Write puts text on stdout as it is.
func (p *Program) Write(text []byte) error {
	if _, err := p.Stdout.Write(text); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	return nil
}

// Hint is for people only: progress and next steps, one line on stderr.
func (p *Program) Hint(format string, args ...any) {
	_, _ = fmt.Fprintln(p.Stderr, Printable(fmt.Sprintf(format, args...)))
}

// IsTerminal reports whether somebody sits at f.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
