// Package lease holds what the server leased to this host, in locked memory and
// no longer than allowed. It judges every job anew on every read by the terms
// that came with the lease, and asks the server only for what it does not hold.
// It writes nothing to disk: an agent that starts holds nothing.
package lease

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// errChanged means that something was dropped while a lease was on its way, so
// that it may be the one that was dropped.
var errChanged = errors.New("the credential changed meanwhile: ask again")

// fetchTimeout bounds one question to the server, with its repetitions.
const fetchTimeout = 15 * time.Second

// Cache is the room. It is safe for concurrent use.
type Cache struct {
	up      *uplink.Uplink
	now     func() time.Time
	flights singleflight.Group

	mu     sync.Mutex
	leases map[string]*entry // by credential ID
	refs   map[string]string // reference → credential ID
	epoch  uint64            // counts drops and wipes
	next   chan struct{}     // closed at the next of them; nil: nobody waits
}

// entry is one lease. Its times count from when it came.
type entry struct {
	*uplink.Leased
	came time.Time
}

// New makes an empty cache that follows what the server pushes to up.
func New(up *uplink.Uplink, now func() time.Time) *Cache {
	c := &Cache{up: up, now: now, leases: map[string]*entry{}, refs: map[string]string{}}
	up.Subscribe(uplink.Subscriber{Drop: c.drop, Held: c.held, Kept: c.kept})
	return c
}

// Copy is what Read shows of a lease. It is valid only within the call.
type Copy struct {
	*uplink.Leased
	Remaining time.Duration
	Stale     bool // the server cannot be asked whether it still holds
}

// Read decides whether the job may have the credential and, where it may, calls
// take with it, under a lock: take copies what it needs and does not block.
// Errors: uplink.ErrRefused, ErrRevoked, ErrNotReachable, grant.ErrHashWanted,
// or take's own.
func (c *Cache) Read(ctx context.Context, reference string, job grant.Job, take func(Copy) error) error {
	return c.look(ctx, reference, job, true, take)
}

// look is Read, which reports that the job had it, or without that: a refusal
// is reported all the same.
func (c *Cache) look(ctx context.Context, reference string, job grant.Job, report bool, take func(Copy) error) error {
	logged := !report // or the server logged this read itself
	for range 3 {
		served, err := c.serve(reference, job, false, !logged, take)
		if served {
			return err
		}
		led, err := c.fetch(ctx, reference, job)
		if errors.Is(err, uplink.ErrNotReachable) {
			if served, err := c.serve(reference, job, true, report, take); served {
				return err
			}
		}
		if err != nil && !errors.Is(err, errChanged) {
			return err
		}
		logged = !report || led && err == nil
	}
	return errChanged
}

// serve answers from what is held. It returns false where the server is to be
// asked. In doubt it was, and there was no answer: see left.
func (c *Cache) serve(reference string, job grant.Job, doubt, report bool, take func(Copy) error) (bool, error) {
	link := c.up.State()
	if link.Revoked {
		return true, uplink.ErrRevoked
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.leases[c.refs[reference]]
	if !ok {
		return false, nil
	}
	live := e.live(c.now(), link, doubt)
	if len(live) == 0 {
		return false, nil
	}
	d := grant.ForJob(live, job)
	if grant.WantsHash(live, job) {
		return true, grant.ErrHashWanted
	}
	if !d.Allowed && len(live) < len(e.Grants) {
		return false, nil // another grant may hold again with a new lease
	}
	if report || !d.Allowed {
		c.up.Report(uplink.Usage{
			Credential: e.Credential, Version: e.Version, Job: job,
			Allowed: d.Allowed, Reason: d.Reason, At: time.Now(),
		})
	}
	if !d.Allowed {
		return true, uplink.ErrRefused
	}
	return true, take(Copy{Leased: e.Leased, Remaining: e.remaining(d.Grants, c.now(), link, doubt), Stale: !link.Connected || doubt})
}

// fetch asks the server, once for all callers that wait for the same reference
// and are judged alike. It says whether the question was asked in this caller's name.
func (c *Cache) fetch(ctx context.Context, reference string, job grant.Job) (bool, error) {
	mine := false
	answer := c.flights.DoChan(job.Facts()+reference, func() (any, error) {
		mine = true
		// The others must not suffer from the first one's going away.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		return nil, c.lease(shared, reference, job)
	})
	select {
	case r := <-answer:
		return mine, r.Err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (c *Cache) lease(ctx context.Context, reference string, job grant.Job) error {
	c.mu.Lock()
	epoch := c.epoch
	c.mu.Unlock()
	came := c.now() // before asking: what the server counts began later
	l, err := c.up.Lease(ctx, reference, job)
	if err != nil {
		return err
	}
	return c.keep(l, reference, came, epoch)
}

// keep takes a lease in, unless something was dropped since it was asked for.
func (c *Cache) keep(l *uplink.Leased, reference string, came time.Time, epoch uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		l.Wipe()
		return errChanged
	}
	c.forget(l.Credential)
	secret.Sweep() // of what opening it left on the heap
	c.leases[l.Credential] = &entry{Leased: l, came: came}
	c.refs[l.Name], c.refs[reference] = l.Credential, l.Credential
	return nil
}

// live returns the grants that still hold.
func (e *entry) live(now time.Time, link uplink.State, doubt bool) []grant.Grant {
	var live []grant.Grant
	for _, g := range e.Grants {
		if e.left(g, now, link, doubt) > 0 {
			live = append(live, g)
		}
	}
	return live
}

// left is the lease's own time and, without a connection, the grant's offline
// time counted from the last contact, whichever ends later. A connection can be
// dead for 15 s before it is known: in doubt it counts as none, unless the server
// was heard of since the lease's own time was over.
func (e *entry) left(g grant.Grant, now time.Time, link uplink.State, doubt bool) time.Duration {
	left := g.TTL - elapsed(e.came, now)
	offline := !link.Connected || doubt && link.LastContact.Before(e.came.Add(g.TTL))
	if offline && g.Offline > 0 {
		left = max(left, g.Offline-elapsed(link.LastContact, now))
	}
	return left
}

func (e *entry) remaining(grants []grant.Grant, now time.Time, link uplink.State, doubt bool) time.Duration {
	var longest time.Duration
	for _, g := range grants {
		longest = max(longest, e.left(g, now, link, doubt))
	}
	return longest
}

// elapsed takes the longer of the two clocks: the monotonic one stands still
// while the machine sleeps, and the wall clock can be set back.
func elapsed(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// Run wipes leases that have ended, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.wipeEnded()
		case <-ctx.Done():
			return
		}
	}
}

func (c *Cache) wipeEnded() {
	link := c.up.State()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, e := range c.leases {
		if len(e.live(c.now(), link, true)) == 0 {
			c.forget(id)
		}
	}
}

// Wipe wipes every lease.
func (c *Cache) Wipe() { c.kept(nil) }

// forget wipes one lease; c.mu is held.
func (c *Cache) forget(id string) {
	e, ok := c.leases[id]
	if !ok {
		return
	}
	e.Wipe()
	secret.Sweep()
	delete(c.leases, id)
	for ref, to := range c.refs {
		if to == id {
			delete(c.refs, ref)
		}
	}
}

func (c *Cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.wake()
	c.forget(id)
}

// kept drops every lease but those; none, where ids is nil.
func (c *Cache) kept(ids []string) {
	keep := map[string]bool{}
	for _, id := range ids {
		keep[id] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.wake()
	for id := range c.leases {
		if !keep[id] {
			c.forget(id)
		}
	}
}

func (c *Cache) held() []uplink.Held {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]uplink.Held, 0, len(c.leases))
	for id, e := range c.leases {
		out = append(out, uplink.Held{Credential: id, Version: e.Version, Terms: e.Terms})
	}
	return out
}

// Size counts the leases and the bytes of their values.
func (c *Cache) Size() (leases, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.leases {
		for _, f := range e.Fields {
			bytes += f.Value.Len()
		}
	}
	return len(c.leases), bytes
}

// List names what the job may have: as the server says, or where it cannot be
// asked, out of what is held. It may fail with grant.ErrHashWanted.
func (c *Cache) List(ctx context.Context, job grant.Job) (items []uplink.Listed, stale bool, err error) {
	all, err := c.up.List(ctx)
	if errors.Is(err, uplink.ErrNotReachable) {
		all, stale, err = c.listed(), true, nil
	}
	for _, l := range all {
		if grant.WantsHash(l.Grants, job) {
			return nil, false, grant.ErrHashWanted
		}
		if grant.ForJob(l.Grants, job).Allowed {
			items = append(items, l)
		}
	}
	return items, stale, err
}

func (c *Cache) listed() []uplink.Listed {
	link := c.up.State()
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []uplink.Listed
	for _, e := range c.leases {
		out = append(out, uplink.Listed{
			Name: e.Name, Kind: e.Kind, Application: e.Application, AuthType: e.AuthType, Version: e.Version,
			Default: c.refs["app:"+e.Application] == e.Credential && e.Application != "",
			Grants:  e.live(c.now(), link, true),
		})
	}
	return out
}

// Explain says whether the job may have the credential, without giving it out.
// "Not there" and "not allowed" are the same answer.
func (c *Cache) Explain(ctx context.Context, reference string, job grant.Job) (allowed bool, reason string, err error) {
	items, _, err := c.List(ctx, job)
	if err != nil {
		return false, "", err
	}
	application, byDefault := strings.CutPrefix(reference, "app:")
	for _, l := range items {
		if l.Name == reference || byDefault && l.Default && l.Application == application {
			return true, grant.ForJob(l.Grants, job).Reason, nil
		}
	}
	return false, "no grant lets this job on this host read it, or there is no such credential", nil
}
