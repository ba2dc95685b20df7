package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// Rollback makes a next version out of an earlier one: its fields, its secrets
// and the origins that it was bound to.
func (v *Vault) Rollback(ctx context.Context, who grant.Person, ref string, to, revision uint64) (credential.Metadata, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, err := v.seeTo(who, ref, grant.CredentialEdit)
	if err != nil {
		return c, err
	}
	if err := unchanged(c, revision); err != nil {
		return c, err
	}
	if c.Version == 1 {
		return c, fmt.Errorf("%w version: there is no earlier version", credential.ErrInvalid)
	}
	if to < oldest(c.Version) || to >= c.Version {
		return c, fmt.Errorf("%w version: there are earlier ones from %d to %d", credential.ErrInvalid, oldest(c.Version), c.Version-1)
	}
	next := &written{}
	err = v.barrier.View(func(tx *barrier.Tx) (err error) {
		id := versionID(c.ID, to)
		if next.Version, err = getVersion(tx, c.ID, to); err != nil {
			return err
		}
		next.encoded, err = tx.GetSecret(kindValue, id)
		return err
	})
	if err != nil {
		return c, err
	}
	defer next.encoded.Wipe()
	next.Number, next.Created, next.CreatedBy = c.Version+1, v.now(), who.Name
	entry := audit.Entry{
		Actor: who.Name, Action: "credential.rollback", Target: targetOf(c.Name, c, true),
		Reason: fmt.Sprintf("version %d is version %d again", next.Number, to),
	}
	return v.write(ctx, who, c, next, entry)
}

// Disconnect ends what hosts have of a credential and gives it to nobody until
// it is connected again. Everything that is stored stays.
func (v *Vault) Disconnect(ctx context.Context, who grant.Person, ref string, revision uint64) (credential.Metadata, error) {
	return v.setConnected(ctx, who, ref, revision, false)
}

// Connect undoes Disconnect.
func (v *Vault) Connect(ctx context.Context, who grant.Person, ref string, revision uint64) (credential.Metadata, error) {
	return v.setConnected(ctx, who, ref, revision, true)
}

func (v *Vault) setConnected(ctx context.Context, who grant.Person, ref string, revision uint64, connected bool) (credential.Metadata, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, err := v.seeTo(who, ref, grant.CredentialEdit)
	if err != nil {
		return c, err
	}
	if err := unchanged(c, revision); err != nil || connected == c.Disconnected.IsZero() {
		return c, err
	}
	before := c
	entry := audit.Entry{Actor: who.Name, Action: "credential.connect", Target: targetOf(c.Name, c, true)}
	if c.Disconnected = (time.Time{}); !connected {
		c.Disconnected, entry.Action = v.now(), "credential.disconnect"
	}
	entry.Reason = fmt.Sprintf("version %d; %s", c.Version, changeText(before, c, nil, nil))
	return v.write(ctx, who, c, nil, entry)
}
