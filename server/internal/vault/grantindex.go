package vault

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// grantIndex finds grants: by ID, by name, which several may have, and by what they name, so that a decision looks at no
// others. What it holds is never changed in place.
type grantIndex struct {
	byID   map[string]*grant.Grant
	byName map[string][]*grant.Grant
	naming map[string]map[string]*grant.Grant // by what is named, then by ID
}

func newGrantIndex() grantIndex {
	return grantIndex{byID: map[string]*grant.Grant{}, byName: map[string][]*grant.Grant{}, naming: map[string]map[string]*grant.Grant{}}
}

// namedBy are the keys of naming for a grant. An ID has no colon.
func namedBy(g *grant.Grant) []string {
	keys := slices.Clone(g.Credentials)
	for _, name := range g.Applications {
		keys = append(keys, listOfApplication(name))
	}
	for _, tag := range g.Tags {
		keys = append(keys, listOfTag(tag))
	}
	return keys
}

func (x *grantIndex) put(g grant.Grant) {
	x.remove(g.ID)
	x.byID[g.ID] = &g
	x.byName[g.Name] = append(x.byName[g.Name], &g)
	for _, key := range namedBy(&g) {
		if x.naming[key] == nil {
			x.naming[key] = map[string]*grant.Grant{}
		}
		x.naming[key][g.ID] = &g
	}
}

func (x *grantIndex) remove(id string) {
	old := x.byID[id]
	if old == nil {
		return
	}
	delete(x.byID, id)
	if x.byName[old.Name] = slices.DeleteFunc(x.byName[old.Name], func(g *grant.Grant) bool { return g == old }); len(x.byName[old.Name]) == 0 {
		delete(x.byName, old.Name)
	}
	for _, key := range namedBy(old) {
		delete(x.naming[key], id)
		if len(x.naming[key]) == 0 {
			delete(x.naming, key)
		}
	}
}

// of returns the grants that name a credential in whatever way, in no order. Which of them give it is for the rules.
func (x *grantIndex) of(c *credential.Metadata) []grant.Grant {
	found := map[string]*grant.Grant{}
	maps.Copy(found, x.naming[c.ID])
	if c.Kind == credential.App {
		for _, key := range listsOf(c) {
			maps.Copy(found, x.naming[key])
		}
	}
	out := make([]grant.Grant, 0, len(found))
	for _, g := range found {
		out = append(out, *g)
	}
	return out
}

// grantsOf returns the grants that name a credential.
func (v *Vault) grantsOf(c credential.Metadata) []grant.Grant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.grants.of(&c)
}

// claimed is what a grant takes in the store so that its name is its own. A grant over somebody's own credentials takes its
// name among theirs alone, since whether they have one so named is not for others to find out. No name has a slash.
func claimed(g grant.Grant) string {
	if g.OwnerID == "" {
		return g.Name
	}
	return g.OwnerID + "/" + g.Name
}

// claimGrant gives a grant its name. Earlier versions claimed those over somebody's own credentials as everybody's; one
// that is in the way moves aside.
func (v *Vault) claimGrant(tx *barrier.Tx, g grant.Grant) error {
	if id, err := tx.Lookup(kindGrant, claimed(g)); err == nil && id != g.ID {
		v.mu.RLock()
		other := v.grants.byID[id]
		v.mu.RUnlock()
		if other != nil && claimed(*other) != claimed(g) {
			if err := errors.Join(tx.Release(kindGrant, claimed(g)), tx.Claim(kindGrant, claimed(*other), id)); err != nil {
				return err
			}
		}
	}
	return tx.Claim(kindGrant, claimed(g), g.ID)
}

func releaseGrant(tx *barrier.Tx, g grant.Grant) error {
	if id, err := tx.Lookup(kindGrant, g.Name); err == nil && id == g.ID {
		return tx.Release(kindGrant, g.Name) // also as an earlier version claimed it
	}
	return tx.Release(kindGrant, claimed(g))
}

// grantsNamed are the grants that have a name, in the order in which a person means them by it: one of their own, one that
// is nobody's own, and those of others, which only who reads the log knows of, the oldest first.
func (v *Vault) grantsNamed(who grant.Person, name string) (all []grant.Grant) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, g := range v.grants.byName[name] {
		all = append(all, *g)
	}
	rank := func(g grant.Grant) int { return slices.Index([]string{who.ID, "", g.OwnerID}, g.OwnerID) }
	slices.SortFunc(all, func(a, b grant.Grant) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Created.Compare(b.Created)) })
	return all
}

// free refuses a name that a person sees on another grant, or that another has which it would be claimed with.
func (v *Vault) free(who grant.Person, g grant.Grant) error {
	for _, other := range v.grantsNamed(who, g.Name) {
		if _, known := v.shown(who, other); other.ID != g.ID && (known || other.OwnerID == g.OwnerID) {
			return fmt.Errorf("%w: %s", ErrTaken, g.Name)
		}
	}
	return nil
}

func (v *Vault) allGrants() []grant.Grant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]grant.Grant, 0, len(v.grants.byID))
	for _, g := range v.grants.byID {
		all = append(all, *g)
	}
	return all
}
