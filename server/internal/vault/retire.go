package vault

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// batch bounds what one cleaning transaction writes, well below the store's
// limit of 100 with two records an item.
const batch = 40

// dropFromGrants takes a deleted credential out of the grants that name it and
// returns their names.
func (v *Vault) dropFromGrants(ctx context.Context, c credential.Metadata) ([]string, error) {
	var hit []grant.Grant
	var names []string
	for _, g := range v.allGrants() {
		if slices.Contains(g.Credentials, c.ID) {
			g.Credentials = slices.DeleteFunc(slices.Clone(g.Credentials), func(id string) bool { return id == c.ID })
			hit = append(hit, g)
			names = append(names, g.Name)
		}
	}
	slices.Sort(names)
	for part := range slices.Chunk(hit, batch) {
		entry := audit.Entry{Actor: "system", Action: "grant.edit", Target: c.ID, Reason: "the credential was deleted"}
		err := v.change(ctx, entry, func(tx *barrier.Tx) error {
			var err error
			for _, g := range part {
				err = errors.Join(err, tx.PutJSON(kindGrant, g.ID, g))
			}
			return err
		}, func() {
			for _, g := range part {
				v.grants[g.ID] = g
			}
		})
		if err != nil {
			return names, err
		}
	}
	return names, nil
}

// purge removes the versions 1 to newest of a credential that is gone already.
func (v *Vault) purge(ctx context.Context, id string, newest uint64) error {
	var ids []string
	for n := uint64(1); n <= newest; n++ {
		ids = append(ids, versionID(id, n))
	}
	return v.purgeVersions(ctx, ids)
}

func (v *Vault) purgeVersions(ctx context.Context, ids []string) error {
	for part := range slices.Chunk(ids, batch) {
		credentialID, _, _ := strings.Cut(part[0], ".")
		entry := audit.Entry{
			Actor: "system", Action: "credential.purge", Target: credentialID,
			Reason: strconv.Itoa(len(part)) + " versions of deleted credentials",
		}
		err := v.change(ctx, entry, func(tx *barrier.Tx) error {
			var err error
			for _, id := range part {
				err = errors.Join(err, tx.Delete(kindVersion, id), tx.Delete(kindValue, id))
			}
			return err
		}, func() {})
		if err != nil {
			return err
		}
	}
	return nil
}

// Tidy finishes deletions that a crash cut short. It is called once after Open.
func (v *Vault) Tidy(ctx context.Context) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	var left []string
	err := v.barrier.View(func(tx *barrier.Tx) error {
		left = nil
		return tx.Scan(kindVersion, func(id string, _ []byte) error {
			credentialID, _, _ := strings.Cut(id, ".")
			if _, ok := v.Get(credentialID); !ok {
				left = append(left, id)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return v.purgeVersions(ctx, left)
}
