package lossy

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/durable"
)

func mount(t *testing.T, d *Disk) *Mount {
	t.Helper()
	m, err := MountAt(t.TempDir(), d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// step is what a program does in a folder that is new on each disk.
type step func(t *testing.T, dir string)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(name, text string) step {
	return func(t *testing.T, dir string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
}

func syncOf(name string) step {
	return func(t *testing.T, dir string) {
		t.Helper()
		f, err := os.Open(filepath.Join(dir, name))
		must(t, err)
		must(t, errors.Join(f.Sync(), f.Close()))
	}
}

func rename(from, to string) step {
	return func(t *testing.T, dir string) {
		t.Helper()
		must(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
	}
}

// What is there before a power cut, and what after one that leaves nothing unsynced. "-" is no file.
func TestCut(t *testing.T) {
	t.Parallel()
	stored := []step{write("a", "old"), syncOf("a"), syncOf(".")}
	after := func(steps ...step) []step { return append(stored[:3:3], steps...) }
	for _, c := range []struct {
		name          string
		steps         []step
		file          string
		before, after string
	}{
		{"all synced", stored, "a", "old", "old"},
		{"nothing synced", []step{write("a", "new")}, "a", "new", "-"},
		{"the folder not synced", []step{write("a", "new"), syncOf("a")}, "a", "new", "-"},
		{"the file not synced", []step{write("a", "new"), syncOf(".")}, "a", "new", ""},
		{"written again", after(write("a", "new")), "a", "new", "old"},
		{"written again and synced", after(write("a", "new"), syncOf("a")), "a", "new", "new"},
		{"shortened", after(func(t *testing.T, dir string) { must(t, os.Truncate(dir+"/a", 1)) }), "a", "o", "old"},
		{"renamed", after(rename("a", "b")), "b", "old", "-"},
		{"renamed, the old name", after(rename("a", "b")), "a", "-", "old"},
		{"renamed and synced", after(rename("a", "b"), syncOf(".")), "b", "old", "old"},
		{"renamed and synced, the old name", after(rename("a", "b"), syncOf(".")), "a", "-", "-"},
		{"replaced without syncing the file", after(write("b", "new"), rename("b", "a"), syncOf(".")), "a", "new", ""},
		{"replaced without syncing the folder", after(write("b", "new"), syncOf("b"), rename("b", "a")), "a", "new", "old"},
		{"replaced as durable does", after(func(t *testing.T, dir string) { must(t, durable.Replace(dir+"/a", []byte("new"))) }), "a", "new", "new"},
		{"removed", after(func(t *testing.T, dir string) { must(t, os.Remove(dir+"/a")) }), "a", "-", "old"},
		{"linked", after(func(t *testing.T, dir string) { must(t, os.Link(dir+"/a", dir+"/b")) }), "b", "old", "-"},
		{"linked and synced", after(func(t *testing.T, dir string) { must(t, os.Link(dir+"/a", dir+"/b")) }, syncOf(".")), "b", "old", "old"},
		{"a folder", []step{func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/d", 0o700)) }, write("d/a", "new"), syncOf("d/a"), syncOf("d")}, "d/a", "new", "-"},
		{"folders as durable makes them", []step{func(t *testing.T, dir string) { must(t, durable.MkdirAll(dir+"/d/e", 0o700)) }, write("d/e/a", "new"), syncOf("d/e/a"), syncOf("d/e")}, "d/e/a", "new", "new"},
		{"a folder and its parent", []step{func(t *testing.T, dir string) { must(t, os.Mkdir(dir+"/d", 0o700)) }, write("d/a", "new"), syncOf("d/a"), syncOf("d"), syncOf(".")}, "d/a", "new", "new"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := mount(t, NewDisk("home"))
			home := filepath.Join(m.Dir, "home")
			for _, do := range c.steps {
				do(t, home)
			}
			want(t, home, c.file, c.before)
			must(t, m.Cut(nil))
			want(t, home, c.file, c.after)
			// What is left stays.
			must(t, m.Cut(nil))
			want(t, home, c.file, c.after)
		})
	}
}

func want(t *testing.T, dir, name, text string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		got, err = []byte("-"), nil
	}
	if err != nil || string(got) != text {
		t.Errorf("%s is %q (%v), want %q", name, got, err, text)
	}
}

// At random, each page that was not synced survives or not, and nothing else changes.
func TestTornPages(t *testing.T) {
	t.Parallel()
	old, fresh := bytes.Repeat([]byte("o"), 3*page), bytes.Repeat([]byte("n"), 4*page)
	seen := map[string]int{}
	for seed := range uint64(64) {
		d := NewDisk()
		in := d.newInode(syscall.S_IFREG | 0o600)
		d.root.names["a"], d.root.syncedNames["a"] = in, in
		in.write(old, 0)
		in.sync()
		in.write(fresh[:page], page)   // the second page
		in.write(fresh[:page], 3*page) // and one behind the end
		d.Cut(rand.New(rand.NewPCG(seed, 0)))
		shape := ""
		for p := range len(in.data) / page {
			shape += string(in.data[p*page])
			if n := bytes.Count(in.data[p*page:][:page], in.data[p*page:][:1]); n != page {
				t.Fatalf("seed %d: page %d is torn inside", seed, p)
			}
		}
		seen[shape]++
	}
	for _, shape := range []string{"ooo", "ono", "ooo\x00", "ooon", "ono\x00", "onon"} {
		if seen[shape] == 0 {
			t.Errorf("%q never came out of 64 cuts: %v", shape, seen)
		}
		delete(seen, shape)
	}
	if len(seen) > 0 {
		t.Errorf("these cannot come out: %v", seen)
	}
}

// At random, some first part of what was done to a folder survives.
func TestTornNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(32) {
		d := NewDisk("a")
		in := d.root.names["a"]
		d.root.name(naming{"b": in})
		d.root.name(naming{"a": nil, "c": in})
		d.Cut(rand.New(rand.NewPCG(seed, 0)))
		shape := ""
		for _, name := range []string{"a", "b", "c"} {
			if d.root.names[name] != nil {
				shape += name
			}
		}
		seen[shape] = true
	}
	for _, shape := range []string{"a", "ab", "bc"} {
		if !seen[shape] {
			t.Errorf("%q never came out: %v", shape, seen)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v, want three shapes", seen)
	}
}

// A cut waits for programs that are being killed, and says where one stays.
func TestCutWaits(t *testing.T) {
	t.Parallel()
	m := mount(t, NewDisk("home"))
	f, err := os.Create(filepath.Join(m.Dir, "home", "a"))
	must(t, err)
	time.AfterFunc(200*time.Millisecond, func() { _ = f.Close() })
	must(t, m.Cut(nil))
}
