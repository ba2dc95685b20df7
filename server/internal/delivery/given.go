package delivery

import (
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/grant"
)

// Held names one version that a host was given and may still have.
type Held struct {
	Credential string // ID
	Version    uint64
}

// given is what one host was given, whatever it says of it since: only an
// acknowledged drop or the end of the longest lease takes an entry out. It is in
// memory alone, so it begins with the server.
type given struct {
	ends map[Held]time.Time
}

// give notes what a host is about to get.
func (d *Delivery) give(host, credentialID string, version uint64, grants []grant.Grant) {
	ends := d.now().Add(longest(grants))
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.given[host]
	if g == nil {
		g = &given{ends: map[Held]time.Time{}}
		d.given[host] = g
	}
	g.prune(d.now())
	g.ends[Held{credentialID, version}] = ends
}

// takeBack notes that a host has wiped a credential.
func (d *Delivery) takeBack(host, credentialID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.given[host]; g != nil {
		for h := range g.ends {
			if h.Credential == credentialID {
				delete(g.ends, h)
			}
		}
	}
}

// HeldBy lists what a host was given since the server started and may still
// have, connected or not.
func (d *Delivery) HeldBy(host string) []Held {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.given[host]
	if g == nil {
		return nil
	}
	g.prune(d.now())
	out := make([]Held, 0, len(g.ends))
	for h := range g.ends {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Held) int {
		if c := strings.Compare(a.Credential, b.Credential); c != 0 {
			return c
		}
		return int(a.Version) - int(b.Version)
	})
	return out
}

func (g *given) prune(now time.Time) {
	for h, ends := range g.ends {
		if !now.Before(ends) {
			delete(g.ends, h)
		}
	}
}

// longest is how long a host may have a value under any of the grants, contact
// or none.
func longest(grants []grant.Grant) time.Duration {
	var most time.Duration
	for _, g := range grants {
		most = max(most, g.TTL+g.Offline) // the host may have had contact until the lease's end
	}
	return most + time.Minute // the agent's clock and ours may differ
}
