package secret

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadAll(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		r    io.Reader
		want string
		err  error
	}{
		{"empty", strings.NewReader(""), "", nil},
		{"short", strings.NewReader("abc"), "abc", nil},
		{"exactly", strings.NewReader("0123456789abcdef0123"), "0123456789abcdef0123", nil},
		{"one too many", strings.NewReader("0123456789abcdef0123X"), "", ErrTooLong},
		{"byte by byte", iotest.OneByteReader(strings.NewReader("abcdef")), "abcdef", nil},
		{"data with the end", iotest.DataErrReader(strings.NewReader("abcdef")), "abcdef", nil},
		{"failing", io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)), "", broken},
		{"cut off", io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrUnexpectedEOF)), "", io.ErrUnexpectedEOF},
		{"never anything", silent{}, "", io.ErrNoProgress},
	} {
		s, err := a.ReadAll(c.r, 20)
		if !errors.Is(err, c.err) || string(s.Reveal()) != c.want {
			t.Errorf("%s: %q, %v", c.name, s.Reveal(), err)
		}
		if c.err == nil && a.InUse() != max(granule, (len(c.want)+15)/16*16) {
			t.Errorf("%s: %d bytes in use", c.name, a.InUse())
		}
		s.Wipe()
		if a.InUse() != 0 {
			t.Fatalf("%s: %d bytes left in use", c.name, a.InUse())
		}
	}
	if _, err := a.ReadAll(strings.NewReader("x"), a.Size()); !errors.Is(err, ErrFull) {
		t.Errorf("reading more than the arena: %v", err)
	}
	if _, err := a.ReadAll(strings.NewReader("x"), -1); err == nil {
		t.Error("a negative limit was accepted")
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestReadFile(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	if err := os.WriteFile(path, []byte("file content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := a.ReadFile(path, 12); err != nil || string(s.Reveal()) != "file content" {
		t.Errorf("ReadFile: %q, %v", s.Reveal(), err)
	}
	if _, err := a.ReadFile(path, 11); !errors.Is(err, ErrTooLong) || !strings.Contains(err.Error(), path) {
		t.Errorf("ReadFile of one byte too many: %v", err)
	}
	if _, err := a.ReadFile(filepath.Join(dir, "none"), 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadFile of nothing: %v", err)
	}
	if _, err := a.ReadFile(dir, 10); err == nil {
		t.Error("ReadFile of a directory succeeded")
	}
}
