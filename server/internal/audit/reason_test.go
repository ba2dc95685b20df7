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
		{slices.Repeat([]string{"0123456789"}, 37), strings.Repeat("0123456789, ", 24) + "0123456789, and 12 more"},
	} {
		if got := List(row.names); got != row.want {
			t.Errorf("%d names: %s; want %s", len(row.names), got, row.want)
		}
	}
	if n := len(List(slices.Repeat([]string{long}, 1000))); 10*(n+len("job containers ; ")) > MaxText {
		t.Errorf("%d bytes are too many for a list", n)
	}
}

func TestLabelsOfAChange(t *testing.T) {
	t.Parallel()
	got := Labels(map[string]string{"env": "test", "role": "ci", "a": "b"}, map[string]string{"role": "prod", "a": "b", "new": ""})
	if want := "-env, new=, role=prod"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}
