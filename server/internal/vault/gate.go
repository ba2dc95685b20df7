package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// What a value is wanted for, as the log's action.
const (
	ActionRead   = "credential.read"   // a job on a host
	ActionReveal = "credential.reveal" // a person's own eyes
)

// Opened is a value outside the vault. Whoever has it wipes it.
type Opened struct {
	Credential credential.Metadata
	Version    credential.Version
	Value      credential.Value
	Grants     []grant.Grant // that let the host hold it
}

// Open is the gate: the one method that gives out plaintext, to a person's eyes
// or to a job on a host, as the caller is one or the other. It decides by the
// rules, writes the entry durably, and only then decrypts into locked memory. A
// refusal is logged with its reason and returned as ErrRefused; a person who may
// not know of the credential gets ErrNotFound.
func (v *Vault) Open(ctx context.Context, who grant.Caller, ref string) (*Opened, error) {
	c, known := v.find(ref)
	d, job := v.judgeHost(who, c, known)
	action := ActionRead
	if who.Person != nil {
		d = judgePerson(*who.Person, c, known)
		job, action = d, ActionReveal
	}
	entry := audit.Entry{
		Actor: who.Actor(), Action: action, Target: targetOf(ref, c, known),
		Outcome: audit.Allowed, Reason: job.Reason,
	}
	if who.Host != nil {
		entry.Host, entry.Job = who.Host.ID, who.Job.String()
	}
	if !job.Allowed {
		entry.Outcome = audit.Refused
		if _, err := v.log.Append(ctx, entry); err != nil {
			return nil, err
		}
		if who.Person != nil && job.Reason == grant.ReasonNoCredential {
			return nil, ErrNotFound
		}
		return nil, fmt.Errorf("%w: %s", ErrRefused, job.Reason)
	}
	if _, err := v.log.Append(ctx, entry); err != nil {
		return nil, err
	}
	out := &Opened{Credential: c, Grants: d.Grants}
	return out, v.barrier.View(func(tx *barrier.Tx) error { return v.decrypt(tx, out) })
}

func (v *Vault) decrypt(tx *barrier.Tx, out *Opened) error {
	var err error
	id := versionID(out.Credential.ID, out.Credential.Version)
	if out.Version, err = getVersion(tx, out.Credential.ID, out.Credential.Version); err != nil {
		return err
	}
	encoded, err := tx.GetSecret(kindValue, id)
	if err != nil {
		return err
	}
	defer encoded.Wipe()
	out.Value, err = credential.DecodeValue(v.arena, encoded)
	return err
}

func judgePerson(who grant.Person, c credential.Metadata, known bool) grant.Decision {
	switch {
	case !known, !visible(who, c):
		return grant.Decision{Reason: grant.ReasonNoCredential}
	case c.Kind == credential.Custom:
		return grant.Decision{Allowed: true, Reason: "its owner"}
	case who.Role != people.RoleAdmin:
		return grant.Decision{Reason: "the role " + who.Role + " may not reveal values"}
	}
	return grant.Decision{Allowed: true, Reason: "role " + who.Role}
}

// judgeHost gives the decision for the host, which says what it may hold, and
// for the job that asks.
func (v *Vault) judgeHost(who grant.Caller, c credential.Metadata, known bool) (host, job grant.Decision) {
	if who.Host == nil || !known {
		d := grant.Decision{Reason: grant.ReasonNoCredential}
		return d, d
	}
	if host = v.Permits(*who.Host, c); !host.Allowed {
		return host, host
	}
	return host, grant.ForJob(host.Grants, who.Job)
}

// Permits says which grants let a host hold a credential.
func (v *Vault) Permits(h grant.Host, c credential.Metadata) grant.Decision {
	return grant.ForHost(v.allGrants(), c, h, v.now())
}

// Explain gives the gate's own answer for a job on a host and changes nothing.
// A custom credential is explained to its owner alone.
func (v *Vault) Explain(who grant.Person, h grant.Host, ref string, j grant.Job) grant.Decision {
	c, ok := v.find(ref)
	if ok && !visible(who, c) {
		ok = false
	}
	_, d := v.judgeHost(grant.Caller{Host: &h, Job: j}, c, ok)
	return d
}

// Get returns what is known of a credential by its ID, for the rooms above that
// hold leases of it.
func (v *Vault) Get(id string) (credential.Metadata, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	c, ok := v.credentials[id]
	return c, ok
}

// Leasable lists what a host may hold, by name, with the grants behind it.
func (v *Vault) Leasable(h grant.Host) []Opened {
	v.mu.RLock()
	all := make([]credential.Metadata, 0, len(v.credentials))
	for _, c := range v.credentials {
		all = append(all, c)
	}
	v.mu.RUnlock()
	grants := v.allGrants()
	var out []Opened
	for _, c := range all {
		if d := grant.ForHost(grants, c, h, v.now()); d.Allowed {
			out = append(out, Opened{Credential: c, Grants: d.Grants})
		}
	}
	slices.SortFunc(out, func(a, b Opened) int { return strings.Compare(a.Credential.Name, b.Credential.Name) })
	return out
}

// targetOf keeps a custom credential's name out of everybody's log, and a
// reference that names nothing out of it altogether unless it is well formed:
// it may be a secret in the wrong place.
func targetOf(ref string, c credential.Metadata, known bool) string {
	if known && c.Kind == credential.Custom {
		return c.ID
	}
	if known {
		return c.Name
	}
	if _, err := credential.ParseReference(ref); err != nil {
		return "not a reference"
	}
	return ref
}
