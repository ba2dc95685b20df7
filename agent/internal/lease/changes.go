package lease

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
)

// Version names one version of one credential.
type Version struct {
	Credential string // its name: what a reference stands for can change as well; empty: not known
	Number     uint64
}

// Await answers which version the job gets, once it is not the one that it has. It judges and asks as Read does, at
// first and after whatever was dropped or confirmed, but gives nothing out, so that only a refusal is reported. Without
// its server it waits. Errors: those of Read but for ErrNotReachable, and ctx's own when that ends.
//
// The server tells of a change while the host holds a lease. Where none is held Await asks for one, once: who waits on
// calls again now and then.
func (c *Cache) Await(ctx context.Context, reference string, job grant.Job, have Version) (Version, error) {
	for {
		dropped := c.dropped() // before looking, so that nothing is missed
		now := have
		err := c.look(ctx, reference, job, false, func(got Copy) error {
			now = Version{got.Name, got.Version}
			return nil
		})
		if have.Credential == "" {
			have.Credential = now.Credential // what it stands for at first
		}
		switch {
		case errors.Is(err, uplink.ErrNotReachable), errors.Is(err, errChanged):
		case err != nil:
			return Version{}, err
		case now != have:
			return now, nil
		}
		select {
		case <-dropped:
		case <-ctx.Done():
			return Version{}, ctx.Err()
		}
	}
}

// dropped is closed when something is dropped or confirmed next.
func (c *Cache) dropped() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// wake tells all who wait; c.mu is held.
func (c *Cache) wake() {
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}
