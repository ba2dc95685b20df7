package deliver

import "golang.org/x/sys/unix"

// inMemory tells whether the folder's files are in memory. (They can be swapped out, as all memory can.)
func (f *File) inMemory() (bool, error) {
	folder, err := f.folder.Open(".")
	if err != nil {
		return false, err
	}
	defer folder.Close()
	var info unix.Statfs_t
	if err := unix.Fstatfs(int(folder.Fd()), &info); err != nil {
		return false, err
	}
	kind := uint32(info.Type) // its width is the machine's
	return kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC, nil
}
