package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Change is what Add and Edit are told. In Edit a nil member leaves things as
// they are. Fields, tags and descriptions are laid over what is there, and an
// empty text removes its key; a field then has its application's default again.
type Change struct {
	Application string              // Add of an app credential only
	AuthType    credential.AuthType // likewise
	Fields      map[string]string   // not secret: plain fields, unmasked variables
	Value       credential.Value    // secret fields, masked variables; the caller wipes it
	Generate    []string            // secret fields that the vault makes up itself; certificate: one and its key
	Description *string
	Describe    map[string]string
	Tags        map[string]string
	Expires     *time.Time // zero: never; nil: a value that is set ends as its application says, if it does
	Default     *bool
	Requestable *bool
	Revision    uint64 // Edit: as it was when somebody looked; 0: whatever it is
	renewal     bool   // nobody asked for it: the fields stay as they are
}

// setsValue says whether the change makes a new version.
func (ch Change) setsValue() bool { return len(ch.Fields) > 0 || ch.setsSecret() }

func (ch Change) setsSecret() bool { return len(ch.Value)+len(ch.Generate) > 0 }

// Add stores a new credential. Whoever adds it owns it.
func (v *Vault) Add(ctx context.Context, who grant.Person, name string, ch Change) (credential.Metadata, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	ref, err := credential.ParseReference(name)
	if err != nil {
		return credential.Metadata{}, err
	}
	c := credential.Metadata{
		ID: credential.NewID(), Name: name, Kind: credential.App, Application: ch.Application, AuthType: ch.AuthType,
		Owner: who.Name, OwnerID: who.ID, Created: v.now(),
	}
	switch {
	case ref.Application != "":
		return c, fmt.Errorf("%w credential name: app: stands for an application's default and cannot be added", credential.ErrInvalid)
	case ref.Owner != "" && ref.Owner != who.Name:
		return c, fmt.Errorf("%w owner: you can add credentials of your own only, as %s/%s", credential.ErrInvalid, who.Name, ref.Name)
	case ref.Owner != "":
		c.Kind = credential.Custom
	}
	if err := v.allow(who, c, grant.CredentialCreate); err != nil {
		return c, err
	}
	c, _, err = v.store(ctx, who, c, ch, "credential.create")
	return c, err
}

// Edit changes a credential, and makes a new version where a value is given,
// which also connects it again. It returns the grants that name it newly: tags
// that widen access are for those who may grant.
func (v *Vault) Edit(ctx context.Context, who grant.Person, ref string, ch Change) (credential.Metadata, []grant.Grant, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, err := v.seeTo(who, ref, grant.CredentialEdit)
	if err != nil {
		return c, nil, err
	}
	if err := unchanged(c, ch.Revision); err != nil {
		return c, nil, err
	}
	if ch.Application != "" && ch.Application != c.Application || ch.AuthType != "" && ch.AuthType != c.AuthType {
		return c, nil, fmt.Errorf("%w application or auth type: they stay as they are; add a new credential instead", credential.ErrInvalid)
	}
	return v.store(ctx, who, c, ch, "credential.edit")
}

// store writes the credential as ch leaves it, with a next version where a
// value is set.
func (v *Vault) store(ctx context.Context, who grant.Person, c credential.Metadata, ch Change, action string) (credential.Metadata, []grant.Grant, error) {
	before := c
	if err := describe(&c, ch); err != nil {
		return c, nil, err
	}
	gained, err := v.widening(who, grant.GainedByCredential(v.grantsOf(c), before, c, v.now()))
	if err != nil {
		return c, nil, err
	}
	existed := c.Version > 0
	var next *written
	if ch.setsValue() || !existed {
		var err error
		if next, err = v.newVersion(who, c, ch); err != nil {
			return c, nil, err
		}
		defer next.encoded.Wipe()
		c.Disconnected = time.Time{}
		if ch.Expires == nil && (ch.setsSecret() || !existed) {
			v.expire(&c, next.Created)
		}
	}
	c, err = v.write(ctx, who, c, next, audit.Entry{
		Actor: who.Name, Action: action, Target: targetOf(c.Name, c, true), Reason: changeText(before, c, ch.given(), next),
	})
	return c, gained, err
}

// expire has a credential end as long after its value was set as its application says. Where that says nothing, it stays.
func (v *Vault) expire(c *credential.Metadata, set time.Time) {
	if c.Kind == credential.Custom {
		return
	}
	if app, err := v.catalogue.Get(c.Application); err == nil && app.DefaultExpiry(c.AuthType) > 0 {
		c.Expires = set.Add(app.DefaultExpiry(c.AuthType))
	}
}

// written is a version on its way into the store.
type written struct {
	credential.Version
	encoded *secret.Buffer
}

// newVersion makes the credential's next version, ready to be written. The caller wipes it.
func (v *Vault) newVersion(who grant.Person, c credential.Metadata, ch Change) (*written, error) {
	value, version, err := v.nextVersion(who, c, ch)
	if err != nil {
		return nil, err
	}
	defer value.Wipe()
	encoded, err := value.Encode(v.arena)
	return &written{version, encoded}, err
}

// write stores a credential and the version that is given with it.
func (v *Vault) write(ctx context.Context, who grant.Person, c credential.Metadata, next *written, entry audit.Entry) (credential.Metadata, error) {
	before, existed := v.Get(c.ID)
	var replaced *credential.Metadata // the application's default so far
	if c.Default && !before.Default {
		// Also where there is none at the moment: the one before may have been taken away for this.
		if !who.Can(grant.GrantEdit) {
			return c, fmt.Errorf("%w: jobs that ask for app:%s would get this one, which needs the permission %s", ErrRefused, c.Application, grant.GrantEdit)
		}
		if old, ok := v.find("app:" + c.Application); ok {
			old.Default = false
			old.Revision++
			replaced = &old
		}
	}
	c.Updated = v.now()
	c.Revision++
	if next != nil {
		c.Version, c.ValueSince, c.ValueEnds = next.Number, next.Since, next.Ends
		if c.ValueSince.IsZero() {
			c.ValueSince = next.Created
		}
	}
	err := v.change(ctx, entry, func(tx *barrier.Tx) error {
		if !existed {
			if err := tx.Claim(kindCredential, c.Name, c.ID); err != nil {
				return err
			}
		}
		if replaced != nil {
			if err := tx.PutJSON(kindCredential, replaced.ID, replaced); err != nil {
				return err
			}
		}
		if next != nil {
			if err := putVersion(tx, next); err != nil {
				return err
			}
		}
		return tx.PutJSON(kindCredential, c.ID, c)
	}, func() {
		if replaced != nil {
			v.credentials.put(*replaced)
		}
		v.credentials.put(c)
	})
	return c, err
}

// putVersion also removes the version that is one too many.
func putVersion(tx *barrier.Tx, next *written) error {
	id := versionID(next.Credential, next.Number)
	err := errors.Join(tx.PutJSON(kindVersion, id, next.Version), tx.Put(kindValue, id, next.encoded.Reveal()))
	if first := oldest(next.Number); err == nil && first > 1 {
		id := versionID(next.Credential, first-1)
		err = errors.Join(tx.Delete(kindVersion, id), tx.Delete(kindValue, id))
	}
	return err
}

// keptVersions is how many versions of a credential there are at most.
const keptVersions = 50

// oldest is the oldest version that is there beside the newest.
func oldest(newest uint64) uint64 {
	if newest <= keptVersions {
		return 1
	}
	return newest - keptVersions + 1
}

// merge lays texts over others; an empty one removes its key.
func merge(before, over map[string]string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, before)
	maps.Copy(out, over)
	maps.DeleteFunc(out, func(_, text string) bool { return text == "" })
	return out
}

// describe applies everything but values.
func describe(c *credential.Metadata, ch Change) error {
	if ch.Description != nil {
		c.Description = *ch.Description
	}
	c.Describe = merge(c.Describe, ch.Describe)
	c.Tags = merge(c.Tags, ch.Tags)
	if ch.Expires != nil {
		c.Expires = *ch.Expires
	}
	if ch.Default != nil {
		c.Default = *ch.Default
	}
	if ch.Requestable != nil {
		c.Requestable = *ch.Requestable
	}
	if c.Default && c.Kind == credential.Custom {
		return fmt.Errorf("%w default: only an app credential can be its application's default", credential.ErrInvalid)
	}
	if c.Requestable && c.Kind == credential.App {
		return fmt.Errorf("%w requestable: only a custom credential can be asked for", credential.ErrInvalid)
	}
	if len(c.Describe) > credential.MaxFields {
		return fmt.Errorf("%w describe: at most %d variables", credential.ErrInvalid, credential.MaxFields)
	}
	for name, text := range c.Describe {
		if err := credential.ValidField(name); err != nil {
			return err
		}
		if err := credential.ValidText("description of "+name, text, credential.MaxDescription); err != nil {
			return err
		}
	}
	return errors.Join(
		credential.ValidText("description", c.Description, credential.MaxDescription),
		credential.ValidTags("tag", c.Tags),
	)
}
