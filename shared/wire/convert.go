// Package wire is the agents' protocol: agent.proto, the code generated from
// it, and the conversion of the nouns that both ends share. Generated types end
// at the doors of the two rooms that speak the protocol, delivery and uplink.
package wire

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// MaxMessage is the largest message that either end accepts, in bytes.
const MaxMessage = 4 << 20

// MaxHeld is the most leases that an agent presents when it connects: more would not fit a request.
const MaxHeld = 2500

// MessageRevoked is the text that comes with PermissionDenied and with Wipe
// where the host itself is revoked, so that the agent can tell it from a refusal.
const MessageRevoked = "this host is revoked"

// MessageFrozen is the same where the host is frozen.
const MessageFrozen = "this host is frozen, since two machines have its identity: revoke it and enrol each anew"

// MessageHash is the same where a job is to be judged again with the hash of its
// executable: grant.ErrHashWanted.
const MessageHash = "the hash of the job's executable is wanted"

// FromJob converts a job for sending. A file may have any bytes in its name, and
// a message with text that is not UTF-8 would not be sent at all.
func FromJob(j grant.Job) *Job {
	return &Job{
		User: clip(text(j.User)), Uid: clip(text(j.UID)), Pid: j.PID, Unit: clip(text(j.Unit)),
		Container: clip(text(j.Container)), Exe: clip(text(j.Exe)), ExeSha256: clip(text(j.ExeSHA256)), Claims: clipAll(j.Claims),
	}
}

func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// ToJob converts a received job; a missing one is the zero job.
func ToJob(j *Job) grant.Job {
	return grant.Job{
		User: clip(j.GetUser()), UID: clip(j.GetUid()), PID: j.GetPid(), Unit: clip(j.GetUnit()),
		Container: clip(j.GetContainer()), Exe: clip(j.GetExe()), ExeSHA256: clip(j.GetExeSha256()), Claims: clipAll(j.GetClaims()),
	}
}

// FromGrants converts what grants allow for sending, with times left from now.
func FromGrants(grants []grant.Grant, now time.Time) []*Terms {
	out := make([]*Terms, len(grants))
	for i, g := range grants {
		ttl, offline := g.TTL, g.Offline
		if !g.Until.IsZero() {
			left := max(g.Until.Sub(now), 0)
			ttl = min(ttl, left)
			offline = min(offline, left)
		}
		out[i] = &Terms{
			Grant: g.Name, JobUsers: g.JobUsers, Access: string(g.Access),
			TtlMs: ttl.Milliseconds(), OfflineMs: offline.Milliseconds(),
			JobUnits: g.JobUnits, JobContainers: g.JobContainers, JobExes: g.JobExes, JobExeHashes: g.JobExeHashes, JobClaims: g.JobClaims,
		}
		if g.Jobs.Len() > len(g.JobUsers) {
			out[i].Access, out[i].NarrowedAccess = "", string(g.Access)
		}
	}
	return out
}

// ToGrants converts received terms into grants that grant.ForJob can judge.
func ToGrants(terms []*Terms) []grant.Grant {
	out := make([]grant.Grant, len(terms))
	for i, t := range terms {
		out[i] = grant.Grant{Name: t.GetGrant(), Conditions: grant.Conditions{
			Jobs: grant.Jobs{
				JobUsers: t.GetJobUsers(), JobUnits: t.GetJobUnits(), JobContainers: t.GetJobContainers(),
				JobExes: t.GetJobExes(), JobExeHashes: t.GetJobExeHashes(), JobClaims: t.GetJobClaims(),
			},
			Access:  grant.Access(cmp.Or(t.GetAccess(), t.GetNarrowedAccess())),
			TTL:     ToDuration(t.GetTtlMs()),
			Offline: ToDuration(t.GetOfflineMs()),
		}}
	}
	return out
}

// ToDuration converts a received number of milliseconds within what a Duration holds, since one that overflowed could
// be any time; less than none is none.
func ToDuration(ms int64) time.Duration {
	return time.Duration(max(0, min(ms, math.MaxInt64/int64(time.Millisecond)))) * time.Millisecond
}

// maxTemplate bounds the template of one variable, in bytes.
const maxTemplate = 1 << 10

// FromEnvironment converts what the catalogue says of an application's variables, the field that each takes, into
// templates for sending.
func FromEnvironment(fields map[string]string) map[string]string {
	out := make(map[string]string, len(fields))
	for variable, field := range fields {
		out[variable] = "{" + field + "}"
	}
	return out
}

// ToEnvironment takes received templates as they are, or none where they are out of bounds: the host does not keep
// whatever a server sends.
func ToEnvironment(templates map[string]string) (map[string]string, error) {
	if len(templates) > credential.MaxVariables {
		return nil, fmt.Errorf("the server sent %d variables of an application, at most %d are taken: is it of another version?",
			len(templates), credential.MaxVariables)
	}
	for variable, template := range templates {
		if len(variable) > credential.MaxName || len(template) > maxTemplate {
			return nil, fmt.Errorf("the server sent a variable of an application with more than %d bytes of name or %d of template: is it of another version?",
				credential.MaxName, maxTemplate)
		}
	}
	return templates, nil
}

// clip bounds what a host claims about a job before it reaches the log. What is
// cut off is not kept in memory either.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		s = strings.Clone(s[:most])
	}
	return text(s)
}

func clipAll(claims []string) []string {
	var out []string
	for _, claim := range claims[:min(len(claims), grant.MaxClaims)] {
		out = append(out, clip(text(claim)))
	}
	return out
}
