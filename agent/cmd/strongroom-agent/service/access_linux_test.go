package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

const other = 12345 // a user

// rootsFolder is a folder on whose way nobody but root may write, which one under /tmp is not.
func rootsFolder(t *testing.T) string {
	t.Helper()
	kit.NeedRoot(t)
	dir, err := os.MkdirTemp("/run", "service")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func makeFile(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o755)); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyRootMayWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		spoil  func(dir string) error // what follows is made in dir: bin/agent, etc/config, state
		names  string                 // what the error names in dir; "-": there is none
		option string
	}{
		{"all of root's", func(string) error { return nil }, "-", ""},
		{"no state yet", func(dir string) error { return os.Remove(dir + "/state") }, "-", ""},
		{"read by all", func(dir string) error { return os.Chmod(dir+"/bin", 0o555) }, "-", ""},
		{"a link of root's to root's", func(dir string) error {
			return errors.Join(os.Rename(dir+"/bin", dir+"/real"), os.Symlink("./../"+filepath.Base(dir)+"/real", dir+"/bin"))
		}, "-", ""},

		{"another's program", func(dir string) error { return os.Chown(dir+"/bin/agent", other, 0) }, "/bin/agent belongs", "the program"},
		{"a program that a group writes", func(dir string) error { return os.Chmod(dir+"/bin/agent", 0o775) }, "/bin/agent,", "the program"},
		{"a program that all write", func(dir string) error { return os.Chmod(dir+"/bin/agent", 0o757) }, "/bin/agent,", "the program"},
		{"another's folder", func(dir string) error { return os.Chown(dir+"/bin", other, 0) }, "/bin belongs", "the program"},
		{"a folder that a group writes", func(dir string) error { return os.Chmod(dir+"/bin", 0o775) }, "/bin,", "the program"},
		{"a sticky folder", func(dir string) error { return os.Chmod(dir+"/bin", os.ModeSticky|0o777) }, "/bin,", "the program"},
		{"a folder further up", func(dir string) error { return os.Chmod(dir, 0o777) }, ",", "the program"},
		{"another's link", func(dir string) error {
			return errors.Join(os.Rename(dir+"/bin", dir+"/real"), os.Symlink(dir+"/real", dir+"/bin"), os.Lchown(dir+"/bin", other, 0))
		}, "/bin belongs", "the program"},
		{"a link into another's folder and back", func(dir string) error {
			return errors.Join(os.Rename(dir+"/bin", dir+"/real"), os.Mkdir(dir+"/theirs", 0o755), os.Symlink(dir+"/real", dir+"/theirs/on"),
				os.Chown(dir+"/theirs", other, 0), os.Symlink("theirs/on", dir+"/bin"))
		}, "/theirs belongs", "the program"},
		{"a link to another's program", func(dir string) error {
			return errors.Join(os.Chown(dir+"/etc", other, 0), os.Rename(dir+"/bin/agent", dir+"/etc/agent"), os.Symlink(dir+"/etc/agent", dir+"/bin/agent"))
		}, "/etc belongs", "the program"},
		{"links in a circle", func(dir string) error {
			return errors.Join(os.RemoveAll(dir+"/bin"), os.Symlink("bin", dir+"/bin"))
		}, "/bin/agent: too many", "the program"},
		{"another's configuration", func(dir string) error { return os.Chown(dir+"/etc/config", other, 0) }, "/etc/config belongs", "--config"},
		{"a configuration in another's folder", func(dir string) error { return os.Chown(dir+"/etc", other, 0) }, "/etc belongs", "--config"},
		{"another's state", func(dir string) error { return os.Chown(dir+"/state", other, 0) }, "/state belongs", "--state"},
		{"a state that all write", func(dir string) error { return os.Chmod(dir+"/state", 0o777) }, "/state,", "--state"},
	} {
		dir := rootsFolder(t)
		makeFile(t, dir+"/bin/agent")
		makeFile(t, dir+"/etc/config")
		if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/state", 0o700), c.spoil(dir)); err != nil {
			t.Fatal(err)
		}
		s := Settings{State: dir + "/state", Config: dir + "/etc/config", Socket: dir + "/run/agent.sock"}
		err := checkAccess(s, dir+"/bin/agent")
		if c.names == "-" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.option+": ") || !strings.Contains(err.Error(), dir+c.names) {
			t.Errorf("%s: %v; want it about %s, naming %s", c.name, err, c.option, dir+c.names)
		}
	}
	// Where all may write, others can put another program in place, sticky or not.
	if err := checkAccess(Settings{State: "/var/lib/strongroom-agent", Socket: "/run/strongroom/agent.sock"}, "/tmp/agent"); err == nil || !strings.Contains(err.Error(), "write to /tmp,") || !strings.Contains(err.Error(), "/usr/local/bin") {
		t.Errorf("a program in /tmp: %v", err)
	}
}

func TestFoldersOfItsOwn(t *testing.T) {
	t.Parallel()
	dir := rootsFolder(t)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink("/run", dir+"/run"), os.Symlink("/var/lib", dir+"/lib")); err != nil {
		t.Fatal(err)
	}
	program := dir + "/agent"
	makeFile(t, program)
	for _, socket := range []string{
		"/x.sock", "/run/x.sock", "/run/./x.sock", "/var/run/x.sock", "/var/x.sock", "/etc/x.sock", "/home/x.sock", "/home/bob/x.sock", "/root/x.sock",
		"/usr/x.sock", "/usr/local/x.sock", "/usr/local/bin/x.sock", "/tmp/x.sock", "/dev/shm/x.sock", "/etc/systemd/system/x.sock", "/run/systemd/x.sock",
		"/run/user/1000/x.sock", "/opt/x.sock", "/proc/self/x.sock", dir + "/run/x.sock",
	} {
		err := checkAccess(Settings{State: "/var/lib/strongroom-agent", Socket: socket}, program)
		if err == nil || !strings.HasPrefix(err.Error(), "--socket: ") || !strings.Contains(err.Error(), "/run/strongroom") {
			t.Errorf("--socket %s: %v", socket, err)
		}
	}
	for _, state := range []string{"/var/lib", "/etc", "/etc/strongroom", "/", "/nowhere/", dir + "/lib"} {
		err := checkAccess(Settings{State: state, Socket: "/run/strongroom/agent.sock"}, program)
		if err == nil || !strings.HasPrefix(err.Error(), "--state: ") || !strings.Contains(err.Error(), "/var/lib/strongroom-agent") {
			t.Errorf("--state %s: %v", state, err)
		}
	}
	for _, socket := range []string{"/run/strongroom/agent.sock", "/run/other/agent.sock", "/var/run/strongroom/x.sock", "/srv/agent/x.sock", dir + "/own/x.sock"} {
		if err := checkAccess(Settings{State: "/var/lib/strongroom-agent", Socket: socket}, program); err != nil {
			t.Errorf("--socket %s: %v", socket, err)
		}
	}
}
