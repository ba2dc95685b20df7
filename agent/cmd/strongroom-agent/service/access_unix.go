//go:build unix

package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links Linux follows on the way to one file.
const maxLinks = 40

// checkAccess refuses what would let others act as root through the service, or the service write what is not its own.
func checkAccess(s Settings, program string) error {
	if err := rootsAlone(program, "copy it to /usr/local/bin, owned by root, and install it from there"); err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	if s.Config != "" {
		if err := rootsAlone(s.Config, "keep it in a folder of root's such as /etc/strongroom"); err != nil {
			return fmt.Errorf("--config: %w", err)
		}
	}
	if err := rootsAlone(s.State, "choose a folder of root's such as /var/lib/strongroom-agent"); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	if err := ownFolder(s.State, "/var/lib/strongroom-agent"); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	if err := ownFolder(filepath.Dir(s.Socket), "/run/strongroom"); err != nil {
		return fmt.Errorf("--socket: %w", err)
	}
	return nil
}

// rootsAlone fails where somebody but root could write path or put another file in its place: every folder and link on
// the way must be root's. What is not there yet nobody else can make, then.
func rootsAlone(path, mend string) error {
	at, way, links := "/", strings.Split(path, "/"), 0
	for {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		link := info.Mode()&fs.ModeSymlink != 0
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || owner.Uid != 0 {
			return fmt.Errorf("%s belongs to another user than root, who could make the service do anything: %s (chown root %s may do as well)", at, mend, at)
		}
		if !link && info.Mode().Perm()&0o022 != 0 {
			return fmt.Errorf("others than root may write to %s, and could make the service do anything: %s (chmod go-w %s may do as well)", at, mend, at)
		}
		if link {
			if links++; links > maxLinks {
				return fmt.Errorf("%s: too many symbolic links", path)
			}
			to, err := os.Readlink(at)
			if err != nil {
				return err
			}
			way = append(strings.Split(to, "/"), way...)
			if at = filepath.Dir(at); filepath.IsAbs(to) {
				at = "/"
			}
		}
		if way = slices.DeleteFunc(way, func(name string) bool { return name == "" || name == "." }); len(way) == 0 {
			return nil
		}
		at, way = filepath.Join(at, way[0]), way[1:] // a link's .. leads up from where the link led
	}
}

// shared are folders below the top ones that belong to the whole system.
var shared = []string{
	"/dev/shm", "/run/lock", "/run/systemd", "/run/user", "/usr/local", "/var/cache", "/var/lib", "/var/local", "/var/lock",
	"/var/log", "/var/mail", "/var/opt", "/var/run", "/var/spool", "/var/tmp",
}

// ownFolder refuses folders that others use too: the service may write to all that is in its folders.
func ownFolder(folder, mend string) error {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		real = filepath.Clean(folder) // most often it is not there yet
	}
	parent := filepath.Dir(real)
	if parent == "/" || parent == "/home" || parent == "/run/user" || within(real, "/etc", "/usr", "/proc", "/sys") || slices.Contains(shared, real) {
		return fmt.Errorf("the service may write to all of %s, which is not the agent's alone: choose a folder of its own, such as %s", folder, mend)
	}
	return nil
}

func within(folder string, tops ...string) bool {
	return slices.ContainsFunc(tops, func(top string) bool { return strings.HasPrefix(folder, top+"/") })
}
