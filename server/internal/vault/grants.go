package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const kindGrantName barrier.Kind = "grant"

// The bounds of a grant's times.
const (
	DefaultTTL = 15 * time.Minute
	minTTL     = time.Second
	maxTTL     = 7 * 24 * time.Hour
	maxOffline = 30 * 24 * time.Hour
)

// AddGrant stores a grant. Its Credentials are given as references and are
// stored as IDs.
func (v *Vault) AddGrant(ctx context.Context, who grant.Person, g grant.Grant) (grant.Grant, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	if err := v.checkGrant(&g); err != nil {
		return grant.Grant{}, err
	}
	for i, ref := range g.Credentials {
		c, ok := v.find(ref)
		if !ok || !visible(who, c) {
			return grant.Grant{}, fmt.Errorf("%w: %s", ErrNotFound, ref)
		}
		g.Credentials[i] = c.ID
	}
	g.ID, g.Created, g.CreatedBy = credential.NewID(), v.now(), who.Name
	entry := audit.Entry{Actor: who.Name, Action: "grant.create", Target: g.Name}
	err := v.change(ctx, entry, func(tx *barrier.Tx) error {
		return errors.Join(tx.Claim(kindGrantName, g.Name, g.ID), tx.PutJSON(kindGrant, g.ID, g))
	}, func() { v.grants[g.ID] = g })
	return g, err
}

func (v *Vault) checkGrant(g *grant.Grant) error {
	if err := credential.ValidName("grant name", g.Name); err != nil {
		return err
	}
	if g.Access == "" {
		g.Access = grant.Read
	}
	if g.TTL == 0 {
		g.TTL = DefaultTTL
	}
	invalid := func(field, mend string) error {
		return fmt.Errorf("%w %s: %s", credential.ErrInvalid, field, mend)
	}
	switch {
	case len(g.Credentials)+len(g.Applications)+len(g.Tags) == 0:
		return invalid("grant", "name what it gives: a credential, an application or a tag")
	case len(g.Hosts)+len(g.HostLabels) == 0 && !g.AnyHost:
		return invalid("grant", "name where: a host, a host label, or any host")
	case len(g.Credentials)+len(g.Applications)+len(g.Tags)+len(g.Hosts)+len(g.HostLabels)+len(g.JobUsers) > 1000:
		return invalid("grant", "at most 1000 credentials, hosts and users together; use tags and labels")
	case g.Access != grant.Read && g.Access != grant.Use:
		return invalid("access", "read or use")
	case g.TTL < minTTL || g.TTL > maxTTL:
		return invalid("ttl", "from 1s to 168h")
	case g.Offline < 0 || g.Offline > maxOffline:
		return invalid("offline", "from 0 to 720h")
	case !g.Until.IsZero() && !g.Until.After(v.now()):
		return invalid("until", "it lies in the past")
	}
	for _, name := range g.Applications {
		if _, err := v.catalogue.Get(name); err != nil {
			return fmt.Errorf("%w application: %w", credential.ErrInvalid, err)
		}
	}
	for what, labels := range map[string][]string{"tag": g.Tags, "host label": g.HostLabels} {
		for _, label := range labels {
			key, value, ok := strings.Cut(label, "=")
			if !ok {
				return invalid(what, "write it as key=value")
			}
			if err := credential.ValidTags(what, map[string]string{key: value}); err != nil {
				return err
			}
		}
	}
	for _, s := range slices.Concat(g.Hosts, g.JobUsers) {
		if s == "" {
			return invalid("host or job user", "it is empty")
		}
		if err := credential.ValidText("host or job user", s, 256); err != nil {
			return err
		}
	}
	return nil
}

// Grants lists every grant by name, with the names of the credentials that the
// person may see in place of their IDs.
func (v *Vault) Grants(who grant.Person) []grant.Grant {
	all := v.allGrants()
	for i := range all {
		all[i] = v.named(who, all[i])
	}
	slices.SortFunc(all, func(a, b grant.Grant) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Grant returns one grant by name, or ErrNoGrant.
func (v *Vault) Grant(who grant.Person, name string) (grant.Grant, error) {
	g, err := v.grantByName(name)
	return v.named(who, g), err
}

func (v *Vault) grantByName(name string) (grant.Grant, error) {
	for _, g := range v.allGrants() {
		if g.Name == name {
			return g, nil
		}
	}
	return grant.Grant{}, ErrNoGrant
}

func (v *Vault) named(who grant.Person, g grant.Grant) grant.Grant {
	g.Credentials = slices.Clone(g.Credentials)
	for i, id := range g.Credentials {
		if c, ok := v.Get(id); ok && visible(who, c) {
			g.Credentials[i] = c.Name
		}
	}
	return g
}

// RevokeGrant ends a grant. When it returns, the change is durable and the room
// above has been told.
func (v *Vault) RevokeGrant(ctx context.Context, who grant.Person, name string) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	g, err := v.grantByName(name)
	if err != nil {
		return err
	}
	entry := audit.Entry{Actor: who.Name, Action: "grant.revoke", Target: g.Name}
	return v.change(ctx, entry, func(tx *barrier.Tx) error {
		return errors.Join(tx.Release(kindGrantName, g.Name), tx.Delete(kindGrant, g.ID))
	}, func() { delete(v.grants, g.ID) })
}

func (v *Vault) allGrants() []grant.Grant {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := make([]grant.Grant, 0, len(v.grants))
	for _, g := range v.grants {
		all = append(all, g)
	}
	return all
}
