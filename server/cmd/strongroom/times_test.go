package main

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("X", 2*60*60)
	now := time.Date(2027, 3, 4, 5, 6, 7, 0, zone)
	for _, tc := range []struct {
		text string
		back bool
		want string
	}{
		{"2027-01-31T12:00:00Z", false, "2027-01-31T12:00:00Z"},
		{"2027-01-31T12:00:00+05:00", true, "2027-01-31T07:00:00Z"},
		{"2027-01-31", false, "2027-01-30T22:00:00Z"},
		{"90d", false, "2027-06-02T03:06:07Z"},
		{"12h", false, "2027-03-04T15:06:07Z"},
		{"12h", true, "2027-03-03T15:06:07Z"},
		{"7d", true, "2027-02-25T03:06:07Z"},
	} {
		got, err := parseTime(tc.text, now, tc.back)
		if err != nil || got.UTC().Format(time.RFC3339) != tc.want {
			t.Errorf("%q back=%v: got %v, %v, want %s", tc.text, tc.back, got, err, tc.want)
		}
	}
	for _, text := range []string{"", "tomorrow", "2027-13-01", "2027-01-31 12:00", "-12h", "31.01.2027", "12"} {
		if got, err := parseTime(text, now, false); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	table := table{head: []string{"NAME", "WHEN"}}
	table.add("a\tb\n", (*time.Time)(nil))
	table.add("schön", "")
	table.add("\x1b[31mred", "\u202eabc")
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
