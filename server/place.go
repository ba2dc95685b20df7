package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/durable"
)

// vacant is ErrExists where there is a vault.
func vacant(data string) error {
	if _, err := os.Stat(filepath.Join(data, vaultFolder)); err == nil {
		return fmt.Errorf("%w in %s: choose another --data, or move that one away first", ErrExists, data)
	}
	return nil
}

// place has a whole vault built beside its place and renames it there last, so
// that a crash leaves nothing that looks like a vault and whoever was making one
// may simply begin anew. build makes it in dir and returns the fingerprint of its
// root certificate.
func place(data string, build func(dir string) (fingerprint string, err error)) error {
	final, partial := filepath.Join(data, vaultFolder), filepath.Join(data, partialFolder)
	if err := errors.Join(durable.MkdirAll(data, 0o700), os.RemoveAll(partial), os.Mkdir(partial, 0o700)); err != nil {
		return err
	}
	fingerprint, err := build(partial)
	if err != nil {
		return errors.Join(err, os.RemoveAll(partial))
	}
	// Public, and handy for whoever signs in from this machine.
	public := filepath.Join(data, fingerprintFile)
	if err := errors.Join(durable.Replace(public, []byte(fingerprint+"\n")), os.Chmod(public, 0o644)); err != nil {
		return err
	}
	crash.Point("vault.built")
	if err := os.Rename(partial, final); err != nil {
		return err
	}
	crash.Point("vault.placed")
	return durable.SyncDir(data)
}
