package lossy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A Mount is a disk that is mounted. The program that mounts it serves it too, and must not use what is in it itself:
// it would wait for itself.
type Mount struct {
	Disk   *Disk
	Dir    string
	server *fuse.Server
}

// MountAt mounts a disk at an empty folder. It needs root and /dev/fuse.
func MountAt(dir string, d *Disk) (*Mount, error) {
	m := &Mount{Disk: d, Dir: dir}
	return m, m.mount()
}

func (m *Mount) mount() (err error) {
	// Every change passes the kernel, and a cut mounts anew: what the kernel remembers is right.
	long := time.Hour
	m.server, err = fs.Mount(m.Dir, &node{disk: m.Disk, in: m.Disk.root}, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "lossy", Name: "lossy", DisableXAttrs: true},
		EntryTimeout: &long, AttrTimeout: &long,
	})
	if err != nil {
		return fmt.Errorf("mounting %s, which takes root and /dev/fuse: %w", m.Dir, err)
	}
	return nil
}

// Cut is a power cut, after which the disk is mounted again with what Disk.Cut leaves. Whoever has files open in it
// must have been killed before; it waits a minute for the kernel to let go of them.
func (m *Mount) Cut(random *rand.Rand) error {
	if err := m.Close(); err != nil {
		return err
	}
	m.Disk.Cut(random)
	return m.mount()
}

// Close unmounts the disk.
func (m *Mount) Close() (err error) {
	for range 6000 {
		if err = m.server.Unmount(); !errors.Is(err, syscall.EBUSY) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", m.Dir, err)
	}
	m.server.Wait()
	return nil
}

// node is what the kernel knows of an inode.
type node struct {
	fs.Inode
	disk *Disk
	in   *inode
}

var (
	_ fs.NodeLookuper  = (*node)(nil)
	_ fs.NodeReaddirer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
)

// child shows one inode to the kernel. The lock is held.
func (n *node) child(ctx context.Context, in *inode, out *fuse.EntryOut) *fs.Inode {
	in.attributes(&out.Attr)
	return n.NewInode(ctx, &node{disk: n.disk, in: in}, fs.StableAttr{Mode: in.mode & syscall.S_IFMT, Ino: in.number})
}

// attributes have no times: where one changed behind the kernel's back, it would read everything again.
func (in *inode) attributes(a *fuse.Attr) {
	a.Mode, a.Ino, a.Size, a.Nlink = in.mode, in.number, uint64(len(in.data)), 1
	a.Blocks, a.Blksize = (a.Size+511)/512, page
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	in := n.in.names[name]
	if in == nil {
		return nil, syscall.ENOENT
	}
	return n.child(ctx, in, out), 0
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	var list []fuse.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.in.names)) {
		in := n.in.names[name]
		list = append(list, fuse.DirEntry{Name: name, Mode: in.mode & syscall.S_IFMT, Ino: in.number})
	}
	return fs.NewListDirStream(list), 0
}

// add makes a new inode under a name.
func (n *node) add(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.in.names[name] != nil {
		return nil, syscall.EEXIST
	}
	in := n.disk.newInode(mode)
	n.in.name(naming{name: in})
	return n.child(ctx, in, out), 0
}

func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	child, errno := n.add(ctx, name, mode&^syscall.S_IFMT|syscall.S_IFREG, out)
	return child, nil, fuse.FOPEN_KEEP_CACHE, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.add(ctx, name, mode&^syscall.S_IFMT|syscall.S_IFDIR, out)
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.in.names[name] == nil {
		return syscall.ENOENT
	}
	n.in.name(naming{name: nil})
	return 0
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	n.disk.mu.Lock()
	in := n.in.names[name]
	full := in != nil && len(in.names) > 0
	n.disk.mu.Unlock()
	if full {
		return syscall.ENOTEMPTY
	}
	return n.Unlink(ctx, name)
}

func (n *node) Link(ctx context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.in.names[name] != nil {
		return nil, syscall.EEXIST
	}
	in := target.(*node).in
	n.in.name(naming{name: in})
	return n.child(ctx, in, out), 0
}

// Rename is one change where it stays in its folder, and two where it does not: a power cut may come between.
func (n *node) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	to := newParent.(*node).in
	in := n.in.names[name]
	switch {
	case flags != 0:
		return syscall.EINVAL
	case in == nil:
		return syscall.ENOENT
	case to.names[newName] == in:
		return 0
	case to == n.in:
		to.name(naming{name: nil, newName: in})
	default:
		to.name(naming{newName: in})
		n.in.name(naming{name: nil})
	}
	return 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.in.attributes(&out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		n.in.resize(int64(size))
	}
	if mode, ok := in.GetMode(); ok {
		n.in.mode = n.in.mode&syscall.S_IFMT | mode&^syscall.S_IFMT
	}
	n.in.attributes(&out.Attr)
	return 0
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if flags&syscall.O_TRUNC != 0 {
		n.in.resize(0)
	}
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	read := 0
	if at < int64(len(n.in.data)) {
		read = copy(dest, n.in.data[at:])
	}
	return fuse.ReadResultData(dest[:read]), 0
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.in.write(data, at)
	return uint32(len(data)), 0
}

func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.in.sync()
	return 0
}
