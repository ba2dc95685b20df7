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

// arenaSize bounds what an agent holds in the clear. It stays below the 8 MiB
// that an ordinary user may lock by default.
const arenaSize = 4 << 20

// Config is what an agent needs to run.
type Config struct {
	State   string // folder of the identity
	Socket  string
	Version string
	Log     *slog.Logger
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
	arena, err := secret.NewArena(arenaSize)
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
	up := uplink.New(id, arena, c.Log, c.Version)
	leases := lease.New(up, time.Now)
	jobs := local.New(leases, up, id, arena, c.Log)

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

// Enroll joins the host to its server and returns the host's ID. It may be
// called again with the same token after a crash or a lost answer.
func Enroll(ctx context.Context, e Enrolment) (host string, err error) {
	id, err := uplink.Enroll(ctx, e)
	if err != nil {
		return "", err
	}
	return id.Host, nil
}
