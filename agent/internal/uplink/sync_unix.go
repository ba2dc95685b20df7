//go:build unix

package uplink

import (
	"errors"
	"os"
)

// syncFolder makes a rename within the folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
