package workload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxExe     = 512 << 20 // larger executables are not hashed
	maxHashes  = 1024      // that are remembered
	hashing    = 10 * time.Second
	hashChunk  = 1 << 20
	settled    = 2 * time.Second
	fuseSystem = unix.FUSE_SUPER_MAGIC
)

// fileID names one content of a file: whatever changes the content makes another.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func idOf(s unix.Stat_t) fileID {
	return fileID{dev: uint64(s.Dev), ino: s.Ino, size: s.Size, mtime: s.Mtim, ctime: s.Ctim}
}

// hashes remembers what executables were hashed to. One is hashed at a time: a host's jobs mostly run the same few.
var hashes = struct {
	turn chan struct{}
	mu   sync.Mutex
	of   map[fileID]string
}{turn: make(chan struct{}, 1), of: map[fileID]string{}}

// ExeSHA256 is the SHA-256 of the program that PID runs, in lower-case hex. It is empty where Exe is, where the file is
// larger than 512 MiB, on a file system that a user may serve (FUSE), or where reading it takes more than 10 s. The first
// time that it is asked of a file it reads all of it.
func (c *Caller) ExeSHA256(ctx context.Context) string {
	if c.Exe == "" {
		return ""
	}
	p, err := openProc(c.PID)
	if err != nil {
		return ""
	}
	defer p.dir.Close()
	now, err := p.read()
	if err != nil || now.process != c.peer.job || now.exe != c.Exe || now.file != c.peer.file {
		return "" // Recheck says so, too
	}
	fd, err := unix.Openat(int(p.dir.Fd()), "exe", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	f := os.NewFile(uintptr(fd), "exe")
	defer f.Close()
	ctx, cancel := context.WithTimeout(ctx, hashing)
	defer cancel()
	sum, err := hashOf(ctx, f, c.peer.file)
	if err != nil {
		return ""
	}
	return sum
}

var errNotHashed = errors.New("not an executable that is hashed")

// hashOf hashes an open file, which must be the one that id names before and after.
func hashOf(ctx context.Context, f *os.File, id fileID) (string, error) {
	if err := isFile(f, id); err != nil {
		return "", err
	}
	if sum, ok := remembered(id); ok {
		return sum, nil
	}
	select {
	case hashes.turn <- struct{}{}:
		defer func() { <-hashes.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if sum, ok := remembered(id); ok {
		return sum, nil
	}
	hash := sha256.New()
	for {
		n, err := io.CopyN(hash, f, hashChunk)
		switch {
		case errors.Is(err, io.EOF) && n < hashChunk:
			if err := isFile(f, id); err != nil {
				return "", err
			}
			sum := hex.EncodeToString(hash.Sum(nil))
			remember(id, sum, time.Now())
			return sum, nil
		case err != nil:
			return "", err
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}

func isFile(f *os.File, id fileID) error {
	var s unix.Stat_t
	var system unix.Statfs_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &s), unix.Fstatfs(int(f.Fd()), &system)); err != nil {
		return err
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG || s.Size > maxExe || idOf(s) != id || int64(system.Type) == fuseSystem {
		return errNotHashed
	}
	return nil
}

func remembered(id fileID) (string, bool) {
	hashes.mu.Lock()
	defer hashes.mu.Unlock()
	sum, ok := hashes.of[id]
	return sum, ok
}

// remember leaves out a file that was changed just now: a second change within one tick of the kernel's clock would leave
// its times, and so its ID, as they are.
func remember(id fileID, sum string, now time.Time) {
	if now.Sub(time.Unix(id.ctime.Unix())) < settled {
		return
	}
	hashes.mu.Lock()
	defer hashes.mu.Unlock()
	if len(hashes.of) >= maxHashes {
		clear(hashes.of)
	}
	hashes.of[id] = sum
}
