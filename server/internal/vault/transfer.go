package vault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// transferLife is how long a transfer waits for the second person.
const transferLife = 24 * time.Hour

// transfer is what the first of two people asked for. It is kept whether the
// credential is there or not, so that its maker learns nothing.
type transfer struct {
	ID      string    `json:"id"`
	Ref     string    `json:"ref"`
	To      string    `json:"to"` // a user's ID
	By      string    `json:"by"` // a person's ID
	Created time.Time `json:"created"`
}

// Receiver is who gets a credential, and what is known of who had it.
type Receiver struct {
	ID, Name string
	// OwnerGone is since when the owner is disabled; long ago where there is none of
	// that name; zero: the owner is there. Only what was somebody's who was gone
	// before the first person asked can be taken over.
	OwnerGone time.Time
}

// Transferred is what became of a transfer.
type Transferred struct {
	Waiting bool     // for a second person who asks for the same
	Grants  []string // which named it and do so no longer
}

// Transfer hands a credential to another person. The owner of a custom one does
// that alone; when the owner is gone it takes two people who may edit users. A
// custom credential comes without its grants and requests.
func (v *Vault) Transfer(ctx context.Context, who grant.Person, ref string, to Receiver) (Transferred, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	parsed, err := credential.ParseReference(ref)
	if err != nil {
		return Transferred{}, err
	}
	c, err := v.see(who, ref)
	switch {
	case err == nil:
		if err := v.allow(who, c, grant.CredentialEdit); err != nil {
			return Transferred{}, err
		}
		return v.handOver(ctx, who.Name, c, to, nil)
	case parsed.Owner == "" || !who.Can(grant.UserEdit):
		return Transferred{}, err
	}
	return v.second(ctx, who, ref, to)
}

// second carries out what two people asked for, or notes what the first did.
//
// One person must not be both: whoever was made, promoted or reset by somebody
// else within the time that a transfer waits is not one of the two.
func (v *Vault) second(ctx context.Context, who grant.Person, ref string, to Receiver) (Transferred, error) {
	if v.now().Sub(who.Since) < transferLife {
		return Transferred{}, fmt.Errorf("%w: your user, role or password is new; this takes two people who have been here for a day", ErrRefused)
	}
	first, done, err := v.waitingTransfer(ref, to.ID)
	if err != nil {
		return Transferred{}, err
	}
	if first == nil || first.By == who.ID {
		t := transfer{ID: credential.NewID(), Ref: ref, To: to.ID, By: who.ID, Created: v.now()}
		// The name may be somebody's secret, so the log has none.
		entry := audit.Entry{Actor: who.Name, Action: "transfer.ask", Target: to.Name, Reason: "waits for a second person"}
		err := v.change(ctx, entry, func(tx *barrier.Tx) error {
			return errors.Join(dropTransfers(tx, done), tx.PutJSON(kindTransfer, t.ID, t))
		}, func() {})
		return Transferred{Waiting: true}, err
	}
	c, ok := v.find(ref)
	if !ok || to.OwnerGone.IsZero() || !to.OwnerGone.Before(first.Created) {
		return Transferred{}, ErrNotFound
	}
	return v.handOver(ctx, who.Name, c, to, done)
}

// waitingTransfer finds the first person's wish, and the IDs of it and of those that are over.
func (v *Vault) waitingTransfer(ref, to string) (first *transfer, done []string, err error) {
	err = v.barrier.View(func(tx *barrier.Tx) error {
		first, done = nil, nil
		return barrier.ScanJSON(tx, kindTransfer, func(t transfer) error {
			switch {
			case v.now().Sub(t.Created) >= transferLife:
				if len(done) < batch {
					done = append(done, t.ID)
				}
			case t.Ref == ref && t.To == to:
				first = &t
				done = append(done, t.ID)
			}
			return nil
		})
	})
	return first, done, err
}

func dropTransfers(tx *barrier.Tx, ids []string) error {
	var err error
	for _, id := range ids {
		err = errors.Join(err, tx.Delete(kindTransfer, id))
	}
	return err
}

func (v *Vault) handOver(ctx context.Context, actor string, c credential.Metadata, to Receiver, done []string) (Transferred, error) {
	before := c
	c.Owner, c.OwnerID = to.Name, to.ID
	if c.Kind == credential.Custom {
		c.Name, c.Requestable = v.nameAt(to.Name, before), false
	}
	c.Updated = v.now()
	c.Revision++
	entry := audit.Entry{Actor: actor, Action: "credential.transfer", Target: targetOf(c.Name, c, true), Reason: fmt.Sprintf("from %s to %s", before.Owner, to.Name)}
	var grants []string
	if c.Kind == credential.Custom { // first, so that what cuts this short leaves the receiver no grants of others
		var err error
		if grants, err = v.dropAccess(ctx, c.ID); err != nil {
			return Transferred{}, err
		}
	}
	err := v.change(ctx, entry, func(tx *barrier.Tx) error {
		if c.Name != before.Name {
			if err := errors.Join(tx.Release(kindCredential, before.Name), tx.Claim(kindCredential, c.Name, c.ID)); err != nil {
				return err
			}
		}
		return errors.Join(dropTransfers(tx, done), tx.PutJSON(kindCredential, c.ID, c))
	}, func() { v.credentials.put(c) })
	return Transferred{Grants: grants}, err
}

// nameAt is how a custom credential is called at its receiver: as before, or with a number where they have one of that
// name, which is nobody else's to know.
func (v *Vault) nameAt(receiver string, c credential.Metadata) string {
	_, base, _ := strings.Cut(c.Name, "/")
	ref := credential.Reference{Owner: receiver, Name: base}
	for n := 2; ; n++ {
		if there, taken := v.find(ref.String()); !taken || there.ID == c.ID {
			return ref.String()
		}
		number := "-" + strconv.Itoa(n)
		ref.Name = base[:min(len(base), credential.MaxName-len(number))] + number
	}
}

// Owned says how many custom credentials somebody has.
func (v *Vault) Owned(ownerID string) int { return len(v.ownedBy(ownerID)) }

// PurgeOwned deletes every custom credential of somebody who is deleted.
func (v *Vault) PurgeOwned(ctx context.Context, actor, ownerID string) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	for _, c := range v.ownedBy(ownerID) {
		if _, err := v.retire(ctx, actor, c); err != nil {
			return err
		}
	}
	return nil
}

func (v *Vault) ownedBy(id string) (out []credential.Metadata) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for c := range v.credentials.all() {
		if c.Kind == credential.Custom && c.OwnerID == id {
			out = append(out, *c)
		}
	}
	return out
}
