package vault

import (
	"maps"
	"slices"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// grantIndex finds grants: by ID, by name, and by what they name, so that a decision looks at no others. What it holds
// is never changed in place.
type grantIndex struct {
	byID   map[string]*grant.Grant
	byName map[string]*grant.Grant
	naming map[string]map[string]*grant.Grant // by what is named, then by ID
}

func newGrantIndex() grantIndex {
	return grantIndex{byID: map[string]*grant.Grant{}, byName: map[string]*grant.Grant{}, naming: map[string]map[string]*grant.Grant{}}
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
	x.byID[g.ID], x.byName[g.Name] = &g, &g
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
	delete(x.byName, old.Name)
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

func (v *Vault) allGrants() []grant.Grant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]grant.Grant, 0, len(v.grants.byID))
	for _, g := range v.grants.byID {
		all = append(all, *g)
	}
	return all
}
