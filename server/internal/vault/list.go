package vault

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// Show returns what is known of a credential and its newest version, without
// secrets. Who may reveal a custom one on request sees it as well.
func (v *Vault) Show(who grant.Person, ref string) (credential.Metadata, credential.Version, error) {
	c, err := v.readable(who, ref)
	if errors.Is(err, ErrRefused) {
		return c, credential.Version{}, err
	}
	if err != nil {
		requested, ok := v.find(ref)
		if _, approved := v.revealRequest(who, requested); !ok || !approved {
			return credential.Metadata{}, credential.Version{}, err
		}
		if until := v.LockedUntil(who); !until.IsZero() {
			return credential.Metadata{}, credential.Version{}, fmt.Errorf("%w: %s", ErrRefused, requesterLocked(until))
		}
		c = requested
	}
	var version credential.Version
	err = v.barrier.View(func(tx *barrier.Tx) error {
		version, err = getVersion(tx, c.ID, c.Version)
		return err
	})
	return c, version, err
}

// Now is the vault's time, by which it judges.
func (v *Vault) Now() time.Time { return v.now() }

// Versions lists the versions of a credential that there are, the newest first.
func (v *Vault) Versions(who grant.Person, ref string) ([]credential.Version, error) {
	c, err := v.readable(who, ref)
	if err != nil {
		return nil, err
	}
	var out []credential.Version
	err = v.barrier.View(func(tx *barrier.Tx) error {
		out = nil
		for n := c.Version; n >= oldest(c.Version); n-- {
			version, err := getVersion(tx, c.ID, n)
			if err != nil {
				return err
			}
			out = append(out, version)
		}
		return nil
	})
	return out, err
}

// Filter narrows List; empty members match everything.
type Filter struct {
	Application, Owner, Search string
	Tag                        string // key=value
	After                      string // only names behind this one
	Limit                      int    // at most so many; 0: all
}

// List returns the credentials that a person may see, by name, and whether there
// are more behind the last one.
func (v *Vault) List(who grant.Person, f Filter) (page []credential.Metadata, more bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	page = []credential.Metadata{}
	look := func(c *credential.Metadata) bool {
		if !f.matches(c) || !visible(who, *c) {
			return true
		}
		if more = f.Limit > 0 && len(page) == f.Limit; !more {
			page = append(page, *c)
		}
		return !more
	}
	list := v.shortestList(f)
	if f.Search == "" {
		page = make([]credential.Metadata, 0, min(f.Limit, list.len()))
	}
	if f.Search != "" && list.len() > fewToSearch {
		list = v.credentials.lists[listAll]
	}
	for c := range list.behind(f.After, f.Search) {
		if !look(c) {
			break
		}
	}
	return page, more
}

func (f Filter) matches(c *credential.Metadata) bool {
	return (f.Application == "" || c.Application == f.Application) &&
		(f.Owner == "" || c.Owner == f.Owner) &&
		(f.Search == "" || strings.Contains(c.Name, f.Search) || strings.Contains(c.Description, f.Search)) &&
		(f.Tag == "" || tagged(c, f.Tag))
}

// shortestList is the one of the index's lists that leaves the least to be looked at.
func (v *Vault) shortestList(f Filter) *ordered {
	list := v.credentials.lists[listAll]
	for _, narrow := range []struct{ by, key string }{
		{f.Application, listOfApplication(f.Application)}, {f.Owner, listOfOwner(f.Owner)}, {f.Tag, listOfTag(f.Tag)},
	} {
		if other := v.credentials.lists[narrow.key]; narrow.by != "" && other.len() < list.len() {
			list = other
		}
	}
	return list
}

func tagged(c *credential.Metadata, tag string) bool {
	key, value, _ := strings.Cut(tag, "=")
	has, ok := c.Tags[key]
	return ok && has == value
}

// Named returns the names of the credentials that a grant gives and a person
// may see, up to 100.
func (v *Vault) Named(who grant.Person, g grant.Grant) []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	names := map[string]bool{}
	for c := range v.named(&g) {
		if visible(who, *c) {
			names[c.Name] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(names))
	return sorted[:min(len(sorted), 100)]
}

// named gives the credentials that a grant names, one that it names in several ways several times.
func (v *Vault) named(g *grant.Grant) iter.Seq[*credential.Metadata] {
	return func(yield func(*credential.Metadata) bool) {
		for _, key := range namedBy(g) {
			if c := v.credentials.byID[key]; c != nil && !yield(c) {
				return
			}
			for c := range v.credentials.lists[key].all() {
				if c.Kind == credential.App && !yield(c) {
					return
				}
			}
		}
	}
}

// Get returns what is known of a credential by its ID, for the rooms above that
// hold leases of it.
func (v *Vault) Get(id string) (credential.Metadata, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if c := v.credentials.byID[id]; c != nil {
		return *c, true
	}
	return credential.Metadata{}, false
}
