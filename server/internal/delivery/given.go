package delivery

import (
	"cmp"
	"fmt"
	"maps"
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
type given map[Held]time.Time // when it ends at the latest

// give notes what a host is about to get.
func (d *Delivery) give(host, credentialID string, version uint64, grants []grant.Grant) {
	ends := d.now().Add(longest(grants))
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.given[host]
	if g == nil {
		g = given{}
		d.given[host] = g
	}
	g.prune(d.now())
	g[Held{credentialID, version}] = ends
}

// takeBack notes that a host has wiped a credential.
func (d *Delivery) takeBack(host, credentialID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.given[host], func(h Held, _ time.Time) bool { return h.Credential == credentialID })
}

// HeldBy lists what a host was given since the server started and may still
// have, connected or not.
func (d *Delivery) HeldBy(host string) []Held {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.given[host]
	g.prune(d.now())
	return slices.SortedFunc(maps.Keys(g), func(a, b Held) int {
		if c := strings.Compare(a.Credential, b.Credential); c != 0 {
			return c
		}
		return cmp.Compare(a.Version, b.Version)
	})
}

// leases is what HeldBy has, as the log may have it.
func (d *Delivery) leases(host string) (out []string) {
	for _, h := range d.HeldBy(host) {
		out = append(out, fmt.Sprintf("%s version %d", d.target(h.Credential), h.Version))
	}
	return out
}

func (g given) prune(now time.Time) {
	maps.DeleteFunc(g, func(_ Held, ends time.Time) bool { return !now.Before(ends) })
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
