package kit

import (
	"path/filepath"
	"testing"
)

// An Agent is an enrolled host and the process that serves its jobs.
type Agent struct {
	*Process
	State, Socket, Host string
	Way                 Command // in which Start runs it
	job                 Command
}

// A Status is what `strongroom-agent status` says.
type Status struct {
	Host        string
	Connected   bool
	Leases      int
	LockedBytes int64 `json:"locked_bytes"`
	Health, Why string
}

// Enroll joins a new host, with labels given as K=V, and starts its agent. It returns once the agent is connected.
func (s *Server) Enroll(t testing.TB, labels ...string) *Agent {
	t.Helper()
	return s.EnrollInWay(t, Command{}, labels...)
}

// EnrollInWay is as Enroll, and starts the agent in the command's way.
func (s *Server) EnrollInWay(t testing.TB, way Command, labels ...string) *Agent {
	t.Helper()
	a := NewAgent(t)
	a.Way = way
	a.Enroll(t, s.JoinString(t, labels...)).Want(t, 0)
	a.Start(t)
	a.Connected(t)
	return a
}

// NewAgent is a host that has not joined yet.
func NewAgent(t testing.TB) *Agent {
	t.Helper()
	dir := Dir(t)
	a := &Agent{State: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "agent.sock")}
	a.job = Command{Program: filepath.Join(Bin(t), "strongroom-agent"), Env: []string{"STRONGROOM_SOCKET=" + a.Socket}}
	return a
}

// Enroll runs the command that joins the host.
func (a *Agent) Enroll(t testing.TB, join string) Result {
	t.Helper()
	return a.job.Run(t, "enroll", "--join", "@"+File(t, join), "--state", a.State)
}

// JoinString makes a join token for one host and gives the string that enrols it.
func (s *Server) JoinString(t testing.TB, labels ...string) string {
	t.Helper()
	args := []string{"host", "join-token", "--json"}
	for _, label := range labels {
		args = append(args, "--label", label)
	}
	var made struct{ Join string }
	s.Admin.Do(t, args...).JSON(t, &made)
	return made.Join
}

// Start runs the agent, again after it was killed or stopped.
func (a *Agent) Start(t testing.TB) {
	t.Helper()
	a.Process = a.Way.Start(t, "strongroom-agent", "run", "--state", a.State, "--socket", a.Socket)
	a.Host = a.Ready()["host"]
}

// Connected waits until the agent has its connection to the server.
func (a *Agent) Connected(t testing.TB) {
	t.Helper()
	Eventually(t, Patience, "the agent is connected", func() bool { return a.Status(t).Connected })
}

// Status asks the agent how it is.
func (a *Agent) Status(t testing.TB) Status {
	t.Helper()
	var status Status
	a.Run(t, "status", "--json").Want(t, 0).JSON(t, &status)
	return status
}

// Run runs a job's command on the host.
func (a *Agent) Run(t testing.TB, args ...string) Result {
	t.Helper()
	return a.job.Run(t, args...)
}

// RunAs runs a job's command as another user.
func (a *Agent) RunAs(t testing.TB, u User, args ...string) Result {
	t.Helper()
	job := a.job
	job.User = &u
	return job.Run(t, args...)
}
