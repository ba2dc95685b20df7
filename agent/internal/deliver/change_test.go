package deliver

import (
	"bytes"
	"strings"
	"testing"
)

// A Redactor that takes the place of another in the middle of a stream misses nothing of what it knows.
func TestRedactorIsReplaced(t *testing.T) {
	t.Parallel()
	const text = "old open-sesame, new hunter-two-three, b64 aHVudGVyLXR3by10aHJlZQ==, end open-ses"
	const want = "old ***, new ***, b64 ***Q==, end open-ses"
	first := redactorOf("open-sesame")
	second := first.With([][]byte{[]byte("hunter-two-three")})
	for at := range len("old open-sesame, new hunter-two-three") - len("hunter-two-three") + 1 {
		for step := range 3 {
			var out bytes.Buffer
			w := first.Writer(&out)
			for i := range at {
				mustWrite(t, w, text[i:i+1])
			}
			w.Use(second)
			for i := at; i < len(text); i += step + 1 {
				mustWrite(t, w, text[i:min(i+step+1, len(text))])
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if out.String() != want {
				t.Fatalf("replaced at %d: %q, want %q", at, out.String(), want)
			}
		}
	}
}

// What was held back for a secret of before may hold a whole one of now.
func TestRedactorLooksAgainAtWhatIsHeld(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := redactorOf("abcdefghijkl")
	w := r.Writer(&out)
	mustWrite(t, w, "abcdefgh")
	w.Use(r.With([][]byte{[]byte("cdefgh")}))
	if err := w.Close(); err != nil || out.String() != "ab***" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func mustWrite(t *testing.T, w *RedactingWriter, s string) {
	t.Helper()
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func TestRedactorForgetsTheOldest(t *testing.T) {
	t.Parallel()
	value := func(c string) []byte { return []byte(strings.Repeat(c, 30<<10)) }
	r := &Redactor{secrets: [][]byte{value("e"), value("d"), value("c"), value("b"), value("a")}}
	r.secrets = append(r.secrets, value("0"))
	r = r.With([][]byte{value("f"), value("e")}) // what is there still takes no room of the former
	var have string
	for _, s := range r.secrets {
		have += string(s[:1])
	}
	if have != "fedcba" {
		t.Errorf("it knows %s, want those of now and four former, fedcba", have)
	}
}
