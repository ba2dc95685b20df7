package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// Status is how a request stands.
type Status string

// The statuses. A request that nobody answers, or whose approval has come to
// its end, is expired.
const (
	Pending  Status = "pending"
	Approved Status = "approved"
	Denied   Status = "denied"
	Revoked  Status = "revoked"
	Expired  Status = "expired"
)

const (
	requestLife  = 7 * 24 * time.Hour  // of one that nobody answers
	usualAccess  = 24 * time.Hour      // of an approval that does not say
	longestOne   = 30 * 24 * time.Hour // of any approval
	maxRequests  = 50                  // pending, of one requester
	keptRequests = 90 * 24 * time.Hour // after its end

	// requestGrant begins the names of the grants that requests became, and of no others.
	requestGrant = "request-"
)

// Request is somebody's wish for a custom credential of somebody else: for jobs
// of a user on a host, or, without a host, to see its value.
type Request struct {
	ID          string       `json:"id"`
	Number      uint64       `json:"number"` // for people
	Credential  string       `json:"credential"`
	Name        string       `json:"-"` // the credential's
	OwnerID     string       `json:"owner_id"`
	Requester   string       `json:"requester"`
	RequesterID string       `json:"requester_id"`
	Reason      string       `json:"reason"`
	Access      grant.Access `json:"access"`
	Host        string       `json:"host,omitempty"` // ID
	grant.Jobs
	Status  Status    `json:"status"`
	Created time.Time `json:"created"`
	Decided time.Time `json:"decided,omitzero"`
	Until   time.Time `json:"until,omitzero"` // of the access, once approved
	Grant   string    `json:"grant,omitempty"`
}

// ends is when a request that stands open comes to its end by itself.
func (r Request) ends() time.Time {
	if r.Status == Approved {
		return r.Until
	}
	return r.Created.Add(requestLife)
}

// at is the request as it stands at a time.
func (r Request) at(now time.Time) Request {
	if (r.Status == Pending || r.Status == Approved) && !now.Before(r.ends()) {
		r.Status = Expired
	}
	return r
}

// MakeRequest asks for a custom credential by its exact name. What cannot be
// asked for is ErrNotFound, whether it is there or not.
func (v *Vault) MakeRequest(ctx context.Context, who grant.Person, ref string, r Request) (Request, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	if err := checkRequest(r); err != nil {
		return Request{}, err
	}
	if !v.settings.On(setting.Requests) {
		return Request{}, fmt.Errorf("%w: requests are switched off here (setting %s)", ErrRefused, setting.Requests)
	}
	c, ok := v.find(ref)
	if ok && c.OwnerID == who.ID && c.Kind == credential.Custom {
		return Request{}, fmt.Errorf("%w credential: it is your own; grant it with strongroom grant add", credential.ErrInvalid)
	}
	if !ok || c.Kind != credential.Custom || !c.Requestable {
		return Request{}, ErrNotFound
	}
	open := 0
	for _, other := range v.allRequests() {
		if other.RequesterID == who.ID && other.at(v.now()).Status == Pending {
			open++
		}
	}
	if open >= maxRequests {
		return Request{}, fmt.Errorf("%w request: %d of yours are waiting for an answer; withdraw some first", credential.ErrInvalid, open)
	}
	r.ID, r.Number, r.Status, r.Created = credential.NewID(), v.lastRequest+1, Pending, v.now()
	r.Credential, r.OwnerID, r.Requester, r.RequesterID = c.ID, c.OwnerID, who.Name, who.ID
	err := v.putRequest(ctx, who.Name, "request.make", r, nil)
	r.Name = c.Name
	return r, err
}

func checkRequest(r Request) error {
	invalid := func(field, mend string) error { return fmt.Errorf("%w %s: %s", credential.ErrInvalid, field, mend) }
	switch {
	case r.Reason == "":
		return invalid("reason", "say what it is for")
	case r.Access != grant.Read && r.Access != grant.Use:
		return invalid("access", "read or use")
	case r.Host == "" && r.Access == grant.Use:
		return invalid("host", "use is for jobs on a host: name it")
	case r.Host == "" && r.Jobs.Len() > 0:
		return invalid("job", "jobs are on a host: name the host as well")
	case r.Jobs.Len() > 100:
		return invalid("job", "at most 100 users, units, containers, executables and claims together")
	}
	if err := r.Jobs.Check(); err != nil {
		return err
	}
	return credential.ValidText("reason", r.Reason, credential.MaxDescription)
}

// Requests lists those that a person made or is to answer, the newest first.
func (v *Vault) Requests(who grant.Person) []Request {
	var out []Request
	for _, r := range v.allRequests() {
		if r, ok := v.shownRequest(who, r); ok {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Request) int { return int(b.Number) - int(a.Number) })
	return out
}

// Request returns one by its number, or ErrNoRequest.
func (v *Vault) Request(who grant.Person, number uint64) (Request, error) {
	for _, r := range v.allRequests() {
		if r, ok := v.shownRequest(who, r); ok && r.Number == number {
			return r, nil
		}
	}
	return Request{}, ErrNoRequest
}

func (v *Vault) shownRequest(who grant.Person, r Request) (Request, bool) {
	c, ok := v.Get(r.Credential)
	r.Name = c.Name
	return r.at(v.now()), ok && (r.RequesterID == who.ID || c.OwnerID == who.ID)
}

func (v *Vault) allRequests() []Request {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return slices.Collect(maps.Values(v.requests))
}

// Approve gives what a request asks for, until a time; zero: for a day. A
// request for a host becomes a grant.
func (v *Vault) Approve(ctx context.Context, who grant.Person, number uint64, until time.Time) (Request, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	r, err := v.ownRequest(who, number)
	if err != nil {
		return r, err
	}
	if until.IsZero() {
		until = v.now().Add(usualAccess)
	}
	if !until.After(v.now()) || until.After(v.now().Add(longestOne)) {
		return r, fmt.Errorf("%w until: from now to %d days from now", credential.ErrInvalid, int(longestOne.Hours())/24)
	}
	r.Status, r.Decided, r.Until = Approved, v.now(), until
	if r.Host == "" {
		return r, v.putRequest(ctx, who.Name, "request.approve", r, nil)
	}
	g := grant.Grant{
		Name: fmt.Sprintf("%s%d", requestGrant, r.Number), Credentials: []string{r.Credential}, Hosts: []string{r.Host},
		Conditions: grant.Conditions{Jobs: r.Jobs, Access: r.Access, TTL: DefaultTTL, Until: until},
		ID:         credential.NewID(), Created: v.now(), CreatedBy: who.Name, Revision: 1, OwnerID: who.ID,
	}
	r.Grant = g.ID
	return r, v.putRequest(ctx, who.Name, "request.approve", r, &g)
}

// Deny refuses a request.
func (v *Vault) Deny(ctx context.Context, who grant.Person, number uint64) (Request, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	r, err := v.ownRequest(who, number)
	if err != nil {
		return r, err
	}
	r.Status, r.Decided = Denied, v.now()
	return r, v.putRequest(ctx, who.Name, "request.deny", r, nil)
}

// ownRequest finds a pending request for a credential of one's own.
func (v *Vault) ownRequest(who grant.Person, number uint64) (Request, error) {
	r, err := v.Request(who, number)
	if err != nil {
		return r, err
	}
	if c, _ := v.Get(r.Credential); c.OwnerID != who.ID {
		return r, fmt.Errorf("%w: the credential's owner answers it", ErrRefused)
	}
	if err := v.allowOwn(who); err != nil {
		return r, err
	}
	if r.Status != Pending {
		return r, fmt.Errorf("%w request: it is %s", credential.ErrInvalid, r.Status)
	}
	return r, nil
}

// RevokeRequest takes an approval back, or a request that waits: for the owner
// and for whoever made it.
func (v *Vault) RevokeRequest(ctx context.Context, who grant.Person, number uint64) (Request, error) {
	v.changing.Lock()
	defer v.changing.Unlock()
	r, err := v.Request(who, number)
	if err != nil {
		return r, err
	}
	if r.Status != Pending && r.Status != Approved {
		return r, fmt.Errorf("%w request: it is %s", credential.ErrInvalid, r.Status)
	}
	r.Status, r.Decided = Revoked, v.now()
	entry := requestEntry(who.Name, "request.revoke", r)
	return r, v.removeGrants(ctx, entry, v.requestGrants([]Request{r}),
		func(tx *barrier.Tx) error { return tx.PutJSON(kindRequest, r.ID, r) },
		func() { v.requests[r.ID] = r })
}

// revealRequest finds the approval that lets somebody see another's credential.
func (v *Vault) revealRequest(who grant.Person, c credential.Metadata) (Request, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, r := range v.requests {
		if r.Credential == c.ID && r.RequesterID == who.ID && r.Host == "" && r.at(v.now()).Status == Approved {
			return r, true
		}
	}
	return Request{}, false
}

// requesterLocked is why an approval is worth nothing for now.
func requesterLocked(until time.Time) string {
	return "somebody else set the requester's password: locked until " + until.UTC().Format(time.RFC3339)
}

// putRequest stores a request, with the grant that it became, and forgets a few
// that ended long ago.
func (v *Vault) putRequest(ctx context.Context, actor, action string, r Request, g *grant.Grant) error {
	var old []string
	for _, other := range v.allRequests() {
		if len(old) < 10 && v.now().Sub(other.ends()) > keptRequests && other.ID != r.ID {
			old = append(old, other.ID)
		}
	}
	return v.change(ctx, requestEntry(actor, action, r), func(tx *barrier.Tx) error {
		for _, id := range old {
			if err := tx.Delete(kindRequest, id); err != nil {
				return err
			}
		}
		if g != nil {
			if err := errors.Join(v.claimGrant(tx, *g), tx.PutJSON(kindGrant, g.ID, g)); err != nil {
				return err
			}
		}
		if r.Number > v.lastRequest {
			if err := tx.PutJSON(kindCounter, counterRequests, r.Number); err != nil {
				return err
			}
		}
		return tx.PutJSON(kindRequest, r.ID, r)
	}, func() {
		v.lastRequest = max(v.lastRequest, r.Number)
		for _, id := range old {
			delete(v.requests, id)
		}
		if g != nil {
			v.grants.put(*g)
		}
		v.requests[r.ID] = r
	})
}

// dropRequests forgets the requests for a credential that is gone, and ends the grants that they became.
func (v *Vault) dropRequests(ctx context.Context, credentialID string) error {
	var gone []Request
	for _, r := range v.allRequests() {
		if r.Credential == credentialID {
			gone = append(gone, r)
		}
	}
	for part := range slices.Chunk(gone, batch/2) {
		entry := audit.Entry{Actor: "system", Action: "request.drop", Target: credentialID, Reason: dropText(part)}
		grants := v.requestGrants(part)
		err := v.removeGrants(ctx, entry, grants, func(tx *barrier.Tx) error {
			var err error
			for _, r := range part {
				err = errors.Join(err, tx.Delete(kindRequest, r.ID))
			}
			return err
		}, func() {
			for _, r := range part {
				delete(v.requests, r.ID)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// requestGrants are the grants that requests became and that are still there.
func (v *Vault) requestGrants(requests []Request) (grants []grant.Grant) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, r := range requests {
		if g := v.grants.byID[r.Grant]; g != nil {
			grants = append(grants, *g)
		}
	}
	return grants
}
