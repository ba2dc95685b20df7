package lossy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// page is what a disk writes at once: of what was not synced, any pages may survive.
const page = 4096

// A Disk is what the mounted file system stands on. Its methods may be called from several goroutines.
type Disk struct {
	mu   sync.Mutex
	last uint64 // the newest inode's number
	root *inode
}

// inode is a file or a folder, as it is and as it would be after a power cut.
type inode struct {
	number uint64
	mode   uint32 // with the type

	data, synced []byte
	dirty        map[int]bool // pages of data that were written since it was synced

	names, syncedNames map[string]*inode
	unsynced           []naming // what was done to names since it was synced, in order
}

// naming is one change of a folder: names that were given, and names that were taken (nil).
type naming map[string]*inode

// NewDisk makes an empty disk with some folders, all durable.
func NewDisk(folders ...string) *Disk {
	d := &Disk{}
	d.root = d.newInode(syscall.S_IFDIR | 0o700)
	for _, folder := range folders {
		in := d.root
		for name := range strings.SplitSeq(folder, "/") {
			next := in.names[name]
			if next == nil {
				next = d.newInode(syscall.S_IFDIR | 0o700)
				in.names[name], in.syncedNames[name] = next, next
			}
			in = next
		}
	}
	return d
}

func (d *Disk) newInode(mode uint32) *inode {
	d.last++
	in := &inode{number: d.last, mode: mode, dirty: map[int]bool{}}
	if in.folder() {
		in.names, in.syncedNames = map[string]*inode{}, map[string]*inode{}
	}
	return in
}

func (in *inode) folder() bool { return in.mode&syscall.S_IFMT == syscall.S_IFDIR }

// name gives and takes names of a folder. The lock is held.
func (in *inode) name(n naming) {
	in.unsynced = append(in.unsynced, n)
	apply(in.names, n)
}

func apply(to map[string]*inode, n naming) {
	for name, child := range n {
		if child == nil {
			delete(to, name)
		} else {
			to[name] = child
		}
	}
}

// write changes bytes and grows the file where they lie beyond its end. The lock is held.
func (in *inode) write(data []byte, at int64) {
	if end := at + int64(len(data)); end > int64(len(in.data)) {
		in.resize(end)
	}
	copy(in.data[at:], data)
	in.touch(at, at+int64(len(data)))
}

func (in *inode) resize(size int64) {
	before := int64(len(in.data))
	if size < before {
		in.data = in.data[:size:size]
	} else {
		in.data = append(in.data, make([]byte, size-before)...)
	}
	in.touch(min(before, size), max(before, size))
}

func (in *inode) touch(from, to int64) {
	for p := from / page; p*page < to; p++ {
		in.dirty[int(p)] = true
	}
}

// sync makes a file's bytes or a folder's names durable. The lock is held.
func (in *inode) sync() {
	if in.folder() {
		in.syncedNames, in.unsynced = maps.Clone(in.names), nil
		return
	}
	in.setSize(len(in.data))
	for p := range in.dirty {
		in.settle(p)
	}
	clear(in.dirty)
}

// setSize makes the size durable, without the bytes.
func (in *inode) setSize(size int) {
	if size < len(in.synced) {
		in.synced = in.synced[:size:size]
		return
	}
	in.synced = append(in.synced, make([]byte, size-len(in.synced))...)
}

// settle makes one page durable, as far as the durable size goes.
func (in *inode) settle(p int) {
	if from := p * page; from < min(len(in.data), len(in.synced)) {
		copy(in.synced[from:], in.data[from:min(from+page, len(in.data))])
	}
}

// Cut is a power cut: what was not synced is gone. With random, each page that was not synced survives or not by itself,
// and of what was done to each folder's names since it was synced some first part does: what real disks may leave. No
// program may have the file system open.
func (d *Disk) Cut(random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[*inode]bool{}
	var cut func(*inode)
	cut = func(in *inode) {
		if seen[in] {
			return
		}
		seen[in] = true
		if !in.folder() {
			in.cut(random)
			return
		}
		if random != nil {
			for _, n := range in.unsynced[:random.IntN(len(in.unsynced)+1)] {
				apply(in.syncedNames, n)
			}
		}
		in.names, in.unsynced = maps.Clone(in.syncedNames), nil
		for _, name := range slices.Sorted(maps.Keys(in.names)) {
			cut(in.names[name])
		}
	}
	cut(d.root)
}

func (in *inode) cut(random *rand.Rand) {
	if random != nil && len(in.dirty) > 0 {
		if random.IntN(2) == 1 {
			in.setSize(len(in.data))
		}
		for _, p := range slices.Sorted(maps.Keys(in.dirty)) {
			if random.IntN(2) == 1 {
				in.settle(p)
			}
		}
	}
	in.data = slices.Clone(in.synced)
	clear(in.dirty)
}

// Read gives a file as it is, for tests: it is os.ErrNotExist where there is none.
func (d *Disk) Read(path string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	in := d.root
	for name := range strings.SplitSeq(path, "/") {
		if in = in.names[name]; in == nil {
			return nil, fmt.Errorf("%s: %w", path, syscall.ENOENT)
		}
	}
	return slices.Clone(in.data), nil
}
