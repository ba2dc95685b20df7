package vault

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// visible says whether a person may know of a credential at all: an app
// credential is for those who may view them, a custom one its owner's alone, and
// not with a token that is for something else.
func visible(who grant.Person, c credential.Metadata) bool {
	if c.Kind == credential.App {
		return who.Can(grant.CredentialView)
	}
	return c.OwnerID == who.ID && who.Can(grant.CredentialOwn)
}

// readable is visible for what says more of a credential than that it is there:
// while its owner's own are locked, what they hold in the clear is, too.
func (v *Vault) readable(who grant.Person, ref string) (credential.Metadata, error) {
	c, err := v.see(who, ref)
	if err == nil && c.Kind == credential.Custom {
		err = v.allowOwn(who)
	}
	return c, err
}

// see resolves a reference for a person: ErrNotFound is the one answer to what
// is not there and to what is not theirs to know of.
func (v *Vault) see(who grant.Person, ref string) (credential.Metadata, error) {
	c, ok := v.find(ref)
	if !ok || !visible(who, c) {
		return credential.Metadata{}, ErrNotFound
	}
	return c, nil
}

// allow refuses what a person may not do to a credential that they see. For
// their own they need one permission, whatever it is, and it must not be locked.
func (v *Vault) allow(who grant.Person, c credential.Metadata, what grant.Permission) error {
	if c.Kind == credential.App {
		if !who.Can(what) {
			return fmt.Errorf("%w: this needs the permission %s", ErrRefused, what)
		}
		return nil
	}
	return v.allowOwn(who)
}

func (v *Vault) allowOwn(who grant.Person) error {
	if !who.Can(grant.CredentialOwn) {
		return fmt.Errorf("%w: this needs the permission %s", ErrRefused, grant.CredentialOwn)
	}
	if until := v.LockedUntil(who); !until.IsZero() {
		return fmt.Errorf("%w: somebody else set your password, so your own credentials are locked until %s", ErrRefused, until.UTC().Format(time.RFC3339))
	}
	return nil
}

// LockedUntil says until when a person's own credentials are locked, since
// somebody else could have signed in as them; zero: they are not.
func (v *Vault) LockedUntil(who grant.Person) time.Time {
	if !v.now().Before(who.LockedUntil) {
		return time.Time{}
	}
	return who.LockedUntil
}

// seeTo resolves a reference for somebody who wants to do something to it.
func (v *Vault) seeTo(who grant.Person, ref string, what grant.Permission) (credential.Metadata, error) {
	c, err := v.see(who, ref)
	if err != nil {
		return c, err
	}
	return c, v.allow(who, c, what)
}

// unchanged refuses to change what is no longer as somebody saw it.
func unchanged(c credential.Metadata, revision uint64) error {
	if revision != 0 && revision != c.Revision {
		return ErrChanged
	}
	return nil
}

// widening refuses to give hosts what they had no access to before, unless the
// person may grant it. It returns the grants that do so.
func (v *Vault) widening(who grant.Person, gained []grant.Grant) ([]grant.Grant, error) {
	if len(gained) == 0 || who.Can(grant.GrantEdit) {
		return gained, nil
	}
	by := "a grant that is not yours to see"
	for _, g := range gained {
		if _, known := v.shown(who, g); known {
			by = "grant " + g.Name
			break
		}
	}
	return nil, fmt.Errorf("%w: this gives access by %s, which needs the permission %s", ErrRefused, by, grant.GrantEdit)
}

// HoldGrants lets no grant change while do runs. A host's labels are judged and stored in one do: a grant that was made
// in between would reach a host that its maker was not told of. do changes nothing in the vault. The order of locks is the
// fleet's, the vault's, the log's: who needs the fleet's took it before, and what the vault asks of the fleet with its
// own held, IssueClient, takes none there.
func (v *Vault) HoldGrants(do func() error) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	return do()
}

// WidensHost refuses what gives a host other labels that grants go by, unless
// the person may grant that. It returns the grants that reach the host newly, which
// holds as long as HoldGrants runs.
func (v *Vault) WidensHost(who grant.Person, before, after grant.Host) ([]grant.Grant, error) {
	return v.widening(who, grant.GainedByHost(v.allGrants(), before, after, v.now()))
}

// WidenedBy names, for the log, a grant that reaches a host by labels which somebody gave it who may not grant; empty:
// there is none.
func (v *Vault) WidenedBy(giver grant.Person, labels map[string]string) string {
	gained := grant.GainedByHost(v.allGrants(), grant.Host{}, grant.Host{Labels: labels}, v.now())
	if len(gained) == 0 || giver.Can(grant.GrantEdit) {
		return ""
	}
	return slices.MinFunc(gained, func(a, b grant.Grant) int { return strings.Compare(a.Name, b.Name) }).Name
}
