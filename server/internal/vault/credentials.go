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
// empty text removes its key.
type Change struct {
	Application string              // Add of an app credential only
	AuthType    credential.AuthType // likewise
	Fields      map[string]string   // not secret: plain fields, unmasked variables
	Value       credential.Value    // secret fields, masked variables; the caller wipes it
	Generate    []string            // secret fields that the vault makes up itself
	Description *string
	Describe    map[string]string
	Tags        map[string]string
	Expires     *time.Time
	Default     *bool
	Requestable *bool
}

// setsValue says whether the change makes a new version.
func (ch Change) setsValue() bool { return len(ch.Fields)+len(ch.Value)+len(ch.Generate) > 0 }

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
	return v.store(ctx, who, c, ch, "credential.create")
}

// Edit changes a credential, and makes a new version where a value is given.
func (v *Vault) Edit(ctx context.Context, who grant.Person, ref string, ch Change) (credential.Metadata, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, ok := v.find(ref)
	if !ok || !visible(who, c) {
		return credential.Metadata{}, ErrNotFound
	}
	if ch.Application != "" && ch.Application != c.Application || ch.AuthType != "" && ch.AuthType != c.AuthType {
		return c, fmt.Errorf("%w application or auth type: they stay as they are; add a new credential instead", credential.ErrInvalid)
	}
	return v.store(ctx, who, c, ch, "credential.edit")
}

// store writes the credential as ch leaves it, with a next version where a
// value is set.
func (v *Vault) store(ctx context.Context, who grant.Person, c credential.Metadata, ch Change, action string) (credential.Metadata, error) {
	before, existed := v.Get(c.ID)
	if err := describe(&c, ch); err != nil {
		return c, err
	}
	c.Updated = v.now()
	var version credential.Version
	var encoded *secret.Buffer
	if ch.setsValue() || !existed {
		value, next, err := v.nextVersion(who, c, ch)
		if err != nil {
			return c, err
		}
		defer value.Wipe()
		if encoded, err = value.Encode(v.arena); err != nil {
			return c, err
		}
		defer encoded.Wipe()
		version, c.Version = next, next.Number
	}
	oldDefault, hadDefault := credential.Metadata{}, false
	if c.Default && !before.Default {
		oldDefault, hadDefault = v.find("app:" + c.Application)
		oldDefault.Default = false
	}
	entry := audit.Entry{Actor: who.Name, Action: action, Target: targetOf(c.Name, c, true)}
	err := v.change(ctx, entry, func(tx *barrier.Tx) error {
		if !existed {
			if err := tx.Claim(kindCredential, c.Name, c.ID); err != nil {
				return err
			}
		}
		if hadDefault {
			if err := tx.PutJSON(kindCredential, oldDefault.ID, oldDefault); err != nil {
				return err
			}
		}
		if encoded != nil {
			id := versionID(c.ID, version.Number)
			if err := errors.Join(tx.PutJSON(kindVersion, id, version), tx.Put(kindValue, id, encoded.Reveal())); err != nil {
				return err
			}
		}
		return tx.PutJSON(kindCredential, c.ID, c)
	}, func() {
		v.forget(before)
		if hadDefault {
			v.credentials[oldDefault.ID] = oldDefault
		}
		v.remember(c)
	})
	return c, err
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

// Delete retires a credential: it is gone with the first transaction, and what
// still speaks of it (grants, old versions) is cleaned in the next ones, so that
// none grows beyond the store's limit. It returns the names of the grants that
// named it.
func (v *Vault) Delete(ctx context.Context, who grant.Person, ref string) (credential.Metadata, []string, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, ok := v.find(ref)
	if !ok || !visible(who, c) {
		return credential.Metadata{}, nil, ErrNotFound
	}
	entry := audit.Entry{Actor: who.Name, Action: "credential.delete", Target: targetOf(ref, c, true)}
	err := v.change(ctx, entry, func(tx *barrier.Tx) error {
		return errors.Join(tx.Release(kindCredential, c.Name), tx.Delete(kindCredential, c.ID))
	}, func() { v.forget(c) })
	if err != nil {
		return c, nil, err
	}
	changed, err := v.dropFromGrants(ctx, c)
	return c, changed, errors.Join(err, v.purge(ctx, c.ID, c.Version))
}
