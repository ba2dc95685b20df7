package workload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// maxAncestors bounds the walk from our own binary to the job that called it.
	maxAncestors = 32
	// maxStat is far above what the kernel writes: 52 numbers and a name of at most 64 bytes.
	maxStat = 4096
)

// facts are what /proc says of one process.
type facts struct {
	process
	parent int32
	zombie bool
	group
	exe  string // empty: not to be told, see Caller.Exe
	file fileID // of exe
	own  bool   // it runs this program's own binary
}

// procDir is an open /proc/PID. All that is read through it is of the one process, even if its number is used again:
// reading fails once that process is gone.
type procDir struct {
	pid int32
	dir *os.File
}

func openProc(pid int32) (*procDir, error) {
	dir, err := os.Open("/proc/" + strconv.Itoa(int(pid)))
	if err != nil {
		return nil, err
	}
	return &procDir{pid: pid, dir: dir}, nil
}

// readJob answers the facts of the process itself and of the job behind it: the nearest process, starting with pid,
// that does not run our own binary. Where no ancestor in the same unit and container is that, or it is too far up, the
// job is pid with an unknown executable: what starts a unit or a container (init, a container's runtime) is not its job.
func readJob(pid int32) (peer, job facts, err error) {
	p, err := openProc(pid)
	if err != nil {
		return facts{}, facts{}, err
	}
	defer func() { p.dir.Close() }()
	if peer, err = p.read(); err != nil {
		return facts{}, facts{}, err
	}
	at := peer
	for range maxAncestors {
		if !at.own {
			return peer, at, nil
		}
		if at.parent == 0 {
			break
		}
		above, err := openProc(at.parent)
		if err != nil {
			return facts{}, facts{}, changed(err)
		}
		// As long as it still is p's parent, its number was not given to another process before it was opened.
		again, err := p.stat()
		p.dir.Close()
		p = above
		if err != nil {
			return facts{}, facts{}, changed(err)
		}
		if again.parent != at.parent {
			return facts{}, facts{}, ErrChanged
		}
		if at, err = p.read(); err != nil {
			return facts{}, facts{}, changed(err)
		}
		if at.group != peer.group {
			break
		}
	}
	job = peer
	job.exe, job.file = "", fileID{}
	return peer, job, nil
}

func changed(err error) error { return fmt.Errorf("%w: an ancestor: %w", ErrChanged, err) }

func (p *procDir) read() (facts, error) {
	f, err := p.stat()
	if err != nil {
		return facts{}, err
	}
	if f.group, err = p.group(); err != nil {
		return facts{}, err
	}
	f.exe, f.file, f.own, err = p.executable()
	return f, err
}

// group is empty where the agent is not told, as without control groups.
func (p *procDir) group() (group, error) {
	fd, err := unix.Openat(int(p.dir.Fd()), "cgroup", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return group{}, onlyGone(err)
	}
	f := os.NewFile(uintptr(fd), "cgroup")
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCgroup+1))
	if err != nil || len(text) > maxCgroup {
		return group{}, onlyGone(err)
	}
	return parseCgroup(text), nil
}

// onlyGone leaves of an error that the process has ended.
func onlyGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

func (p *procDir) stat() (facts, error) {
	fd, err := unix.Openat(int(p.dir.Fd()), "stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return facts{}, err
	}
	defer unix.Close(fd)
	buf := make([]byte, maxStat)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return facts{}, err
	}
	f, err := parseStat(buf[:n])
	f.pid = p.pid
	return f, err
}

// parseStat reads /proc/PID/stat. The second field, the name in brackets, is the process's own choice and may hold
// brackets, spaces and line ends; nothing after its last closing bracket is.
func parseStat(b []byte) (facts, error) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return facts{}, errors.New("/proc/PID/stat: no name")
	}
	fields := bytes.Fields(b[end+1:])
	if len(fields) < 20 { // the third to the 22nd
		return facts{}, errors.New("/proc/PID/stat: too few fields")
	}
	parent, err := strconv.ParseInt(string(fields[1]), 10, 32)
	if err != nil || parent < 0 {
		return facts{}, errors.New("/proc/PID/stat: the parent is not a number")
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	if err != nil {
		return facts{}, errors.New("/proc/PID/stat: the start time is not a number")
	}
	return facts{process: process{start: start}, parent: int32(parent), zombie: fields[0][0] == 'Z'}, nil
}

// ours is the agent's own process, which none of this changes for.
var ours = sync.OnceValues(func() (self struct {
	file  unix.Stat_t
	path  string            // from before any upgrade: the agent goes on running the replaced file, while jobs call the new one
	roots map[string]string // by mount namespace: where its paths begin for the agent
}, err error) {
	if err = unix.Stat("/proc/self/exe", &self.file); err != nil {
		return self, fmt.Errorf("our own executable: %w", err)
	}
	if self.path, err = os.Executable(); err != nil {
		return self, fmt.Errorf("our own executable: %w", err)
	}
	mount, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return self, fmt.Errorf("our own mount namespace: %w", err)
	}
	// A service that is confined has a namespace of its own, made from the machine's, in which the jobs are.
	self.roots = map[string]string{mount: ""}
	if machine, err := os.Readlink("/proc/1/ns/mnt"); err == nil && machine != mount {
		self.roots[machine] = "/proc/1/root"
	}
	return self, nil
})

// executable answers the program's path and file, empty where they do not hold for the agent, and whether it is our own.
func (p *procDir) executable() (path string, file fileID, own bool, err error) {
	self, err := ours()
	if err != nil {
		return "", fileID{}, false, err
	}
	var running unix.Stat_t
	switch err := unix.Fstatat(int(p.dir.Fd()), "exe", &running, 0); {
	case errors.Is(err, unix.ESRCH):
		return "", fileID{}, false, err
	case err != nil: // not allowed, or a kernel thread, or a process that is ending
		return "", fileID{}, false, nil
	}
	own = sameFile(running, self.file)
	mount, err := p.readlink("ns/mnt")
	root, known := self.roots[mount]
	if err != nil || !known {
		return "", fileID{}, own, nil
	}
	link, err := p.readlink("exe")
	if err != nil || !strings.HasPrefix(link, "/") {
		return "", fileID{}, own, nil
	}
	// The link keeps the name of a file that was replaced, deleted or mounted over since.
	var named unix.Stat_t
	if err := unix.Stat(root+link, &named); err != nil || !sameFile(named, running) {
		return "", fileID{}, own, nil
	}
	return link, idOf(running), own || link == self.path, nil
}

func sameFile(a, b unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }

func (p *procDir) readlink(name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(p.dir.Fd()), name, buf)
	if err != nil {
		return "", err
	}
	if n == len(buf) {
		return "", unix.ENAMETOOLONG
	}
	return string(buf[:n]), nil
}
