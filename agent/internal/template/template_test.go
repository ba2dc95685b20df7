package template

import (
	"errors"
	"strings"
	"testing"
)

var errRefused = errors.New("refused: not yours or not there")

func look(reference string) (map[string][]byte, error) {
	switch reference {
	case "crm":
		return map[string][]byte{"username": []byte("bot"), "password": []byte(`hunt<er>"22'` + "\n"), "empty": {}, "key": []byte("\xff\x00")}, nil
	case "alice/payroll":
		return map[string][]byte{"PIN": []byte("4711")}, nil
	}
	return nil, errRefused
}

func TestExecute(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"":      "",
		"plain": "plain",
		`u={{ field "crm" "username" }} {{ field "alice/payroll" "PIN" }}`: "u=bot 4711",
		`{{ field "crm" "password" }}`:                                     `hunt<er>"22'` + "\n",
		`{{ field "crm" "password" | json }}`:                              `"hunt<er>\"22'\n"`,
		`{{ field "crm" "password" | quote }}`:                             `'hunt<er>"22'\''` + "\n'",
		`{{ field "crm" "key" | base64 }}`:                                 "/wA=",
		`[{{ field "crm" "empty" }}]`:                                      "[]",
		`{{ with field "crm" "username" }}{{ printf "%s-x" . }}{{ end }}`:  "bot-x",
		`{{ if eq (field "crm" "username") "bot" }}yes{{ end }}`:           "yes",
	} {
		parsed, err := Parse("t", []byte(source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := parsed.Execute(look); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", source, got, err, want)
		}
	}
}

// What is missing is an error that says where, and never <no value> in the output; no error repeats a value.
func TestExecuteFails(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"a\nb {{ field \"crm\" \"pin\" }}":                                   `template app.conf.tmpl line 2: field "crm" "pin": the credential has no such field`,
		"\n\n{{ field \"other\" \"pin\" }}":                                  `template app.conf.tmpl line 3: field "other" "pin": refused: not yours or not there`,
		`{{ define "x" }}{{ field "crm" "pin" }}{{ end }}{{ template "x" }}`: `template app.conf.tmpl line 1: field "crm" "pin": the credential has no such field`,
		`{{ .password }}`:          "line 1",
		`{{ .crm.password }}`:      "line 1",
		`{{ index . "password" }}`: "line 1",
		`{{ $.x }}`:                "line 1",
		`{{ range (field "crm" "password") }}{{ .x }}{{ end }}`:                        "line 1",
		`{{ field (field "crm" "password") "x" }}`:                                     "line 1: field wants a reference and a field that stand in the template",
		`{{ field "crm" (field "crm" "password") }}`:                                   "stand in the template",
		`{{ index (field "crm" "password") 99 }}`:                                      "line 1",
		`{{ slice (field "crm" "password") 99 }}`:                                      "line 1",
		`{{ (field "crm" "password").X }}`:                                             "line 1",
		`{{ template "x" (field "crm" "password") }}{{ define "x" }}{{ .y }}{{ end }}`: "line 1",
		`{{ call (field "crm" "password") }}`:                                          "line 1",
		`{{ lt (field "crm" "password") 3 }}`:                                          "line 1",
		`{{ field "crm" "key" | json }}`:                                               "json: the value is not UTF-8",
		`{{ field "crm" "key" | quote }}`:                                              "NUL",
		`{{ range 11 }}` + strings.Repeat("x", 100_000) + `{{ end }}`:                  "more than 1048576 bytes",
	} {
		parsed, err := Parse("app.conf.tmpl", []byte(source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		got, err := parsed.Execute(look)
		if err == nil || got != nil || !errors.Is(err, ErrTemplate) || !strings.HasPrefix(err.Error(), "template app.conf.tmpl") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %q, %v; want %q", source, got, err, want)
		} else if strings.Contains(err.Error(), "hunt") || strings.Contains(err.Error(), "104 117") {
			t.Errorf("%s: the error repeats the value: %v", source, err)
		}
		if want := strings.Contains(source, "other"); errors.Is(err, errRefused) != want {
			t.Errorf("%s: errors.Is(%v, refused) is not %t", source, err, want)
		}
	}
}

func TestParseFails(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"a\n{{ fild \"crm\" \"x\" }}":  `template t:2: function "fild" not defined`,
		"{{":                           "template t:1",
		"{{ if }}":                     "template t:1",
		strings.Repeat("x", 256<<10+1): "at most 262144",
		`{{ env "HOME" }}`:             `function "env" not defined`,
	} {
		if _, err := Parse("t", []byte(source)); !errors.Is(err, ErrTemplate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v; want %q", source, err, want)
		}
	}
	if _, err := Parse("t", []byte(strings.Repeat("x", 256<<10))); err != nil {
		t.Error(err)
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add([]byte(`u={{ field "crm" "username" }}`))
	f.Add([]byte(`{{ range 3 }}{{ field "crm" "password" | json }}{{ end }}`))
	f.Add([]byte(`{{ define "x" }}{{ . }}{{ end }}{{ template "x" field "crm" "pin" }}`))
	f.Fuzz(func(t *testing.T, source []byte) {
		if strings.Contains(string(source), "range") || strings.Contains(string(source), "template") {
			t.Skip() // may take for ever, as its author wants it
		}
		parsed, err := Parse("t", source)
		if err != nil {
			return
		}
		out, err := parsed.Execute(look)
		if err != nil && strings.Contains(err.Error(), "hunt") && !strings.Contains(string(source), "hunt") {
			t.Errorf("the error repeats a value: %v", err)
		}
		if strings.Contains(string(out), "<no value>") && !strings.Contains(string(source), "no value") {
			t.Errorf("%q", out)
		}
	})
}
