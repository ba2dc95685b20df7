package cli

import (
	"strings"
	"testing"
)

type settings struct {
	State  string `yaml:"state"`
	Socket string `yaml:"socket"`
}

func TestParseSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want settings
	}{
		{"", settings{}},
		{"# nothing\n", settings{}},
		{"state: /a\n", settings{State: "/a"}},
		{"socket: /b # why\nstate: '/a: c'\n", settings{State: "/a: c", Socket: "/b"}},
	} {
		if got, err := parseSettings[settings](strings.NewReader(c.text)); err != nil || got != c.want {
			t.Errorf("%q: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"state: /a\n\n  \nsokcet: /b\n":    "line 4, column 1: field sokcet not found; the keys are state and socket",
		"state: [a]\n":                     "line 1, column 8: cannot construct !!seq; the keys are",
		"state: a\nstate: b\n":             `line 2, column 1: mapping key "state" already defined`,
		"state: \"a\n":                     "line 2, column 1",
		"- a\n":                            "line 1, column 1",
		"state: a\n---\nstate: b\n":        "more than one YAML document",
		strings.Repeat("#", 64<<10) + "\n": "longer than 65536 bytes",
	} {
		if _, err := parseSettings[settings](strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "settings") {
			t.Errorf("%.40q: %v, want %q in it", text, err, want)
		}
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add("state: /a\nsocket: /b\n")
	f.Add("a: &x [*x]\n---\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSettings[settings](strings.NewReader(text)); err != nil && s != (settings{}) {
			t.Errorf("%+v beside the error %v", s, err)
		}
	})
}
