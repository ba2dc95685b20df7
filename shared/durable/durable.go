// Package durable writes files that are whole or not there, whatever happens in
// between: it writes beside the place, syncs, moves there and syncs the folder.
// It knows nothing of what the files hold.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/strongroom/strongroom/shared/crash"
)

// Replace writes a file of mode 0600 in place of what is at path, if anything.
// After a crash it is the old file or the new one. The content is given in parts
// so that a secret need not be copied to be followed by something.
func Replace(path string, parts ...[]byte) error {
	return write(path, parts, os.Rename)
}

// Create writes a file of mode 0600 where there is none: os.ErrExist otherwise,
// also for one that appears meanwhile.
func Create(path string, parts ...[]byte) error {
	return write(path, parts, place)
}

// place moves without replacing. A file system without hard links, such as that
// of a USB stick, has no way to do that at once.
func place(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	if _, missing := os.Lstat(to); !errors.Is(missing, os.ErrNotExist) {
		return err
	}
	return os.Rename(from, to)
}

func write(path string, parts [][]byte, move func(from, to string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // born 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	for _, part := range parts {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	crash.Point("durable.sync")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	crash.Point("durable.move")
	if err := move(f.Name(), path); err != nil {
		return err
	}
	crash.Point("durable.syncdir")
	return SyncDir(dir)
}

// SyncDir makes names that were made or moved in dir survive a power failure.
// Windows cannot sync folders; NTFS journals names by itself.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
