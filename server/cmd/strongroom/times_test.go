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
