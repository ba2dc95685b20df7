// Package grant holds the rules: who asks, what is asked for and the grants go
// in, a decision with its reasons comes out. It is pure: it reads no clock, no
// store and no network, and the server's gate, the agent's check of each job
// and both ends' explain call the same functions.
package grant

import (
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

// Access says what a job gets.
type Access string

// The access types.
const (
	Use  Access = "use"  // it acts with the credential and is not given the value
	Read Access = "read" // it gets the value
)

// Grant says which hosts and jobs may use which credentials.
type Grant struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Credentials  []string `json:"credentials,omitempty"` // IDs
	Applications []string `json:"applications,omitempty"`
	Tags         []string `json:"tags,omitempty"`        // key=value; one that matches is enough
	Hosts        []string `json:"hosts,omitempty"`       // IDs
	HostLabels   []string `json:"host_labels,omitempty"` // key=value; one that matches is enough
	AnyHost      bool     `json:"any_host,omitempty"`
	Conditions
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
	Revision  uint64    `json:"revision"`
	// OwnerID is the person whose own credentials are all that it names, or was; empty: it names others.
	OwnerID string `json:"owner_id,omitempty"`
}

// Conditions is the part of a grant that travels with a lease: the agent holds
// every caller against it on every read.
type Conditions struct {
	Jobs
	Access  Access        `json:"access"`
	TTL     time.Duration `json:"ttl"`               // how long a lease lasts
	Offline time.Duration `json:"offline,omitempty"` // how long it is served without contact
	Until   time.Time     `json:"until,omitzero"`    // the grant's end; zero: none
}

// Empty tells whether a grant gives nothing, as one does that named only what is
// gone. It is not broad then: it names no credential.
func (g Grant) Empty() bool { return len(g.Credentials)+len(g.Applications)+len(g.Tags) == 0 }

// Person is somebody who signed in, with what the role and the token let them do.
type Person struct {
	ID, Name, Role string
	Permissions    Permissions
	// LockedUntil is when the person may touch their own credentials again, after
	// somebody else set their password or took the second factor away; zero: now.
	LockedUntil time.Time
	// Since is when the person was last made somebody else by others: the user was
	// made, got another role, or another password by somebody else.
	Since time.Time
}

// Can tells whether the person may do what p says.
func (p Person) Can(what Permission) bool { return p.Permissions.Has(what) }

// Host is an enrolled machine as the server knows it.
type Host struct {
	ID     string
	Name   string
	Labels map[string]string
}

// Caller is who stands before the gate: a person, or a job on a host.
type Caller struct {
	Person *Person
	Host   *Host
	Job    Job // with Host only; claimed by it
}

// Actor is how the caller stands in the log.
func (c Caller) Actor() string {
	switch {
	case c.Person != nil:
		return c.Person.Name
	case c.Host != nil:
		return "host:" + c.Host.ID
	}
	return "system"
}

// Decision is the answer to one question.
type Decision struct {
	Allowed bool
	Reason  string  // for people and the log; never holds a secret
	Grants  []Grant // those that allow it, by name
}

// The reasons of a refusal. The log, explain and tests quote them.
const (
	ReasonNoCredential = "there is no such credential"
	ReasonDisconnected = "this credential is disconnected"
	ReasonNoGrant      = "no grant names this credential"
	ReasonHost         = "no grant of this credential names this host"
	ReasonEnded        = "every grant of this credential for this host has ended"
	ReasonJob          = "no grant of this credential for this host names this job's user"
	ReasonUnit         = "no grant of this credential for this host and user names this job's unit"
	ReasonContainer    = "no grant of this credential for this host and user names this job's container"
	ReasonExe          = "no grant of this credential for this host and user names this job's executable"
	ReasonClaim        = "no grant of this credential for this host and user names a claim of this job"
	ReasonExeHash      = "no grant of this credential for this host and user names the SHA-256 of this job's executable"
	ReasonUse          = "the grants of this credential for this job allow use, not read"
	ReasonHostRevoked  = "this host is revoked"
	ReasonHostFrozen   = "this host is frozen: a replaced certificate of it was used again"
	ReasonHostUnknown  = "there is no such host"
)

// ForHost judges the host alone: which grants let it hold the credential at
// all. The conditions on jobs are the agent's to check (ForJob).
func ForHost(grants []Grant, c credential.Metadata, h Host, now time.Time) Decision {
	if !c.Disconnected.IsZero() {
		return Decision{Reason: ReasonDisconnected}
	}
	left := keep(grants, func(g Grant) bool { return g.Names(c) })
	if len(left) == 0 {
		return Decision{Reason: ReasonNoGrant}
	}
	left = keep(left, func(g Grant) bool { return g.Reaches(h) })
	if len(left) == 0 {
		return Decision{Reason: ReasonHost}
	}
	left = keep(left, func(g Grant) bool { return g.lasts(now) })
	if len(left) == 0 {
		return Decision{Reason: ReasonEnded}
	}
	slices.SortFunc(left, func(a, b Grant) int { return strings.Compare(a.Name, b.Name) })
	return Decision{Allowed: true, Reason: allowedBy(left), Grants: left}
}

// ForJob narrows the grants that let a host hold a credential to one job that
// wants the value.
func ForJob(grants []Grant, j Job) Decision {
	left := grants
	for _, kind := range kinds {
		if left = keep(left, func(g Grant) bool { return kind.met(g.Jobs, j) }); len(left) == 0 {
			return Decision{Reason: kind.reason}
		}
	}
	left = keep(left, func(g Grant) bool { return g.Access == Read })
	if len(left) == 0 {
		return Decision{Reason: ReasonUse}
	}
	return Decision{Allowed: true, Reason: allowedBy(left), Grants: left}
}

// Names tells whether a grant gives a credential to those whom it is for.
func (g Grant) Names(c credential.Metadata) bool {
	if slices.Contains(g.Credentials, c.ID) {
		return true
	}
	// Tags and applications never reach somebody's own credential.
	return c.Kind == credential.App &&
		(slices.Contains(g.Applications, c.Application) || overlaps(g.Tags, c.Tags))
}

// GainedByCredential returns the grants that name after and did not name before.
func GainedByCredential(grants []Grant, before, after credential.Metadata, now time.Time) []Grant {
	return keep(grants, func(g Grant) bool { return g.lasts(now) && g.Names(after) && !g.Names(before) })
}

// GainedByHost returns the grants that reach after and did not reach before.
func GainedByHost(grants []Grant, before, after Host, now time.Time) []Grant {
	return keep(grants, func(g Grant) bool { return g.lasts(now) && g.Reaches(after) && !g.Reaches(before) })
}

func (g Grant) lasts(now time.Time) bool { return g.Until.IsZero() || now.Before(g.Until) }

// Reaches tells whether a grant is for a host, whatever it gives there.
func (g Grant) Reaches(h Host) bool {
	return g.AnyHost || slices.Contains(g.Hosts, h.ID) || overlaps(g.HostLabels, h.Labels)
}

func overlaps(want []string, have map[string]string) bool {
	return slices.ContainsFunc(want, func(label string) bool {
		k, v, _ := strings.Cut(label, "=")
		got, ok := have[k]
		return ok && got == v
	})
}

func keep(grants []Grant, ok func(Grant) bool) []Grant {
	var left []Grant
	for _, g := range grants {
		if ok(g) {
			left = append(left, g)
		}
	}
	return left
}

func allowedBy(grants []Grant) string { return "allowed by grant " + grants[0].Name }
