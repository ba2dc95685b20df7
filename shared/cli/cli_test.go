package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func arena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(512 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "value")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return "@" + path
}

func TestSources(t *testing.T) {
	t.Parallel()
	a := arena(t)
	const max = 65536
	full := strings.Repeat("x", max)
	for _, tc := range []struct{ name, content, want string }{
		{"plain", "abc", "abc"},
		{"newline", "abc\n", "abc"},
		{"crlf", "abc\r\n", "abc"},
		{"two newlines", "abc\n\n", "abc\n"},
		{"lone cr", "abc\r", "abc\r"},
		{"inner", "a\nb", "a\nb"},
		{"empty", "", ""},
		{"only newline", "\n", ""},
		{"any bytes", "\xff\x00\n", "\xff\x00"},
		{"full", full, full},
		{"full and crlf", full + "\r\n", full},
	} {
		for source, read := range map[string]func() (*secret.Buffer, error){
			"file": func() (*secret.Buffer, error) { return cli.NewValues(a, nil).Secret("--f", file(t, tc.content)) },
			"stdin": func() (*secret.Buffer, error) {
				return cli.NewValues(a, strings.NewReader(tc.content)).Secret("--f", "-")
			},
			"bytes": func() (*secret.Buffer, error) {
				return cli.NewValues(a, strings.NewReader(tc.content)).Bytes("--f", "-")
			},
		} {
			b, err := read()
			if err != nil || string(b.Reveal()) != tc.want {
				t.Errorf("%s from %s: %d bytes, %v", tc.name, source, b.Len(), err)
				continue
			}
			b.Wipe()
		}
	}
	for _, content := range []string{full + "x", full + "x\n", full + "\n\n\n", full + full} {
		for _, read := range []func() (*secret.Buffer, error){
			func() (*secret.Buffer, error) { return cli.NewValues(a, nil).Secret("--f", file(t, content)) },
			func() (*secret.Buffer, error) { return cli.NewValues(a, strings.NewReader(content)).Secret("--f", "-") },
			func() (*secret.Buffer, error) { return cli.NewValues(a, nil).Bytes("--f", content) },
		} {
			if b, err := read(); err == nil || cli.Code(err) != 2 || !strings.Contains(err.Error(), "65536") {
				t.Errorf("%d bytes were read as %d: %v", len(content), b.Len(), err)
			}
		}
	}
	if n := a.InUse(); n != 0 {
		t.Errorf("%d bytes of the arena are still in use", n)
	}
}

func TestLiterals(t *testing.T) {
	t.Parallel()
	a := arena(t)
	for text, want := range map[string]string{"abc": "abc", "@@x": "@x", "@@": "@", "@@@x": "@@x", "": "", "--": "--"} {
		got, err := cli.NewValues(a, nil).Text("--f", text)
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"hunter2", "", "@@hunter2", "@@", "--hunter2", "@hunter2", "@"} {
		b, err := cli.NewValues(a, strings.NewReader("")).Secret("--password", text)
		if err == nil || cli.Code(err) != cli.Usage {
			t.Errorf("%q as a secret: %d bytes, %v", text, b.Len(), err)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "--password: ") {
			t.Errorf("%q as a secret: the error is %q", text, err)
		}
	}
	if _, err := cli.NewValues(a, strings.NewReader("\xff")).Text("--f", "-"); cli.Code(err) != cli.Usage {
		t.Errorf("text that is not UTF-8: %v", err)
	}
}

func TestStdinOnce(t *testing.T) {
	t.Parallel()
	v := cli.NewValues(arena(t), strings.NewReader("one"))
	if _, err := v.Secret("--a", "-"); err != nil {
		t.Fatal(err)
	}
	_, err := v.Text("--b", "-")
	if want := "--b: stdin is read once a command, and --a takes it already; use @FILE for one of them"; cli.Code(err) != cli.Usage || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestStdinFails(t *testing.T) {
	t.Parallel()
	if _, err := cli.NewValues(arena(t), io.MultiReader(strings.NewReader("half"), broken{})).Secret("--a", "-"); err == nil {
		t.Error("half a secret was read")
	}
}

func TestPair(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{"a=b": {"a", "b"}, "A_1.x-y=": {"A_1.x-y", ""}, "a=b=c": {"a", "b=c"}, "a=@f": {"a", "@f"}} {
		name, value, err := cli.Pair("--f", text)
		if err != nil || name != want[0] || value != want[1] {
			t.Errorf("%q: got %q %q, %v", text, name, value, err)
		}
	}
	for _, text := range []string{"", "=", "=hunter2", "hunter2", "hun ter2=x", "hunter2\n=x", "1hunter2=x"} {
		if _, _, err := cli.Pair("--f", text); err == nil || cli.Code(err) != cli.Usage || strings.Contains(err.Error(), "hun") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	base := errors.New("line one\nline\ttwo \x1b[31m\u202e\U000e0001")
	for _, tc := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{base, 1, "p: line one\\nline\\ttwo \\u001b[31m\\u202e\\U000e0001\n"},
		{cli.Usagef("bad %s", "flag"), 2, "p: bad flag\n"},
		{cli.Exit(5, errors.New("x")), 5, "p: x\n"},
		{cli.Exit(3, cli.Exit(5, errors.New("x"))), 3, "p: x\n"},
		{fmt.Errorf("more: %w", cli.Exit(4, errors.New("x"))), 4, "p: more: x\n"},
		{cli.Exit(3, nil), 0, ""},
		{cli.Silent(3), 3, ""},
	} {
		var out bytes.Buffer
		if code := cli.Report(&out, "p", tc.err); code != tc.code || out.String() != tc.text {
			t.Errorf("%v: got %d %q, want %d %q", tc.err, code, out.String(), tc.code, tc.text)
		}
	}
	if err := cli.Exit(4, base); !errors.Is(err, base) {
		t.Error("Exit hides the error")
	}
	if got := cli.Printable("größer 世界 ~"); got != "größer 世界 ~" {
		t.Errorf("got %q", got)
	}
	if cli.Version() == "" {
		t.Error("no version")
	}
}

func FuzzValue(f *testing.F) {
	for _, seed := range []string{"abc\r\n", "\n", "", "\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	a := arena(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		b, err := cli.NewValues(a, bytes.NewReader(content)).Secret("--f", "-")
		if err != nil {
			if len(content) <= 65536 {
				t.Errorf("%d bytes: %v", len(content), err)
			}
			return
		}
		defer b.Wipe()
		got := string(b.Reveal())
		if rest := strings.TrimPrefix(string(content), got); rest != "" && rest != "\n" && rest != "\r\n" || len(got) > 65536 {
			t.Errorf("%q was read as %q", content, got)
		}
	})
}

func FuzzPair(f *testing.F) {
	f.Add("a=b")
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		name, value, err := cli.Pair("--f", text)
		if err == nil && name+"="+value != text {
			t.Errorf("%q became %q and %q", text, name, value)
		}
	})
}
