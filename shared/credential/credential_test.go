package credential

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

func arena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestReferences(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Reference{
		"salesforce-prod": {Name: "salesforce-prod"},
		"0.a_b-c":         {Name: "0.a_b-c"},
		"app:salesforce":  {Application: "salesforce"},
		"alice/payroll":   {Owner: "alice", Name: "payroll"},
	} {
		got, err := ParseReference(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "A", "-a", ".a", "a b", "a\x00", "a@2", "a//b", "//a", "/a", "a/", "a/b/c", "app:", "app:a/b", "é",
		strings.Repeat("a", 64), "a/" + strings.Repeat("a", 64), "app:" + strings.Repeat("a", 64), "a\n",
	} {
		if _, err := ParseReference(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, want ErrInvalid", text, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://API.example.com/v1?x=1": "https://api.example.com:443",
		"http://127.0.0.1:8080":          "http://127.0.0.1:8080",
		"https://[::1]:9/":               "https://[::1]:9",
	} {
		o, err := OriginOf("url", raw)
		if err != nil || o.String() != want {
			t.Errorf("%s: %s, %v; want %s", raw, o, err, want)
		}
	}
	for _, raw := range []string{"", "example.com", "ftp://example.com", "https://", "https://:443", "https://a:b@example.com", "::", "javascript:alert(1)", "https://user@host", "https://gİthub.com", "https://g%C4%B0thub.com"} {
		_, err := OriginOf("url", raw)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "url") {
			t.Errorf("%q: %v, want ErrInvalid naming the field", raw, err)
		}
	}
	if _, err := OriginOf("url", "https://u:canary-password@host"); strings.Contains(err.Error(), "canary") {
		t.Errorf("the error repeats the URL: %v", err)
	}
}

func TestValueSurvivesItsEncoding(t *testing.T) {
	t.Parallel()
	a := arena(t)
	want := map[string][]byte{"password": []byte("p\x00\xff"), "empty": {}, "key": bytes.Repeat([]byte("k"), MaxValue)}
	v := Value{}
	for name, b := range want {
		buffer, err := a.From(bytes.Clone(b))
		if err != nil {
			t.Fatal(err)
		}
		v[name] = buffer
	}
	encoded, err := v.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeValue(a, encoded)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d fields, want %d", len(got), len(want))
	}
	for name, b := range want {
		if !bytes.Equal(got[name].Reveal(), b) {
			t.Errorf("field %s changed", name)
		}
	}
	inUse := a.InUse()
	for cut := range encoded.Len() - 1 {
		if cut > 64 && cut < encoded.Len()-64 {
			continue
		}
		part, err := a.From(bytes.Clone(encoded.Reveal()[:cut]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeValue(a, part); err == nil {
			t.Errorf("cut at %d: accepted", cut)
		}
		part.Wipe()
	}
	if a.InUse() != inUse {
		t.Errorf("refused encodings left %d bytes in the arena", a.InUse()-inUse)
	}
}

func TestValueLimits(t *testing.T) {
	t.Parallel()
	a := arena(t)
	long, err := a.New(MaxValue + 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Value{"key": long}).Check(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "key") {
		t.Errorf("64 KiB and one byte: %v, want ErrInvalid naming the field", err)
	}
}

func FuzzDecodeValue(f *testing.F) {
	a := arena(f)
	f.Add([]byte{1, 0, 1, 1, 'a', 0, 0, 0, 1, 'x'})
	f.Add([]byte{1, 0, 0})
	f.Add([]byte{1, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<18 {
			return
		}
		in, err := a.From(bytes.Clone(b))
		if err != nil {
			return
		}
		defer in.Wipe()
		v, err := DecodeValue(a, in)
		if err != nil {
			return
		}
		defer v.Wipe()
		again, err := v.Encode(a)
		if err != nil {
			return // more than the limits allow, which the decoder leaves to Check
		}
		defer again.Wipe()
		if len(b) != again.Len() {
			t.Errorf("%d bytes were read as a value of %d", len(b), again.Len())
		}
	})
}
