package workload

import (
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	tail := " S 42 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10"
	for _, name := range []string{"cat", "a) S 1 1 1", "x\n) Z 9", "))))", ""} {
		f, err := parseStat([]byte("13 (" + name + ")" + tail))
		if err != nil || f.parent != 42 || f.start != 987654 || f.zombie {
			t.Errorf("name %q: %+v, %v; want parent 42, start 987654", name, f, err)
		}
	}
	for _, bad := range []string{"", "13 cat S 42", "13 (cat) S 42", "13 (cat)" + strings.Replace(tail, "42", "x", 1),
		"13 (cat)" + strings.Replace(tail, "42", "-1", 1), "13 (cat)" + strings.Replace(tail, "987654", "-1", 1)} {
		if f, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: %+v, want an error", bad, f)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("13 (cat) S 42 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10"))
	f.Add([]byte("13 (a) b) Z"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseStat(b)
		if err == nil && got.parent < 0 {
			t.Errorf("parent %d", got.parent)
		}
	})
}
