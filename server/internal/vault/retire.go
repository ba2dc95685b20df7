package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// batch bounds what one cleaning transaction writes, well below the store's limit of 100 with two records an item.
const batch = 40

// retired is kept from a credential's deletion until nothing speaks of it any more, so that a deletion that was cut
// short is finished at the next start.
type retired struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version uint64 `json:"version"` // the newest
}

// Delete retires a credential that is as it was at that revision; 0: whatever it is. It is gone with the first
// transaction, and what still speaks of it (grants, requests, transfers, old versions) is cleaned in the next ones, so
// that none grows beyond the store's limit. It returns the names of the grants that named it.
func (v *Vault) Delete(ctx context.Context, who grant.Person, ref string, revision uint64) (credential.Metadata, []string, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	c, err := v.seeTo(who, ref, grant.CredentialDelete)
	if err != nil {
		return c, nil, err
	}
	if err := unchanged(c, revision); err != nil {
		return c, nil, err
	}
	changed, err := v.retire(ctx, who.Name, c)
	return c, changed, err
}

// retire removes a credential and all that speaks of it; changing is held.
func (v *Vault) retire(ctx context.Context, actor string, c credential.Metadata) (grants []string, err error) {
	r := retired{c.ID, c.Name, c.Version}
	entry := audit.Entry{
		Actor: actor, Action: "credential.delete", Target: targetOf(c.Name, c, true),
		Reason: fmt.Sprintf("with its versions up to %d", c.Version),
	}
	err = v.change(ctx, entry, func(tx *barrier.Tx) error {
		return errors.Join(tx.Release(kindCredential, c.Name), tx.Delete(kindCredential, c.ID), tx.PutJSON(kindRetired, r.ID, r))
	}, func() { v.credentials.remove(c.ID) })
	if err != nil {
		return nil, err
	}
	return v.clean(ctx, r)
}

// Tidy finishes deletions that were cut short. It is called once after Open.
func (v *Vault) Tidy(ctx context.Context) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	var left []retired
	err := v.barrier.View(func(tx *barrier.Tx) error {
		left = nil
		return barrier.ScanJSON(tx, kindRetired, func(r retired) error {
			left = append(left, r)
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, r := range left {
		if _, err := v.clean(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// clean removes what speaks of a credential that is gone. It can be repeated.
func (v *Vault) clean(ctx context.Context, r retired) (grants []string, err error) {
	if grants, err = v.dropAccess(ctx, r.ID); err != nil {
		return grants, err
	}
	return grants, v.purge(ctx, r)
}

// dropAccess ends the requests for a credential that was deleted or goes to somebody else, with the grants that they
// became, and takes it out of all other grants. It returns the names of the grants that named it.
func (v *Vault) dropAccess(ctx context.Context, id string) (names []string, err error) {
	v.mu.RLock()
	for _, g := range v.grants.naming[id] {
		names = append(names, g.Name)
	}
	v.mu.RUnlock()
	slices.Sort(names)
	if err := v.dropRequests(ctx, id); err != nil {
		return names, err
	}
	return names, v.dropFromGrants(ctx, id)
}

func (v *Vault) dropFromGrants(ctx context.Context, id string) error {
	v.mu.RLock()
	var hit []grant.Grant
	for _, named := range v.grants.naming[id] {
		g := *named
		g.Revision++
		g.Credentials = slices.DeleteFunc(slices.Clone(g.Credentials), func(other string) bool { return other == id })
		hit = append(hit, g)
	}
	v.mu.RUnlock()
	for part := range slices.Chunk(hit, batch) {
		entry := audit.Entry{Actor: "system", Action: "grant.prune", Target: id, Reason: pruneText(part)}
		err := v.change(ctx, entry, func(tx *barrier.Tx) error {
			var err error
			for _, g := range part {
				err = errors.Join(err, tx.PutJSON(kindGrant, g.ID, g))
			}
			return err
		}, func() {
			for _, g := range part {
				v.grants.put(g)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// purge removes the versions of a credential that is gone and the transfers that wait for it; last of all the note that
// it has to be done.
func (v *Vault) purge(ctx context.Context, r retired) error {
	type record struct {
		kind barrier.Kind
		id   string
	}
	var records []record
	err := v.barrier.View(func(tx *barrier.Tx) error {
		records = nil
		for n := oldest(r.Version); n <= r.Version; n++ {
			id := versionID(r.ID, n)
			switch _, err := tx.Get(kindVersion, id); {
			case errors.Is(err, barrier.ErrNotFound): // it went in a transaction before
			case err != nil:
				return err
			default:
				records = append(records, record{kindVersion, id}, record{kindValue, id})
			}
		}
		return barrier.ScanJSON(tx, kindTransfer, func(t transfer) error {
			if t.Ref == r.Name {
				records = append(records, record{kindTransfer, t.ID})
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	records = append(records, record{kindRetired, r.ID})
	for part := range slices.Chunk(records, 2*batch) { // even, so that a version goes with its value
		entry := audit.Entry{Actor: "system", Action: "credential.purge", Target: r.ID, Reason: fmt.Sprintf("%d records", len(part))}
		err := v.change(ctx, entry, func(tx *barrier.Tx) error {
			var err error
			for _, r := range part {
				err = errors.Join(err, tx.Delete(r.kind, r.id))
			}
			return err
		}, func() {})
		if err != nil {
			return err
		}
	}
	return nil
}
