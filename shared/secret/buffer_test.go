package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "hunter2-hunter2!"

// The ways in which a canary could show: as text, as decimal bytes, as hex of either case, in base64, quoted.
var traces = []string{
	"hunter2", "104 117 110 116", "104, 117, 110", "68756e746572", "68756E746572", "0x68, 0x75", "aHVudGVyMi", "1VudGVyMi",
}

func leaks(text string) bool {
	for _, trace := range traces {
		if strings.Contains(text, trace) {
			return true
		}
	}
	return false
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "% x", "%08b", "%t", "%U", "%!", "%20.3s"}

func TestEveryVerbPrintsRedacted(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := holding(t, a, canary)
	for _, verb := range verbs {
		for name, value := range map[string]any{"pointer": b, "value": *b} {
			got := fmt.Sprintf(verb, value)
			if verb != "%!" && got != "[redacted]" || leaks(got) {
				t.Errorf("%s of a %s: %s", verb, name, got)
			}
		}
	}
	if b.String() != "[redacted]" || b.GoString() != "[redacted]" || fmt.Sprint(b) != "[redacted]" {
		t.Error("String or GoString show something else")
	}
}

// TestReflectionShowsNoBytes prints buffers where fmt cannot call their methods: in unexported fields, and inside the
// arena itself.
func TestReflectionShowsNoBytes(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := holding(t, a, canary)
	type inner struct {
		pointer *Buffer
		value   Buffer
		bytes   []byte
	}
	values := map[string]any{
		"struct": inner{pointer: b, value: *b}, "pointer to struct": &inner{pointer: b, value: *b},
		"slice": []*Buffer{b}, "map": map[string]Buffer{"k": *b}, "arena": a, "field": struct{ B any }{b},
	}
	for name, value := range values {
		for _, verb := range verbs {
			if got := fmt.Sprintf(verb, value); leaks(got) {
				t.Errorf("%s of a %s: %.200s", verb, name, got)
			}
		}
	}
	// Control: the same printing does show bytes that are not in a Buffer.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, &inner{bytes: b.Reveal()}); !leaks(got) {
			t.Errorf("control: %s of plain bytes finds nothing: %s", verb, got)
		}
	}
}

func TestEncodersGetRedacted(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := holding(t, a, canary)

	got, err := json.Marshal(map[string]any{"pointer": b, "value": *b})
	if want := `{"pointer":"[redacted]","value":"[redacted]"}`; err != nil || string(got) != want {
		t.Errorf("json: %s, %v", got, err)
	}
	if got, err = b.MarshalJSON(); err != nil || string(got) != `"[redacted]"` {
		t.Errorf("MarshalJSON: %s, %v", got, err)
	}
	got, err = json.Marshal(map[Buffer]int{*b: 1})
	if want := `{"[redacted]":1}`; err != nil || string(got) != want {
		t.Errorf("json key: %s, %v", got, err)
	}
	got, err = xml.Marshal(struct {
		XMLName xml.Name `xml:"x"`
		B       *Buffer
	}{B: b})
	if want := `<x><B>[redacted]</B></x>`; err != nil || string(got) != want {
		t.Errorf("xml: %s, %v", got, err)
	}
}

func TestLogsAndErrorsGetRedacted(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := holding(t, a, canary)
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		out.Reset()
		slog.New(h).Info("m", "b", b, "v", *b, slog.Group("g", "b", b), "any", struct{ B *Buffer }{b})
		if strings.Count(out.String(), "[redacted]") < 3 || leaks(out.String()) {
			t.Errorf("%T: %s", h, &out)
		}
	}
	// A handler of somebody else's sees the value itself.
	if got := slog.AnyValue(b).Resolve(); got.Kind() != slog.KindString || got.String() != "[redacted]" {
		t.Errorf("as a log value: %v of kind %v", got, got.Kind())
	}
	err := errors.Join(fmt.Errorf("bad value %v: %w", b, ErrOpen), fmt.Errorf("bad %q", *b))
	if want := "bad value [redacted]: " + ErrOpen.Error() + "\nbad [redacted]"; err.Error() != want {
		t.Errorf("error: %s", err)
	}
}
