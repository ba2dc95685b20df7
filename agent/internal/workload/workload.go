// Package workload says who is calling on the agent's socket, from what the kernel tells of the connection and of its
// process, never from what the caller says of itself. It judges nobody: whether a caller may have something is decided
// from these facts elsewhere.
//
// It is built for Linux. On other systems [FromConn] answers [errors.ErrUnsupported], so that nothing is delivered
// there until the package knows their callers.
package workload

import "errors"

var (
	// ErrGone means that the calling process has ended, or never was visible long enough to be attested.
	ErrGone = errors.New("the calling process has ended")
	// ErrChanged means that a fact about the caller is no longer what it was when the caller was attested.
	ErrChanged = errors.New("the calling process is no longer what it was")
)

// Caller is a job on this host as the kernel describes it. The boundary is the user, the unit and the container: UID, GID
// and Groups were fixed when the connection was made, and only root moves a process out of its unit or container. PID and
// Exe refine it alone, because a process can fork, or become another program, after it has connected.
type Caller struct {
	UID, GID uint32
	// Groups are the supplementary groups.
	Groups []uint32
	// User is the account name of UID, empty where there is none.
	User string
	// Unit is the systemd system unit that the connecting process is in, as systemctl shows it. What somebody's own user
	// manager runs is in that manager's unit, user@UID.service. It is empty outside of units and in containers that have
	// none; such as those whose groups the agent sees from within another one.
	Unit string
	// Container is the whole ID of the outermost container that the connecting process is in; empty: none is known.
	Container string
	// PID is the job's process in the agent's PID namespace. Where this program's own binary made the connection for a
	// job, it is the job's process. It is 0 where the process cannot be seen from the agent's namespace.
	PID int32
	// Exe is the absolute path of the program that PID runs. It is empty where that path would mean something else to
	// the agent than to the job, or may no longer name the running file: a mount namespace that is neither its own nor the
	// machine's, a replaced or deleted file, a process that the agent may not look into.
	Exe string

	peer peer
}
