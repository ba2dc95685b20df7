package cli

import (
	"errors"
	"io/fs"
	"os"
)

// WithoutPath leaves out of an error of the system's which file it is of: the
// words around it say so already, or must not, since a secret may stand where
// the name of a file should.
func WithoutPath(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
