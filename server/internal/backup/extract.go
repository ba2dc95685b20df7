package backup

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"github.com/strongroom/strongroom/shared/secret"
)

// Place says where a file of the archive goes, and how long it may be; it refuses a name that is none of a vault's.
// Extract closes what it gives.
type Place func(name string, size int64) (io.WriteCloser, error)

// Extract gives every file of a backup to place, whole and as it was written: names and lengths are held against the
// header before anything is. ErrDamaged where the backup is not what was written, also where that shows at its end: what
// was placed is to be thrown away after any error. r goes on where ReadHeader stopped.
func Extract(r io.Reader, h Header, a *secret.Arena, keyFor KeyFor, place Place) error {
	identity, err := h.identity(a, keyFor)
	if err != nil {
		return err
	}
	opened, err := age.Decrypt(r, identity)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	left := Header{Store: h.Store, Log: h.Log}
	archive, last := tar.NewReader(opened), ""
	for {
		next, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err := left.admit(next, last); err != nil {
			return err
		}
		last = next.Name
		if err := extractOne(archive, next, place); err != nil {
			return err
		}
	}
	if left.Store != 0 || left.Log != 0 {
		return fmt.Errorf("%w: files are missing", ErrDamaged)
	}
	// Only at its end the age file says that it is whole, and nothing may stand between.
	if n, err := io.Copy(io.Discard, io.LimitReader(opened, 1)); err != nil || n != 0 {
		return errors.Join(fmt.Errorf("%w: at its end", ErrDamaged), err)
	}
	return nil
}

// admit takes a file off what the header says there is.
func (left *Header) admit(next *tar.Header, last string) error {
	of := &left.Log
	if next.Name == StoreName {
		of = &left.Store
	}
	switch {
	case next.Typeflag != tar.TypeReg, next.Size <= 0, next.Size > *of,
		next.Name == StoreName && (last != "" || next.Size != *of), next.Name != StoreName && last == "":
		return fmt.Errorf("%w: a file that none of a vault is", ErrDamaged)
	}
	*of -= next.Size
	return nil
}

func extractOne(from io.Reader, next *tar.Header, place Place) error {
	into, err := place(next.Name, next.Size)
	if err != nil {
		return err
	}
	_, err = io.Copy(into, reader{from})
	return errors.Join(err, into.Close())
}

// reader marks what the reading of a backup fails with, so that it is told from a full disk.
type reader struct{ from io.Reader }

func (r reader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return n, err
}
