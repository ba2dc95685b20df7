package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// MkdirAll makes a folder and those above it where they are missing, as os.MkdirAll does, and has their names survive a
// power failure: what is durable within a folder is gone with the folder's name. A folder that is there already may
// have been left by somebody who was killed on the way, so its name is synced too, where the folder above can be read.
func MkdirAll(path string, mode os.FileMode) error {
	path = filepath.Clean(path)
	above := filepath.Dir(path)
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrNotExist) && above != path {
		if err := MkdirAll(above, mode); err != nil {
			return err
		}
		err = os.Mkdir(path, mode)
	}
	if err == nil {
		return SyncDir(above)
	}
	if info, missing := os.Stat(path); missing != nil || !info.IsDir() {
		return err
	}
	if err := SyncDir(above); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}
