// Package agent builds an agent's rooms in order and holds no logic of its own.
// It neither reads configuration nor prints: its commands do.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/agent/internal/claims"
	"github.com/strongroom/strongroom/agent/internal/lease"
	"github.com/strongroom/strongroom/agent/internal/local"
	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/secret"
)

// Errors that a command tells apart.
var (
	ErrNotEnrolled  = uplink.ErrNotEnrolled
	ErrEnrolled     = uplink.ErrEnrolled
	ErrJoin         = uplink.ErrJoin
	ErrNotReachable = uplink.ErrNotReachable
)

// LeastLockedMemory is the least that an agent can do with, in bytes.
const LeastLockedMemory = 256 << 10

// Config is what an agent needs to run.
type Config struct {
	State   string // folder of the identity
	Socket  string
	Version string
	// LockedMemory bounds what is in the clear, in bytes.
	LockedMemory int
	Log          *slog.Logger
	Route        Route
	// Ready is called once, when jobs are served: connected or not.
	Ready func(socket, host string)
}

// Run serves jobs until ctx ends, then wipes what it holds and returns nil.
func Run(ctx context.Context, c Config) error {
	if err := secret.Conceal(); err != nil {
		return err
	}
	if _, err := os.Stat(c.State); err != nil {
		return ErrNotEnrolled
	}
	release, err := uplink.Lock(c.State)
	if err != nil {
		return err
	}
	defer release()
	id, err := uplink.LoadIdentity(c.State)
	if err != nil {
		return err
	}
	arena, err := secret.NewArena(c.LockedMemory)
	if err != nil {
		return err
	}
	// The arena is not closed: leases are wiped below, and a request that outlives
	// its time must not find the memory gone under it.
	if err := os.MkdirAll(filepath.Dir(c.Socket), 0o755); err != nil {
		return err
	}
	listener, err := local.Listen(c.Socket)
	if err != nil {
		return err
	}
	up := uplink.New(id, c.Route, arena, c.Log, c.Version)
	leases := lease.New(up, time.Now)
	jobs := local.New(leases, claims.New(up.Verify, time.Now), up, id, arena, c.Log)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := make(chan error, 3)
	// The connection outlives the last answer to a job, so that it is reported.
	online, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	go func() { up.Run(online); parts <- nil }()
	go func() { leases.Run(ctx); parts <- nil }()
	go func() {
		err := jobs.Serve(listener)
		cancel()
		parts <- err
	}()
	c.Ready(c.Socket, id.Host)
	<-ctx.Done()
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer done()
	if err := jobs.Shutdown(stop); err != nil {
		c.Log.Warn("jobs were cut off", "error", err)
	}
	leases.Wipe()
	report, reported := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer reported()
	up.Flush(report)
	disconnect()
	for range cap(parts) {
		if failed := <-parts; failed != nil {
			err = fmt.Errorf("serving jobs: %w", failed)
		}
	}
	return err
}

// Enrolment is what a host needs to join.
type Enrolment = uplink.Enrolment

// Route is how a host reaches its servers.
type Route = uplink.Route

// ErrProxyAuth says that a text is not user:password.
var ErrProxyAuth = uplink.ErrProxyAuth

// NewProxyAuth makes of user:password what Route.ProxyAuth is.
func NewProxyAuth(a *secret.Arena, userPassword *secret.Buffer) (*secret.Buffer, error) {
	return uplink.NewProxyAuth(a, userPassword)
}

// Enroll joins the host to its server and returns the host's ID. It may be
// called again with the same token after a crash or a lost answer.
func Enroll(ctx context.Context, e Enrolment) (host string, err error) {
	id, err := uplink.Enroll(ctx, e)
	if err != nil {
		return "", err
	}
	return id.Host, nil
}

// Enrolled tells whether the host of a state folder has joined its server.
func Enrolled(state string) bool { return uplink.Enrolled(state) }
