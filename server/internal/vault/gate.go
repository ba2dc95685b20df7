package vault

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
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
// not know of the credential gets ErrNotFound. A job that the hash of its
// executable may yet let through gets grant.ErrHashWanted, and no entry.
func (v *Vault) Open(ctx context.Context, who grant.Caller, ref string) (*Opened, error) {
	c, known := v.find(ref)
	d, job := v.judgeHost(who, c, known)
	action := ActionRead
	if who.Person != nil {
		d = v.judgePerson(*who.Person, c, known)
		job, action = d, ActionReveal
	}
	if who.Host != nil && grant.WantsHash(d.Grants, who.Job) {
		return nil, grant.ErrHashWanted
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
		named, err := credential.ParseReference(ref)
		if err == nil && named.Owner != "" && who.Person != nil && job.Reason == grant.ReasonNoCredential {
			entry.Target = named.Owner + "/…" // alike, whether it is there or not
		}
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
	err := v.barrier.View(func(tx *barrier.Tx) error { return v.decrypt(tx, out) })
	if err == nil && who.Host != nil {
		out.Value.Withhold(v.fieldsOf(c))
		out.Value.Withhold(withheld(out.Version))
	}
	return out, err
}

// fieldsOf are the fields of an app credential; those of its auth type where the catalogue no longer has its application.
func (v *Vault) fieldsOf(c credential.Metadata) []credential.Field {
	if app, err := v.catalogue.Get(c.Application); err == nil {
		if fields, err := app.Fields(c.AuthType); err == nil {
			return fields
		}
	}
	return c.AuthType.Fields()
}

// Environment names, for each variable that the own tools of a credential's application read, the field that it takes, as
// the catalogue has it now.
func (v *Vault) Environment(c credential.Metadata) map[string]string {
	if c.Application == "" {
		return nil
	}
	app, err := v.catalogue.Get(c.Application)
	if err != nil {
		return nil
	}
	return app.Environment(c.AuthType)
}

// withheld are the fields of which the version itself says that they never leave the server.
func withheld(version credential.Version) (fields []credential.Field) {
	for _, name := range version.Withheld {
		fields = append(fields, credential.Field{Name: name, Secret: true, ServerOnly: true})
	}
	return fields
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

func (v *Vault) judgePerson(who grant.Person, c credential.Metadata, known bool) grant.Decision {
	if r, approved := v.revealRequest(who, c); known && approved {
		if until := v.LockedUntil(who); !until.IsZero() {
			return grant.Decision{Reason: requesterLocked(until)}
		}
		return grant.Decision{Allowed: true, Reason: fmt.Sprintf("request %d, approved by its owner", r.Number)}
	}
	if !known || !visible(who, c) {
		return grant.Decision{Reason: grant.ReasonNoCredential}
	}
	if err := v.allow(who, c, grant.CredentialReveal); err != nil {
		return grant.Decision{Reason: strings.TrimPrefix(err.Error(), ErrRefused.Error()+": ")}
	}
	if c.Kind == credential.Custom {
		return grant.Decision{Allowed: true, Reason: "its owner"}
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
	return grant.ForHost(v.grantsOf(c), c, h, v.now())
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

// Leasable lists what a host may hold, by name, with the grants behind it.
func (v *Vault) Leasable(h grant.Host) []Opened {
	v.mu.RLock()
	defer v.mu.RUnlock()
	// Grants that do not reach the host are no part of the decision.
	reaching := map[*credential.Metadata][]grant.Grant{}
	for _, g := range v.grants.byID {
		if !g.Reaches(h) {
			continue
		}
		alone := []grant.Grant{*g} // full, so that appending copies it
		for c := range v.named(g) {
			if by := reaching[c]; by == nil {
				reaching[c] = alone
			} else if by[len(by)-1].ID != g.ID { // it may name the credential in several ways
				reaching[c] = append(by, *g)
			}
		}
	}
	now := v.now()
	out := make([]Opened, 0, len(reaching))
	for c, grants := range reaching {
		if d := grant.ForHost(grants, *c, h, now); d.Allowed {
			out = append(out, Opened{Credential: *c, Grants: d.Grants})
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
