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

// The bounds of a grant's times.
const (
	DefaultTTL = 15 * time.Minute
	minTTL     = time.Second
	maxTTL     = 7 * 24 * time.Hour
	maxOffline = 30 * 24 * time.Hour
)

// AddGrant stores a grant. Its Credentials are given as references and are
// stored as IDs. Whoever may not grant app credentials may still grant their own.
func (v *Vault) AddGrant(ctx context.Context, who grant.Person, g grant.Grant) (grant.Grant, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	if strings.HasPrefix(g.Name, requestGrant) {
		return grant.Grant{}, fmt.Errorf("%w grant name: %s… is for requests that were approved", credential.ErrInvalid, requestGrant)
	}
	if err := v.checkGrant(&g); err != nil {
		return grant.Grant{}, err
	}
	if err := v.resolve(who, &g); err != nil {
		return grant.Grant{}, err
	}
	g.ID, g.Created, g.CreatedBy, g.Revision = credential.NewID(), v.now(), who.Name, 1
	g.OwnerID = v.ownerOf(g)
	if err := v.free(who, g); err != nil {
		return grant.Grant{}, err
	}
	err := v.change(ctx, v.grantEntry(who, "grant.create", g), func(tx *barrier.Tx) error {
		return errors.Join(v.claimGrant(tx, g), tx.PutJSON(kindGrant, g.ID, g))
	}, func() { v.grants.put(g) })
	return g, err
}

// resolve puts IDs in the place of references that the person may grant.
func (v *Vault) resolve(who grant.Person, g *grant.Grant) error {
	if len(g.Applications)+len(g.Tags) > 0 && !who.Can(grant.GrantEdit) {
		return fmt.Errorf("%w: granting by application or tag needs the permission %s", ErrRefused, grant.GrantEdit)
	}
	ids := make([]string, 0, len(g.Credentials))
	for _, ref := range g.Credentials {
		c, err := v.seeTo(who, ref, grant.GrantEdit)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w: %s", err, ref)
		}
		if err != nil {
			return err
		}
		ids = append(ids, c.ID)
	}
	g.Credentials = ids
	return nil
}

// EditGrant puts g in the place of the grant of its name, which keeps its ID.
func (v *Vault) EditGrant(ctx context.Context, who grant.Person, g grant.Grant, revision uint64) (grant.Grant, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	old, err := v.grantFor(who, g.Name)
	if err != nil {
		return grant.Grant{}, err
	}
	if revision != 0 && revision != old.Revision {
		return grant.Grant{}, ErrChanged
	}
	if err := v.checkGrant(&g); err != nil {
		return grant.Grant{}, err
	}
	if err := v.resolve(who, &g); err != nil {
		return grant.Grant{}, err
	}
	if _, unseen := v.split(who, old); len(unseen) > 0 {
		// Other hosts or jobs would get somebody's own credential by it.
		return grant.Grant{}, fmt.Errorf("%w: this grant is for somebody else to change; make another", ErrRefused)
	}
	g.ID, g.Created, g.CreatedBy, g.Revision = old.ID, old.Created, old.CreatedBy, old.Revision+1
	g.OwnerID = v.ownerOf(g)
	if g.OwnerID != old.OwnerID { // it takes its name among others
		err = v.free(who, g)
	}
	if err != nil {
		return grant.Grant{}, err
	}
	err = v.change(ctx, v.grantEntry(who, "grant.edit", g), func(tx *barrier.Tx) error {
		if claimed(g) != claimed(old) {
			if err := errors.Join(releaseGrant(tx, old), v.claimGrant(tx, g)); err != nil {
				return err
			}
		}
		return tx.PutJSON(kindGrant, g.ID, g)
	}, func() { v.grants.put(g) })
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
	case len(g.Credentials)+len(g.Applications)+len(g.Tags)+len(g.Hosts)+len(g.HostLabels)+g.Jobs.Len() > 1000:
		return invalid("grant", "at most 1000 credentials, hosts and conditions on jobs together; use tags and labels")
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
	for _, host := range g.Hosts {
		if err := credential.ValidName("host ID", host); err != nil {
			return err
		}
	}
	return g.Jobs.Check()
}

// Grants lists the grants that a person may know of by name, with the names of
// credentials in place of their IDs. Somebody else's own credentials are left
// out, and a grant that names nothing else; to an auditor they show by their ID.
func (v *Vault) Grants(who grant.Person) []grant.Grant {
	var out []grant.Grant
	for _, g := range v.allGrants() {
		if shown, ok := v.shown(who, g); ok {
			out = append(out, shown)
		}
	}
	slices.SortFunc(out, func(a, b grant.Grant) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Grant returns one grant by name, or ErrNoGrant. Where a person sees several of the name it is their own.
func (v *Vault) Grant(who grant.Person, name string) (grant.Grant, error) {
	for _, g := range v.grantsNamed(who, name) {
		if shown, ok := v.shown(who, g); ok {
			return shown, nil
		}
	}
	return grant.Grant{}, ErrNoGrant
}

// split divides the credentials that a grant names into those that a person may
// know of and the others.
func (v *Vault) split(who grant.Person, g grant.Grant) (seen []credential.Metadata, unseen []string) {
	for _, id := range g.Credentials {
		if c, ok := v.Get(id); ok && visible(who, c) {
			seen = append(seen, c)
		} else {
			unseen = append(unseen, id)
		}
	}
	return seen, unseen
}

// ownerOf is whose own credentials are all that a grant names; empty: it names others.
func (v *Vault) ownerOf(g grant.Grant) string {
	owner := ""
	for i, id := range g.Credentials {
		c, _ := v.Get(id)
		if c.Kind != credential.Custom || i > 0 && c.OwnerID != owner {
			return ""
		}
		owner = c.OwnerID
	}
	if len(g.Applications)+len(g.Tags) > 0 {
		return ""
	}
	return owner
}

// shown is a grant as a person sees it, if they may. One that named somebody's own credentials alone stays theirs when
// nothing is left in it.
func (v *Vault) shown(who grant.Person, g grant.Grant) (grant.Grant, bool) {
	seen, unseen := v.split(who, g)
	named := len(g.Credentials) > 0
	g.Credentials = nil
	for _, c := range seen {
		g.Credentials = append(g.Credentials, c.Name)
	}
	if who.Can(grant.AuditView) {
		g.Credentials = append(g.Credentials, unseen...)
	}
	if g.OwnerID != "" {
		return g, g.OwnerID == who.ID || who.Can(grant.AuditView)
	}
	ours := len(seen) > 0 || len(g.Applications)+len(g.Tags) > 0 || !named
	ours = ours && (who.Can(grant.GrantView) || who.Can(grant.GrantEdit))
	return g, ours || who.Can(grant.AuditView)
}

// grantFor finds a grant for somebody who wants to change or revoke it: who may
// grant, or whose own credentials are all that it names.
func (v *Vault) grantFor(who grant.Person, name string) (grant.Grant, error) {
	for _, g := range v.grantsNamed(who, name) {
		switch _, known := v.shown(who, g); {
		case !known, g.OwnerID != "" && g.OwnerID != who.ID:
			continue // also for who reads the log, and so knows of it
		case g.OwnerID == who.ID:
			return g, v.allowOwn(who)
		case !who.Can(grant.GrantEdit):
			return g, fmt.Errorf("%w: this needs the permission %s", ErrRefused, grant.GrantEdit)
		}
		return g, nil
	}
	return grant.Grant{}, ErrNoGrant
}

// RevokeGrant ends a grant. When it returns, the change is durable and the room
// above has been told.
func (v *Vault) RevokeGrant(ctx context.Context, who grant.Person, name string) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	g, err := v.grantFor(who, name)
	if err != nil {
		return err
	}
	return v.removeGrants(ctx, v.grantEntry(who, "grant.revoke", g), []grant.Grant{g}, nil, nil)
}

// removeGrants ends grants; also stores what else goes with that, and done notes it under the lock. changing is held.
func (v *Vault) removeGrants(ctx context.Context, entry audit.Entry, grants []grant.Grant, also func(*barrier.Tx) error, done func()) error {
	return v.change(ctx, entry, func(tx *barrier.Tx) error {
		for _, g := range grants {
			if err := errors.Join(releaseGrant(tx, g), tx.Delete(kindGrant, g.ID)); err != nil {
				return err
			}
		}
		if also == nil {
			return nil
		}
		return also(tx)
	}, func() {
		for _, g := range grants {
			v.grants.remove(g.ID)
		}
		if done != nil {
			done()
		}
	})
}
