package cli

import (
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := Table{Head: []string{"NAME", "WHEN"}}
	table.Add("a\tb\n", (*time.Time)(nil))
	table.Add("schön", "")
	table.Add("\x1b[31mred", "\u202eabc")
	for _, tc := range []struct {
		columns, colour bool
		want            string
	}{
		{false, true, "a\\tb\\n\tnever\nschön\t\n\\u001b[31mred\t\\u202eabc\n"},
		{true, false, "NAME           WHEN\na\\tb\\n         never\nschön          -\n\\u001b[31mred  \\u202eabc\n"},
		{true, true, "\x1b[1mNAME           WHEN\x1b[0m\na\\tb\\n         never\nschön          -\n\\u001b[31mred  \\u202eabc\n"},
	} {
		if got := string(table.text(tc.columns, tc.colour)); got != tc.want {
			t.Errorf("columns=%v colour=%v: got\n%q, want\n%q", tc.columns, tc.colour, got, tc.want)
		}
	}
}
