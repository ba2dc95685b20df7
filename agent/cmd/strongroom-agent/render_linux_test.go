package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// memory is a folder on a tmpfs.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "render")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.tmpl")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantFile(t *testing.T, path, want string, mode os.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != mode {
		t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, mode)
	}
}

func awaitFile(t *testing.T, path, want string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		got, _ := os.ReadFile(path)
		return string(got) == want, fmt.Sprintf("%s: %q, want %q", path, got, want)
	})
}

func wantNoFiles(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left", left, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"username": "bot", "password": `s3cr3t"x`}})
	dir := memory(t)
	good := write(t, `{{ field "crm" "username" }}:{{ field "crm" "password" | json }}`)
	program(t, c.socket, "", "render", "--template", good+":"+dir+"/a", "--template", good+":"+dir+"/b:0444").prints(t, "")
	wantFile(t, dir+"/a", `bot:"s3cr3t\"x"`, 0o600)
	wantFile(t, dir+"/b", `bot:"s3cr3t\"x"`, 0o444)
	missing := write(t, "\n"+`{{ field "crm" "pin" }}`)
	other := write(t, `{{ field "other" "pin" }}`)
	fine := write(t, `new`)
	program(t, c.socket, "", "render", "--template", fine+":"+dir+"/a", "--template", missing+":"+dir+"/b").
		fails(t, 1, missing+" line 2", `field "crm" "pin"`, "no such field")
	program(t, c.socket, "", "render", "--template", other+":"+dir+"/a").fails(t, 3, "line 1", `"other"`, "refused: not yours or not there")
	program(t, "/no/such/socket", "", "render", "--template", good+":"+dir+"/a").fails(t, 5, "/no/such/socket")
	disk := t.TempDir()
	program(t, c.socket, "", "render", "--template", fine+":"+disk+"/a").fails(t, 1, "on a disk", "--allow-disk")
	program(t, c.socket, "", "render", "--allow-disk", "--template", fine+":"+disk+"/a:600").prints(t, "")
	wantFile(t, disk+"/a", "new", 0o600)
	for _, to := range []string{"/etc/passwd", dir + "/nowhere"} {
		link := dir + "/link"
		if err := errors.Join(os.RemoveAll(link), os.Symlink(to, link)); err != nil {
			t.Fatal(err)
		}
		program(t, c.socket, "", "render", "--template", fine+":"+link).fails(t, 1, "no plain file")
	}
	for _, args := range [][]string{
		{}, {"--template", "a"}, {"--template", "a:b:c"}, {"--template", "a:b:0999"}, {"--template", ":b"}, {"--template", "a:" + dir + "/x:1777"},
		{"--template", good + ":" + dir + "/x", "--template", good + ":" + dir + "/x"}, {"--template", good + ":" + dir + "/x", "--restart-on-change"},
		{"--template", good + ":" + dir + "/x", "arg"},
	} {
		program(t, c.socket, "", append([]string{"render"}, args...)...).fails(t, 2)
	}
	wantFile(t, dir+"/a", `bot:"s3cr3t\"x"`, 0o600) // nothing of all that touched it
	wantFile(t, dir+"/b", `bot:"s3cr3t\"x"`, 0o444)
}

func TestRenderExec(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret", "note": "x"}})
	dir := memory(t)
	template := write(t, `{{ field "crm" "password" }}`+"\n") + ":" + dir + "/a"
	s := c.start(t, "render", "--template", template, "--exec", "sh", "--", "-c",
		`f=$0; trap 'echo "hup $(cat $f) $(cat $f | wc -c)"' HUP; trap 'exit 5' TERM; echo "start $(cat $f)"`+loop, dir+"/a")
	s.line("start ***")
	wantFile(t, dir+"/a", "first-secret\n", 0o600)
	c.set(fields{"crm": {"password": "first-secret", "note": "y"}}) // the file stays what it is
	time.Sleep(1500 * time.Millisecond)
	for _, secret := range []string{"second-secret", "third--secret"} {
		c.set(fields{"crm": {"password": secret}})
		s.line("hup *** 14")
		wantFile(t, dir+"/a", secret+"\n", 0o600)
	}
	c.set(fields{"crm": {"other": "x"}})
	s.says(`field "crm" "password": the credential has no such field; the command goes on with what it has`)
	wantFile(t, dir+"/a", "third--secret\n", 0o600)
	s.signal(syscall.SIGTERM)
	s.ends(5)
	wantNoFiles(t, dir)
}

// Reloading in a loop, as fast as changes come, loses none and ends nothing.
func TestRenderReloadsInALoop(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "secret-0"}})
	dir := memory(t)
	s := c.start(t, "render", "--template", write(t, `{{ field "crm" "password" }}`)+":"+dir+"/a", "--exec", "sh", "--", "-c",
		`trap 'echo hup' HUP; echo start`+loop)
	s.line("start")
	for range 40 {
		s.signal(syscall.SIGHUP) // from elsewhere: passed on
		time.Sleep(5 * time.Millisecond)
	}
	s.line("hup")
	for n := range 200 {
		c.set(fields{"crm": {"password": fmt.Sprint("secret-", n+1)}})
		time.Sleep(10 * time.Millisecond)
	}
	awaitFile(t, dir+"/a", "secret-200")
	s.signal(syscall.SIGTERM)
	s.ends(143)
	wantNoFiles(t, dir)
}

func TestRenderRestarts(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}})
	dir := memory(t)
	s := c.start(t, "render", "--template", write(t, `{{ field "crm" "password" }}`)+":"+dir+"/a", "--restart-on-change", "--exec", "sh", "--", "-c",
		`wc -c <$0; env | grep -c -e first-secret -e second-secret; test -n "$(grep second $0)" && exit 3`+loop, dir+"/a")
	s.line("12")
	s.line("0") // nothing of it in the environment
	c.set(fields{"crm": {"password": "second-secret"}})
	s.line("13")
	s.line("0")
	s.ends(3)
	wantNoFiles(t, dir)
}

func TestRenderExecFailures(t *testing.T) {
	t.Parallel()
	c := newChanging(t)
	c.set(fields{"crm": {"password": "first-secret"}})
	dir := memory(t)
	template := write(t, `{{ field "crm" "password" }}`) + ":" + dir + "/a"
	run := func(args ...string) result { return program(t, c.socket, "", append([]string{"render"}, args...)...) }
	run("--template", template, "--exec", "no-such-command").fails(t, 127, "not found")
	run("--template", template, "--exec", "/etc").fails(t, 126, "/etc")
	noProgram := write(t, "hello\n")
	if err := os.Chmod(noProgram, 0o755); err != nil {
		t.Fatal(err)
	}
	run("--template", template, "--exec", noProgram).fails(t, 126, "cannot be run") // after the files were there
	run("--template", write(t, `{{ field "crm" "pin" }}`)+":"+dir+"/a", "--exec", "true").fails(t, 125, "line 1")
	run("--template", write(t, `{{ field "other" "pin" }}`)+":"+dir+"/a", "--exec", "true").fails(t, 125, "refused")
	run("--template", "x", "--exec", "true").fails(t, 125, "SRC:DST")
	wantNoFiles(t, dir)
	if r := run("--template", template, "--no-redact", "--exec", "cat", "--", dir+"/a"); r.code != 0 || r.stdout != "first-secret" {
		t.Errorf("--no-redact: %+v", r)
	}
	if r := run("--template", template, "--exec", "sh", "--", "-c", "kill -KILL $$"); r.code != 137 {
		t.Errorf("killed: %+v", r)
	}
	wantNoFiles(t, dir)
}
