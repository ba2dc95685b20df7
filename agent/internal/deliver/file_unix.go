//go:build unix

package deliver

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// trusted fails where the folder is under the control of somebody who is neither this process's user nor root: they could
// read what is put there later, or give the job another file.
func (f *File) trusted() error {
	info, err := f.folder.Stat(".")
	if err != nil {
		return f.failed(err)
	}
	if owner := ownerOf(info); owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%w %s: its folder belongs to another user, who could put another file there; choose a folder of your own", ErrFile, f.path)
	}
	writable := info.Mode().Perm()&0o022 != 0
	f.shared = writable && info.Mode()&fs.ModeSticky != 0
	if writable && !f.shared {
		return fmt.Errorf("%w %s: others may write to its folder, and could put another file there; choose a folder of your own, or give chmod go-w", ErrFile, f.path)
	}
	return nil
}

// another tells whether what is there belongs to another user.
func another(info fs.FileInfo) bool { return ownerOf(info) != os.Geteuid() }

// ownerOf answers -1 where the system does not say.
func ownerOf(info fs.FileInfo) int {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}
