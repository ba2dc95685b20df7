package deliver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/strongroom/strongroom/test/kit"
)

// memory is a folder on a tmpfs.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "deliver")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newFile(t *testing.T, path string, mode os.FileMode) *File {
	t.Helper()
	f, err := NewFile(path, mode, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func put(t *testing.T, f *File, content string) {
	t.Helper()
	if err := errors.Join(f.Stage([]byte(content)), f.Commit()); err != nil {
		t.Fatal(err)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
}

func wantEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %v, want %v", dir, got, want)
	}
}

// Whatever the umask is, a file never has another mode than its own: under no name, at no moment.
func TestFileIsBornWithItsMode(t *testing.T) {
	dir := memory(t)
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE|unix.IN_ATTRIB|unix.IN_MODIFY|unix.IN_MOVED_TO); err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(dir, "a")
	for _, mode := range []os.FileMode{0o600, 0o640, 0o400, 0o444, 0o666} {
		for _, mask := range []int{0, 0o077, 0o777} {
			syscall.Umask(mask)
			f := newFile(t, path, mode)
			if err := f.Stage([]byte("open-sesame")); err != nil {
				t.Fatal(err)
			}
			staged, err := f.folder.Lstat(f.staged)
			if err != nil || staged.Mode() != mode {
				t.Errorf("before it has its name: %v, %v; want %v", staged.Mode(), err, mode)
			}
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != mode || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
				t.Errorf("%v, %v; want %v and this user", info.Mode(), err, mode)
			}
		}
	}
	// Of the file's own name the kernel tells nothing but that it was moved there.
	buffer := make([]byte, 64<<10)
	n, err := unix.Read(watch, buffer)
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for at := 0; at < n; {
		mask := uint32(buffer[at+4]) | uint32(buffer[at+5])<<8 | uint32(buffer[at+6])<<16 | uint32(buffer[at+7])<<24
		length := int(buffer[at+12]) | int(buffer[at+13])<<8
		name := strings.TrimRight(string(buffer[at+16:at+16+length]), "\x00")
		at += 16 + length
		switch {
		case name != "a":
		case mask&unix.IN_MOVED_TO != 0:
			moved++
		default:
			t.Errorf("a: event %#x", mask)
		}
	}
	if moved != 15 {
		t.Errorf("moved there %d times, want 15", moved)
	}
}

// Somebody who looks all the time never sees it with another mode either.
func TestFileIsNeverWider(t *testing.T) {
	t.Parallel()
	dir := memory(t)
	stop, wider := make(chan struct{}), make(chan os.FileMode, 1)
	go func() {
		defer close(wider)
		for {
			select {
			case <-stop:
				return
			default:
			}
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if info, err := e.Info(); err == nil && info.Mode() != 0o600 {
					wider <- info.Mode()
					return
				}
			}
		}
	}()
	f := newFile(t, filepath.Join(dir, "a"), 0o600)
	for range 3000 {
		put(t, f, "x")
	}
	close(stop)
	if mode, seen := <-wider; seen {
		t.Errorf("it was seen with %v", mode)
	}
}

func TestFileIsReplacedWhole(t *testing.T) {
	t.Parallel()
	dir := memory(t)
	path := filepath.Join(dir, "a")
	f := newFile(t, path, 0o600)
	put(t, f, strings.Repeat("a", 1<<20))
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			got, err := os.ReadFile(path)
			if err != nil || len(got) != 1<<20 || strings.Count(string(got), string(got[:1])) != 1<<20 {
				done <- errors.New("a reader saw a part of it, or none")
				return
			}
		}
	}()
	for n := range 50 {
		put(t, f, strings.Repeat(string(rune('b'+n%20)), 1<<20))
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantEntries(t, dir, "a")
}

func TestFileGoesNowhereElse(t *testing.T) {
	t.Parallel()
	dir := memory(t)
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	for name, make := range map[string]func() error{
		"a link":          func() error { return os.Symlink(victim, link) },
		"a dangling link": func() error { return os.Symlink(filepath.Join(dir, "none"), link) },
		"a folder":        func() error { return os.Mkdir(link, 0o700) },
		"a pipe":          func() error { return unix.Mkfifo(link, 0o600) },
	} {
		f := newFile(t, link, 0o600)
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := NewFile(link, 0o600, false); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "no plain file") {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.Stage([]byte("x")); !errors.Is(err, ErrFile) { // it came after the first look
			t.Errorf("%s that came later: %v", name, err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	// Even between staging and renaming: a link is replaced, and not followed.
	f := newFile(t, link, 0o600)
	if err := errors.Join(f.Stage([]byte("new")), os.Symlink(victim, link), f.Commit()); err != nil {
		t.Fatal(err)
	}
	wantContent(t, link, "new")
	wantContent(t, victim, "mine")
	// The folder is the one that was looked at, whatever its name leads to later.
	inner, away := filepath.Join(dir, "inner"), filepath.Join(dir, "away")
	if err := os.Mkdir(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	f = newFile(t, filepath.Join(inner, "a"), 0o600)
	if err := errors.Join(os.Rename(inner, away), os.Symlink(t.TempDir(), inner)); err != nil {
		t.Fatal(err)
	}
	put(t, f, "x")
	wantContent(t, filepath.Join(away, "a"), "x")
}

func TestFileOnADisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	if _, err := NewFile(path, 0o600, false); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "--allow-disk") {
		t.Errorf("%v", err)
	}
	if f, err := NewFile(path, 0o600, true); err != nil {
		t.Error(err)
	} else {
		_ = f.Close()
	}
	for _, bad := range []string{"/no/such/folder/a", "/dev/shm/..", "/", "."} {
		if _, err := NewFile(bad, 0o600, false); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFileIsRemoved(t *testing.T) {
	t.Parallel()
	dir := memory(t)
	path := filepath.Join(dir, "a")
	f := newFile(t, path, 0o600)
	if err := f.Remove(); err != nil { // nothing was written
		t.Error(err)
	}
	put(t, f, "x")
	put(t, f, "y")
	if err := f.Stage([]byte("never")); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	wantEntries(t, dir)
	put(t, f, "x")
	if err := errors.Join(os.Remove(path), os.WriteFile(path+"2", []byte("theirs"), 0o600), os.Rename(path+"2", path)); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(); err != nil {
		t.Error(err)
	}
	wantContent(t, path, "theirs")
}

// Where there is no room the old file stays, and nothing of the new one.
func TestFileWithoutRoom(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t) // to mount a small tmpfs
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "a")
	f := newFile(t, path, 0o600)
	put(t, f, "old")
	if err := f.Stage(make([]byte, 1<<20)); !errors.Is(err, ErrFile) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%v", err)
	}
	wantContent(t, path, "old")
	wantEntries(t, dir, "a")
}

// A command that is told of changes while it runs gets them in order, and one that cannot begin leaves nothing running.
func TestRunBegins(t *testing.T) {
	t.Parallel()
	touched := filepath.Join(t.TempDir(), "ran")
	code, err := Run(Command{Args: []string{"touch", touched}, Begin: func() error { return ErrFile }})
	if code != ExitFailed || !errors.Is(err, ErrFile) {
		t.Errorf("%d, %v", code, err)
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("the command ran")
	}
	changes := make(chan Change)
	out := filepath.Join(t.TempDir(), "out")
	go func() {
		for n := range 2 {
			for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				if got, _ := os.ReadFile(out); strings.Count(string(got), "\n") == n+1 {
					break
				}
			}
			changes <- Change{Restart: true, Env: append(os.Environ(), "N="+string(rune('1'+n)))}
		}
	}()
	code, err = Run(Command{Args: []string{"sh", "-c", `echo "n $N" >>` + out + `; test "$N" = 2 && exit 4; exec sleep 60`}, Env: append(os.Environ(), "N=0"), Changes: changes})
	if code != 4 || err != nil {
		t.Errorf("%d, %v", code, err)
	}
	wantContent(t, out, "n 0\nn 1\nn 2\n")
}
