package workload

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// peer is what ties a Caller to living processes.
type peer struct {
	// pidfd is nil on kernels before 6.5; then a process is told from a later one of the same number by its start time.
	pidfd          *os.File
	connected, job process
	file           fileID // of the job's executable
}

// process names one process for good: the pair is not used again while the system is up.
type process struct {
	pid   int32
	start uint64 // clock ticks after boot
}

// FromConn attests the process at the other end of conn. The caller closes the result; conn stays open. It fails with
// ErrGone where the process has ended, and with ErrChanged where its ancestry changed while it was being read.
func FromConn(conn *net.UnixConn) (*Caller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("attesting the caller: %w", err)
	}
	var c *Caller
	controlErr := raw.Control(func(fd uintptr) { c, err = fromSocket(int(fd)) })
	if err = errors.Join(controlErr, err); err != nil {
		return nil, fmt.Errorf("attesting the caller: %w", err)
	}
	c.User = userName(c.UID)
	if err := c.attest(); err != nil {
		c.Close()
		return nil, fmt.Errorf("attesting the caller: %w", err)
	}
	return c, nil
}

// fromSocket reads what the kernel noted when the connection was made.
func fromSocket(fd int) (*Caller, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	groups, err := peerGroups(fd)
	if err != nil {
		return nil, fmt.Errorf("SO_PEERGROUPS: %w", err)
	}
	c := &Caller{UID: cred.Uid, GID: cred.Gid, Groups: groups}
	c.peer.connected.pid = cred.Pid
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case err == nil:
		c.peer.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
	case errors.Is(err, unix.ENOPROTOOPT):
	default: // The kernel makes no pidfd for a process that has been reaped; which error it says so with has varied.
		return nil, fmt.Errorf("SO_PEERPIDFD: %w: %w", ErrGone, err)
	}
	return c, nil
}

func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch errno {
		case 0:
			return groups[:size/4], nil
		case unix.ERANGE: // size says how much is needed; the kernel allows 65536 groups
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}

// attest fills in what is read from /proc, and proves that it was read of the process that connected.
func (c *Caller) attest() error {
	pid, err := c.peer.visiblePID()
	if err != nil {
		return err
	}
	c.peer.connected = process{pid: pid}
	if pid == 0 {
		return nil
	}
	peerFacts, jobFacts, err := readJob(pid)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%w: %w", ErrGone, err)
		}
		return err
	}
	c.peer.connected, c.peer.job = peerFacts.process, jobFacts.process
	c.peer.file = jobFacts.file
	c.PID, c.Exe = jobFacts.pid, jobFacts.exe
	c.Unit, c.Container = peerFacts.unit, peerFacts.container
	if c.peer.pidfd == nil && peerFacts.zombie {
		return ErrGone
	}
	return c.peer.alive()
}

// visiblePID is the caller's number in the agent's own PID namespace, or 0 if it is not to be seen from there.
func (p *peer) visiblePID() (int32, error) {
	if p.pidfd == nil {
		return p.connected.pid, nil
	}
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(p.pidfd.Fd())))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(info) {
		if value, ok := bytes.CutPrefix(line, []byte("Pid:")); ok {
			pid, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 32)
			if err != nil {
				return 0, fmt.Errorf("pidfd: %w", err)
			}
			if pid < 0 {
				return 0, ErrGone
			}
			return int32(pid), nil
		}
	}
	return 0, errors.New("the kernel does not say whose pidfd it is")
}

// alive is asked after /proc was read: if it holds, the number was the caller's all that time. Without a pidfd nothing
// says so of the first reading; Recheck then compares start times.
func (p *peer) alive() error {
	if p.pidfd == nil {
		return nil
	}
	fds := []unix.PollFd{{Fd: int32(p.pidfd.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("asking whether the caller lives: %w", err)
		case n > 0:
			return ErrGone
		default:
			return nil
		}
	}
}

// Recheck reads the facts again and answers nil if they are what they were. It is called right before anything is
// handed to the caller. Otherwise it fails with ErrGone or ErrChanged. It must not run beside Close.
func (c *Caller) Recheck() error {
	now := &Caller{UID: c.UID, GID: c.GID, Groups: c.Groups, User: c.User, peer: c.peer}
	if err := now.attest(); err != nil {
		return fmt.Errorf("attesting the caller again: %w", err)
	}
	if now.PID != c.PID || now.Exe != c.Exe || now.Unit != c.Unit || now.Container != c.Container ||
		now.peer.connected != c.peer.connected || now.peer.job != c.peer.job || now.peer.file != c.peer.file {
		return fmt.Errorf("attesting the caller again: %w", ErrChanged)
	}
	return nil
}

// Close lets go of the process.
func (c *Caller) Close() error {
	if c.peer.pidfd == nil {
		return nil
	}
	return c.peer.pidfd.Close()
}

// userName answers an empty name for an account that cannot be looked up: the number alone still identifies it.
func userName(uid uint32) string {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return u.Username
}
