//go:build unix

package seal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// checkAccess refuses a key file that others could have read, or that another user put there. systemd keeps credentials in a directory that only the
// service can enter, as files of root that show 0440 where an access list lets the service's user in.
func checkAccess(path string, info fs.FileInfo, credentials string) error {
	mode := info.Mode().Perm()
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to another user, who may know the key: use a key file of your own", ErrKeyFile, path)
	}
	ofSystemd := credentials != "" && filepath.Dir(filepath.Clean(path)) == filepath.Clean(credentials)
	if mode&0o077 == 0 || ofSystemd && mode&^0o440 == 0 {
		return nil
	}
	return fmt.Errorf("%w: others may read %s (mode %04o): run `chmod 600 %s`", ErrKeyFile, path, mode, path)
}
