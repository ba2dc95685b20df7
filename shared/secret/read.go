package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ReadAll reads r to its end straight into the arena, where max+1 bytes must be free for the time of the reading. More
// than max bytes is ErrTooLong. A reader that buffers keeps a copy of its own: give it a file or a socket. It waits as
// long as r does.
func (a *Arena) ReadAll(r io.Reader, max int) (*Buffer, error) {
	if max < 0 {
		return nil, fmt.Errorf("reading at most %d bytes: must not be negative", max)
	}
	s, err := a.New(max + 1)
	if err != nil {
		return nil, err
	}
	n, err := fill(s.Reveal(), r)
	if err == nil && n > max {
		err = fmt.Errorf("%w: more than %d bytes", ErrTooLong, max)
	}
	if err != nil {
		s.Wipe()
		return nil, err
	}
	s.shorten(n)
	return s, nil
}

// fill reads until r ends or b is full. It does not use [io.ReadFull], which reports the end of a short source with the
// error by which network readers report a source that was cut off.
func fill(b []byte, r io.Reader) (n int, err error) {
	for empty := 0; n < len(b); {
		k, err := r.Read(b[n:])
		n += k
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if k > 0 {
			empty = 0
		} else if empty++; empty == 100 {
			return n, io.ErrNoProgress
		}
	}
	return n, nil
}

// ReadFile reads a regular file of at most max bytes with read(2) straight into the arena. Who else may read the file
// is for the caller to check; to check the very file that is read, open it and use ReadAll.
func (a *Arena) ReadFile(path string, max int) (*Buffer, error) {
	// Without O_NONBLOCK the opening of a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	s, err := a.ReadAll(f, max)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return s, nil
}
