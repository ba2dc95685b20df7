package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Table is rows of text. On a terminal they stand in columns below the head;
// elsewhere they are separated by tabs, without the head.
type Table struct {
	Head []string // none: the rows are names and what they mean
	rows [][]string
}

// Add appends a row. Times are shortened, nothing stays empty.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = Cell(c)
	}
	t.rows = append(t.rows, row)
}

// Cell is a value as tables show it.
func Cell(c any) string {
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

func (t *Table) text(columns, colour bool) []byte {
	var out bytes.Buffer
	rows := make([][]string, 0, len(t.rows)+1)
	if columns && t.Head != nil {
		rows = append(rows, t.Head)
	}
	for _, row := range t.rows {
		clean := make([]string, len(row))
		for i, c := range row {
			if clean[i] = Printable(c); columns && c == "" {
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
		if i == 0 && t.Head != nil && colour {
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
