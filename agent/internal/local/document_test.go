package local

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/agent/internal/lease"
	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/secret"
)

func copyOf(t testing.TB, a *secret.Arena, fields map[string][]byte) lease.Copy {
	t.Helper()
	l := &uplink.Leased{Name: "crm", Version: 3}
	for name, value := range fields {
		b, err := a.From(bytes.Clone(value))
		if err != nil {
			t.Fatal(err)
		}
		l.Fields = append(l.Fields, uplink.Field{Name: name, Secret: name == "secret", Value: b})
	}
	t.Cleanup(l.Wipe)
	return lease.Copy{Leased: l, Remaining: 14*time.Minute + 58*time.Second + time.Millisecond, Stale: true}
}

func newArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// answered is what a job reads: an independent reader of what document wrote.
type answered struct {
	Credential   string
	Version      uint64
	Fields       map[string]string
	FieldsBase64 map[string]string `json:"fields_base64"`
	SecretFields []string          `json:"secret_fields"`
	Lease        struct {
		Remaining string
		Stale     bool
	}
}

func TestDocumentAsWritten(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	b, err := document(a, copyOf(t, a, map[string][]byte{"secret": []byte("a\"b\\c\n\x01\u00e9")}))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Wipe()
	const want = `{"credential":"crm","version":3,"fields":{"secret":"a\"b\\c\u000a\u0001é"},"secret_fields":["secret"],"lease":{"remaining":"14m58s","stale":true}}` + "\n"
	if got := string(b.Reveal()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// The variables of an application's tools are named with the template of their value: the value is there once.
func TestDocumentNamesVariables(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	c := copyOf(t, a, map[string][]byte{"secret": []byte("canary")})
	c.Environment = map[string]string{"PGPASSWORD": "{secret}", "PGHOST": "{host}"}
	b, err := document(a, c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Wipe()
	const want = `{"credential":"crm","version":3,"fields":{"secret":"canary"},"environment":{"PGHOST":"{host}","PGPASSWORD":"{secret}"},` +
		`"secret_fields":["secret"],"lease":{"remaining":"14m58s","stale":true}}` + "\n"
	if got := string(b.Reveal()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzDocument(f *testing.F) {
	a := newArena(f)
	f.Add([]byte("plain"), []byte("\xff\x00"))
	f.Add([]byte(""), []byte("\u2028</script>"))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		if len(one)+len(two) > 64<<10 {
			return
		}
		fields := map[string][]byte{"secret": one, "other": two}
		b, err := document(a, copyOf(t, a, fields))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Wipe()
		var got answered
		if err := json.Unmarshal(b.Reveal(), &got); err != nil {
			t.Fatalf("%v: %s", err, b.Reveal())
		}
		back := map[string][]byte{}
		for name, text := range got.Fields {
			back[name] = []byte(text)
		}
		for name, text := range got.FieldsBase64 {
			if back[name], err = base64.StdEncoding.DecodeString(text); err != nil || utf8.Valid(back[name]) {
				t.Errorf("field %s in base64: %q, %v", name, text, err)
			}
		}
		if !maps.EqualFunc(back, fields, bytes.Equal) {
			t.Errorf("read back %q, want %q", back, fields)
		}
	})
}

func TestRaw(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	c := copyOf(t, a, map[string][]byte{"secret": []byte("x\x00y\n")})
	b, err := raw(a, c, "secret")
	if err != nil || string(b.Reveal()) != "x\x00y\n" {
		t.Errorf("%q, %v", b.Reveal(), err)
	}
	b.Wipe()
	if _, err := raw(a, c, "nothing"); !errors.Is(err, errField) {
		t.Errorf("%v, want errField", err)
	}
}

// A full arena refuses: the answer never moves to ordinary memory.
func TestAnswerThatDoesNotFit(t *testing.T) {
	t.Parallel()
	small, err := secret.NewArena(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	a := newArena(t)
	c := copyOf(t, a, map[string][]byte{"secret": bytes.Repeat([]byte("x"), 5000)})
	if _, err := document(small, c); !errors.Is(err, secret.ErrFull) {
		t.Errorf("%v, want ErrFull", err)
	}
}
