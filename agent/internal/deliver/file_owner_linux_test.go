package deliver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// Two users share /dev/shm: what one of them made there before leads nothing of the other's to them.
func TestFileWhereOthersAre(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t) // to be two users
	const bob = 12345
	for _, c := range []struct {
		name    string
		owner   int
		mode    os.FileMode
		theirs  int // who has the file already; -1: nobody
		refused string
	}{
		{"our own folder", 0, 0o700, -1, ""},
		{"our own folder, seen by all", 0, 0o755, -1, ""},
		{"a file that was given away", 0, 0o755, bob, ""},
		{"like /dev/shm", 0, os.ModeSticky | 0o777, -1, ""},
		{"our file like in /dev/shm", 0, os.ModeSticky | 0o777, 0, ""},

		{"another's folder", bob, 0o700, -1, "belongs to another user"},
		{"another's folder, sticky", bob, os.ModeSticky | 0o777, -1, "belongs to another user"},
		{"a group's folder", 0, 0o770, -1, "others may write to its folder"},
		{"everybody's folder", 0, 0o707, -1, "others may write to its folder"},
		{"another's file like in /dev/shm", 0, os.ModeSticky | 0o777, bob, "what is there belongs to another user"},
		{"another's file in a group's sticky folder", 0, os.ModeSticky | 0o770, bob, "what is there belongs to another user"},
	} {
		dir := memory(t)
		path := filepath.Join(dir, "a")
		if c.theirs >= 0 {
			if err := errors.Join(os.WriteFile(path, []byte("theirs"), 0o644), os.Chown(path, c.theirs, 0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Chown(dir, c.owner, 0), os.Chmod(dir, c.mode)); err != nil {
			t.Fatal(err)
		}
		f, err := NewFile(path, 0o600, false)
		if c.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			put(t, f, "x")
			wantContent(t, path, "x")
			_ = f.Close()
			continue
		}
		if !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", c.name, err, c.refused)
		}
	}
	// It came after the first look.
	dir := memory(t)
	path := filepath.Join(dir, "a")
	if err := os.Chmod(dir, os.ModeSticky|0o777); err != nil {
		t.Fatal(err)
	}
	f := newFile(t, path, 0o600)
	if err := errors.Join(os.WriteFile(path, []byte("theirs"), 0o644), os.Chown(path, bob, 0)); err != nil {
		t.Fatal(err)
	}
	if err := f.Stage([]byte("x")); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "another user") {
		t.Errorf("another's file that came later: %v", err)
	}
	wantContent(t, path, "theirs")
	wantEntries(t, dir, "a")
}
