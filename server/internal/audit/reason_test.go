package audit

import (
	"slices"
	"strings"
	"testing"
)

// A list that does not fit says how much is missing, and ten of them fit into an entry.
func TestListIsCutClearly(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 101)
	for _, row := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{"crm"}, "crm"},
		{[]string{"crm", "app:x"}, "crm, app:x"},
		{[]string{long}, strings.Repeat("é", 100) + "…"},
		{[]string{"crm version 3", "/opt/my app", "a+b=c", "it's"}, "crm version 3, /opt/my app, a+b=c, it's"},
		{[]string{"crm, and 5 more"}, `"crm, and 5 more"`},
		{[]string{"crm", "and 5 more"}, `crm, "and 5 more"`},
		{[]string{"crm", " and 5 more"}, `crm, " and 5 more"`},
		{[]string{"crm; labels none", "x"}, `"crm; labels none", x`},
		{[]string{`"crm"`, "x "}, `"\"crm\"", "x "`},
		{[]string{"a\nb", "a\tb", "a\x1bb", "a\u2028b", "a\u202eb", "a\u00a0b", "a\xffb"}, `"a\nb", "a\tb", "a\x1bb", "a\u2028b", "a\u202eb", "a\u00a0b", "a\xffb"`},
		{[]string{strings.Repeat("a", 200)}, strings.Repeat("a", 200)},
		{[]string{strings.Repeat("a", 199) + ","}, `"` + strings.Repeat("a", 199) + `,"`},
		{[]string{strings.Repeat("a", 200) + ","}, `"` + strings.Repeat("a", 200) + `"…`},
		{[]string{strings.Repeat("\xff", 201)}, `""…`},
		{[]string{strings.Repeat("\xff", 60)}, `"` + strings.Repeat(`\xff`, 50) + `"…`},
		{[]string{strings.Repeat("é", 99) + "\n"}, `"` + strings.Repeat("é", 99) + `\n"`},
		{slices.Repeat([]string{"0123456789"}, 37), strings.Repeat("0123456789, ", 24) + "0123456789, and 12 more"},
	} {
		if got := List(row.names); got != row.want {
			t.Errorf("%d names: %s; want %s", len(row.names), got, row.want)
		}
	}
	for _, name := range []string{long, strings.Repeat("\x1b", 300), strings.Repeat("a,", 74)} {
		if n := len(List(slices.Repeat([]string{name}, 1000))); 10*(n+len("job containers ; ")) > MaxText {
			t.Errorf("%d bytes are too many for a list", n)
		}
	}
}

func TestLabelsOfAChange(t *testing.T) {
	t.Parallel()
	got := Labels(map[string]string{"env": "test", "role": "ci", "a": "b"}, map[string]string{"role": "prod", "a": "b", "new": ""})
	if want := "-env, new=, role=prod"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	got = Labels(nil, map[string]string{"env": "test, role=admin", "team": "x; leases of crm version 1"})
	if want := `"env=test, role=admin", "team=x; leases of crm version 1"`; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}
