package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/strongroom/strongroom/shared/cli"
)

// showJSON prints the one document of a command that was asked for JSON.
func (a *app) showJSON(doc any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return fmt.Errorf("writing the answer as JSON: %w", err)
	}
	return a.write(text.Bytes())
}

// showTable prints rows: on a terminal in columns below the head, elsewhere separated by tabs and without it.
func (a *app) showTable(head []string, rows ...[]string) error {
	var text bytes.Buffer
	var to io.Writer = &text
	flush := func() error { return nil }
	if isTerminal(a.stdout) {
		columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		to, flush = columns, columns.Flush
		if head != nil {
			rows = append([][]string{head}, rows...)
		}
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, c := range row {
			cells[i] = cli.Printable(c)
		}
		_, _ = fmt.Fprintln(to, strings.Join(cells, "\t"))
	}
	if err := flush(); err != nil {
		return err
	}
	return a.write(text.Bytes())
}

func (a *app) write(text []byte) error {
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	return nil
}

// hint is for people only: what to know beside the answer, on stderr.
func (a *app) hint(format string, args ...any) {
	_, _ = fmt.Fprintln(a.stderr, cli.Printable(fmt.Sprintf(format, args...)))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

func yesNo(b bool) string { return map[bool]string{true: "yes", false: "no"}[b] }
