package vault

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// What the log says of a change is for people who may not see what was changed: no value is in it, a custom credential
// stands there by its ID, and of its variables and tags their number.

// changeText is what became of a credential. given is what a value was given for.
func changeText(before, c credential.Metadata, given []string, next *written) string {
	created := before.Version == 0
	var parts []string
	if created && c.Kind == credential.App {
		parts = append(parts, c.Application+" "+string(c.AuthType))
	}
	if next != nil {
		parts = append(parts, fmt.Sprintf("version %d", next.Number))
	}
	if c.Kind == credential.Custom && len(given) > 0 {
		given = []string{fmt.Sprintf("%d of its variables", len(given))}
	}
	if before.Description != c.Description || !maps.Equal(before.Describe, c.Describe) {
		given = append(given, "description")
	}
	switch {
	case len(given) > 0 && created:
		parts = append(parts, "with "+audit.List(given))
	case len(given) > 0:
		parts = append(parts, "changed "+audit.List(given))
	}
	switch keys := tagKeys(before.Tags, c.Tags); {
	case len(keys) > 0 && c.Kind == credential.Custom:
		parts = append(parts, fmt.Sprintf("%d of its tags", len(keys)))
	case len(keys) > 0:
		parts = append(parts, "tags "+audit.List(keys))
	}
	if !before.Expires.Equal(c.Expires) {
		parts = append(parts, "expires "+timeText(c.Expires))
	}
	for _, flag := range []struct {
		before, after bool
		yes, no       string
	}{
		{before.Default, c.Default, "the default of " + c.Application, "no longer the default of " + c.Application},
		{before.Requestable, c.Requestable, "requestable", "no longer requestable"},
		{!before.Disconnected.IsZero(), !c.Disconnected.IsZero(), "given to nobody", "connected again"},
	} {
		switch {
		case flag.after && !flag.before:
			parts = append(parts, flag.yes)
		case flag.before && !flag.after:
			parts = append(parts, flag.no)
		}
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, "; ")
}

// given are the names of the fields or variables that a change gives a value, or has the vault make one for.
func (ch Change) given() []string {
	names := slices.Concat(slices.Collect(maps.Keys(ch.Fields)), ch.Value.Names(), ch.Generate)
	slices.Sort(names)
	return slices.Compact(names)
}

// tagKeys are those of the tags that a change sets, and with a minus of those that it takes away.
func tagKeys(before, after map[string]string) (keys []string) {
	for key, text := range after {
		if old, there := before[key]; !there || old != text {
			keys = append(keys, key)
		}
	}
	for key := range before {
		if _, there := after[key]; !there {
			keys = append(keys, "-"+key)
		}
	}
	slices.Sort(keys)
	return keys
}

func timeText(at time.Time) string {
	if at.IsZero() {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}

// grantEntry has all that a grant gives: once it is revoked, nothing else tells.
func (v *Vault) grantEntry(who grant.Person, action string, g grant.Grant) audit.Entry {
	return audit.Entry{Actor: who.Name, Action: action, Target: g.Name, Reason: v.grantText(g)}
}

func (v *Vault) grantText(g grant.Grant) string {
	var names []string
	for _, id := range g.Credentials {
		c, known := v.Get(id)
		if !known {
			c.Name = id
		}
		names = append(names, targetOf(c.Name, c, true))
	}
	credentials := "credentials"
	if g.OwnerID != "" { // whose own it is says the actor: others may have the name as well
		credentials = "own credentials"
	}
	parts := lists(named{credentials, names}, named{"applications", g.Applications}, named{"tags", g.Tags})
	if len(parts) == 0 {
		parts = append(parts, "no credentials")
	}
	if g.AnyHost {
		parts = append(parts, "any host")
	}
	parts = append(parts, lists(named{"hosts", g.Hosts}, named{"host labels", g.HostLabels})...)
	parts = append(parts, jobsText(g.Jobs)...)
	parts = append(parts, fmt.Sprintf("access %s; leases of %s", g.Access, g.TTL))
	if g.Offline > 0 {
		parts = append(parts, fmt.Sprintf("%s offline", g.Offline))
	}
	return strings.Join(append(parts, "ends "+timeText(g.Until)), "; ")
}

func jobsText(j grant.Jobs) []string {
	parts := lists(
		named{"job users", j.JobUsers}, named{"job units", j.JobUnits}, named{"job containers", j.JobContainers},
		named{"job exes", j.JobExes}, named{"job exe hashes", j.JobExeHashes}, named{"job claims", j.JobClaims},
	)
	if len(parts) == 0 {
		return []string{"any job"}
	}
	return parts
}

// requestEntry names the credential by its ID. The requester's own words are not in it: they are for the owner, and may
// well say what the credential is called.
func requestEntry(actor, action string, r Request) audit.Entry {
	parts := []string{fmt.Sprintf("request %d of %s, access %s", r.Number, r.Requester, r.Access)}
	if r.Host != "" {
		parts = append(parts, jobsText(r.Jobs)...)
	}
	if !r.Until.IsZero() {
		parts = append(parts, "ends "+timeText(r.Until))
	}
	return audit.Entry{Actor: actor, Action: action, Target: r.Credential, Host: r.Host, Reason: strings.Join(parts, "; ")}
}

func dropText(requests []Request) string {
	var numbers []string
	for _, r := range requests {
		numbers = append(numbers, fmt.Sprint(r.Number))
	}
	return "the credential was deleted or handed over; requests " + audit.List(numbers)
}

func pruneText(grants []grant.Grant) string {
	var names []string
	for _, g := range grants {
		names = append(names, g.Name)
	}
	return "the credential was deleted or handed over; grants " + audit.List(names)
}

// named is one of the lists of an entry.
type named struct {
	what  string
	names []string
}

// lists says of each list that has something what is in it.
func lists(all ...named) (parts []string) {
	for _, one := range all {
		if len(one.names) > 0 {
			parts = append(parts, one.what+" "+audit.List(one.names))
		}
	}
	return parts
}
