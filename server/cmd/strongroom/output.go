package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/strongroom/strongroom/shared/cli"
)

// show prints an answer: doc as JSON where --json asks for it, else the table.
func (a *app) show(doc any, human table) error {
	if !a.json {
		return a.write(human.text(isTerminal(a.stdout), os.Getenv("NO_COLOR") == ""))
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(doc); err != nil {
		return fmt.Errorf("writing the answer as JSON: %w", err)
	}
	return a.write(text.Bytes())
}

func (a *app) write(text []byte) error {
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("writing to stdout: %w", err)
	}
	return nil
}

// hint is for people only: progress and next steps, on stderr.
func (a *app) hint(format string, args ...any) {
	_, _ = fmt.Fprintln(a.stderr, cli.Printable(fmt.Sprintf(format, args...)))
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// table is rows of text. On a terminal they stand in columns below the head;
// elsewhere they are separated by tabs, without the head.
type table struct {
	head []string // none: the rows are names and what they mean
	rows [][]string
}

// add appends a row. Times are shortened, nothing stays empty.
func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = cell(c)
	}
	t.rows = append(t.rows, row)
}

func cell(c any) string {
	switch c := c.(type) {
	case *time.Time:
		if c == nil {
			return "never"
		}
		return c.Local().Format(time.RFC3339)
	case time.Time:
		return c.Local().Format(time.RFC3339)
	case []string:
		return strings.Join(c, ",")
	case map[string]string:
		var pairs []string
		for k, v := range c {
			pairs = append(pairs, k+"="+v)
		}
		slices.Sort(pairs)
		return strings.Join(pairs, ",")
	case bool:
		return map[bool]string{true: "yes", false: "no"}[c]
	}
	return fmt.Sprint(c)
}

func (t *table) text(columns, colour bool) []byte {
	var out bytes.Buffer
	rows := make([][]string, 0, len(t.rows)+1)
	if columns && t.head != nil {
		rows = append(rows, t.head)
	}
	for _, row := range t.rows {
		clean := make([]string, len(row))
		for i, c := range row {
			if clean[i] = cli.Printable(c); columns && c == "" {
				clean[i] = "-"
			}
		}
		rows = append(rows, clean)
	}
	if !columns {
		for _, row := range rows {
			fmt.Fprintln(&out, strings.Join(row, "\t"))
		}
		return out.Bytes()
	}
	widths := widthsOf(rows)
	for i, row := range rows {
		line := pad(row, widths)
		if i == 0 && t.head != nil && colour {
			line = "\x1b[1m" + line + "\x1b[0m"
		}
		fmt.Fprintln(&out, line)
	}
	return out.Bytes()
}

func widthsOf(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	return widths
}

func pad(row []string, widths []int) string {
	var line strings.Builder
	for i, c := range row {
		line.WriteString(c)
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
	}
	return line.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
