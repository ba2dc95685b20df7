package deliver

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/shared/cli"
)

// ErrFile means that a file cannot be written where it should be.
var ErrFile = errors.New("cannot write the file")

// A File is a place in the file system for what a job is given. Its content is written whole under another name in the
// same folder, with its final mode from the beginning, and renamed into place: who opens the file sees the old content
// or the new. It is synced to no disk, as it is meant for memory.
type File struct {
	path   string // as it was given, for messages
	folder *os.Root
	name   string
	mode   fs.FileMode
	shared bool        // others may make files in the folder, and cannot touch ours: it is sticky
	staged string      // the other name; empty: none
	next   os.FileInfo // what is staged
	ours   os.FileInfo // what was put into place last
}

// NewFile answers the file at path, whose folder must be there. It fails with ErrFile where the folder is not in memory
// (tmpfs or ramfs; Linux only), unless disk allows that, where others control the folder (Unix only), and where what is
// there is not a plain file, or one of another user in a folder that all share, such as /dev/shm.
func NewFile(path string, mode fs.FileMode, disk bool) (*File, error) {
	f := &File{path: path, name: filepath.Base(path), mode: mode}
	if f.name == "." || f.name == ".." || f.name == string(filepath.Separator) {
		return nil, fmt.Errorf("%w %s: it names a folder; name the file to make in it", ErrFile, path)
	}
	folder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, f.failed(err)
	}
	f.folder = folder
	if err := f.check(disk); err != nil {
		return nil, errors.Join(err, folder.Close())
	}
	return f, nil
}

func (f *File) check(disk bool) error {
	if err := f.trusted(); err != nil {
		return err
	}
	if !disk {
		memory, err := f.inMemory()
		if err != nil {
			return f.failed(err)
		}
		if !memory {
			return fmt.Errorf("%w %s: its folder is on a disk, where deleted secrets stay readable; choose one on a tmpfs, such as /run or /dev/shm, or allow it with --allow-disk",
				ErrFile, f.path)
		}
	}
	return f.plain()
}

// plain fails where the file is there and is anything but a file, as a link could lead anywhere, and where somebody else
// took its name in a folder that all share.
func (f *File) plain() error {
	info, err := f.folder.Lstat(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return f.failed(err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w %s: what is there is no plain file (%s); remove it, or choose another place", ErrFile, f.path, info.Mode().Type())
	}
	if f.shared && another(info) {
		return fmt.Errorf("%w %s: what is there belongs to another user; choose another name, or a folder of your own", ErrFile, f.path)
	}
	return nil
}

// failed words an error of the system; the name under which content is staged would tell nobody anything.
func (f *File) failed(err error) error {
	return fmt.Errorf("%w %s: %w", ErrFile, f.path, cli.WithoutPath(err))
}

// Stage writes content beside the file; Commit puts it into place, and Discard takes it away.
func (f *File) Stage(content []byte) error {
	f.Discard()
	if err := f.plain(); err != nil {
		return err
	}
	name := "." + f.name + "." + rand.Text()[:12]
	// Never wider than its final mode, of which the umask may have taken something.
	out, err := f.folder.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return f.failed(err)
	}
	f.staged = name
	err = out.Chmod(f.mode)
	if err == nil {
		_, err = out.Write(content)
	}
	if err == nil {
		f.next, err = out.Stat()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		f.Discard()
		return f.failed(err)
	}
	return nil
}

// Commit puts what was staged into place.
func (f *File) Commit() error {
	if err := f.folder.Rename(f.staged, f.name); err != nil {
		return f.failed(err)
	}
	f.staged, f.ours = "", f.next
	return nil
}

// Discard takes away what was staged and not put into place.
func (f *File) Discard() {
	if f.staged != "" {
		_ = f.folder.Remove(f.staged) // it holds the place of nothing; there is nobody to tell
		f.staged = ""
	}
}

// Remove takes the file away where it is still what Commit put there.
func (f *File) Remove() error {
	f.Discard()
	if f.ours == nil {
		return nil
	}
	info, err := f.folder.Lstat(f.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return f.failed(err)
	case !os.SameFile(info, f.ours):
		return nil // somebody put another one there
	}
	f.ours = nil
	if err := f.folder.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.failed(err)
	}
	return nil
}

// Close lets go of the folder. The file stays.
func (f *File) Close() error {
	f.Discard()
	return f.folder.Close()
}
