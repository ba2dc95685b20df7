package vault_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/grant"
)

func (g *mGrant) tagged(tags map[string]string) bool {
	return slices.ContainsFunc(g.tags, func(tag string) bool {
		k, v, _ := strings.Cut(tag, "=")
		return tags[k] == v && v != ""
	})
}

func (m *model) lasts(g *mGrant) bool { return g.until.IsZero() || m.now.Before(g.until) }

func (m *model) reaches(g *mGrant, host string, labels map[string]string) bool {
	return slices.Contains(g.hosts, host) || slices.ContainsFunc(g.labels, func(label string) bool {
		k, v, _ := strings.Cut(label, "=")
		return labels[k] == v && v != ""
	})
}

// label gives a host other labels: "ok" or "refused".
func (m *model) label(who, host string, labels map[string]string) string {
	for _, g := range m.grants {
		if m.lasts(g) && m.reaches(g, host, labels) && !m.reaches(g, host, m.hosts[host]) && !m.can(who, grant.GrantEdit) {
			return "refused"
		}
	}
	m.hosts[host] = labels
	return "ok"
}

// named finds what a grant is to name.
func (m *model) named(who string, refs, tags []string) (things []*mCredential, private, answer string) {
	if len(tags) > 0 && !m.can(who, grant.GrantEdit) {
		return nil, "", "refused"
	}
	for _, ref := range refs {
		_, c, answer := m.want(who, ref, grant.GrantEdit)
		if answer != "ok" {
			return nil, "", answer
		}
		things = append(things, c)
	}
	if len(tags) == 0 && len(things) > 0 && !slices.ContainsFunc(things, func(c *mCredential) bool { return !c.custom }) {
		private = who
	}
	return things, private, "ok"
}

func (m *model) addGrant(who, name string, refs []string, g mGrant) string {
	if len(refs)+len(g.tags) == 0 || len(g.hosts)+len(g.labels) == 0 {
		return "invalid"
	}
	things, private, answer := m.named(who, refs, g.tags)
	switch {
	case answer != "ok":
		return answer
	case m.grants[name] != nil:
		return "taken"
	}
	g.things, g.private, g.revision = things, private, 1
	m.grants[name] = &g
	return "ok"
}

// grantFor: whether somebody may change a grant.
func (m *model) grantFor(who, name string) string {
	g := m.grants[name]
	switch {
	case g == nil || !m.seesGrant(who, g) || g.private != "" && g.private != who:
		return "no grant"
	case g.private == who:
		if !m.can(who, grant.CredentialOwn) || m.locked(who) {
			return "refused"
		}
	case !m.can(who, grant.GrantEdit):
		return "refused"
	}
	return "ok"
}

func (m *model) editGrant(who, name string, refs []string, g mGrant, revision uint64) string {
	if answer := m.grantFor(who, name); answer != "ok" {
		return answer
	}
	old := m.grants[name]
	if revision != 0 && revision != old.revision {
		return "changed"
	}
	if len(refs)+len(g.tags) == 0 || len(g.hosts)+len(g.labels) == 0 {
		return "invalid"
	}
	things, private, answer := m.named(who, refs, g.tags)
	if answer != "ok" {
		return answer
	}
	for _, c := range old.things {
		if !m.sees(who, c) {
			return "refused" // it would get to other hosts
		}
	}
	g.things, g.private, g.revision, g.becauseRequest = things, private, old.revision+1, old.becauseRequest
	*old = g
	return "ok"
}

func (m *model) revokeGrant(who, name string) string {
	answer := m.grantFor(who, name)
	if answer == "ok" {
		delete(m.grants, name)
	}
	return answer
}

func (m *model) seesGrant(who string, g *mGrant) bool {
	if m.can(who, grant.AuditView) {
		return true
	}
	if g.private != "" {
		return g.private == who
	}
	some := len(g.things) == 0 || len(g.tags) > 0
	for _, c := range g.things {
		some = some || m.sees(who, c)
	}
	return some && (m.can(who, grant.GrantView) || m.can(who, grant.GrantEdit))
}

// stands is a request's status now.
func (m *model) stands(r *mRequest) string {
	switch {
	case r.status == "pending" && m.now.Sub(r.made) >= 7*24*time.Hour, r.status == "approved" && !m.now.Before(r.until):
		return "expired"
	}
	return r.status
}

func (m *model) makeRequest(who, ref, host string, use bool) string {
	_, c := m.find(ref)
	switch {
	case host == "" && use:
		return "invalid"
	case c != nil && c.custom && c.owner == who:
		return "invalid"
	case c == nil || !c.custom || !c.asked:
		return "not found"
	}
	m.requests = append(m.requests, &mRequest{number: len(m.requests) + 1, of: c, by: who, status: "pending", host: host, use: use, made: m.now})
	return "ok"
}

func (m *model) request(who string, number int) *mRequest {
	if number < 1 || number > len(m.requests) {
		return nil
	}
	if r := m.requests[number-1]; r.of != nil && (r.by == who || r.of.owner == who) {
		return r
	}
	return nil
}

// decide approves (until is not zero) or denies.
func (m *model) decide(who string, number int, until time.Time) string {
	r := m.request(who, number)
	switch {
	case r == nil:
		return "no request"
	case r.of.owner != who || !m.can(who, grant.CredentialOwn) || m.locked(who):
		return "refused"
	case m.stands(r) != "pending":
		return "invalid"
	case until.IsZero():
		r.status = "denied"
		return "ok"
	}
	r.status, r.until = "approved", until
	if r.host != "" {
		m.grants[fmt.Sprintf("request-%d", number)] = &mGrant{
			things: []*mCredential{r.of}, hosts: []string{r.host}, use: r.use, until: until, private: who, revision: 1, becauseRequest: number,
		}
	}
	return "ok"
}

func (m *model) revokeRequest(who string, number int) string {
	r := m.request(who, number)
	if r == nil {
		return "no request"
	}
	if s := m.stands(r); s != "pending" && s != "approved" {
		return "invalid"
	}
	r.status = "revoked"
	maps.DeleteFunc(m.grants, func(_ string, g *mGrant) bool { return g.becauseRequest == number })
	return "ok"
}

// reveals says whether somebody is shown the value: "ok", "not found" or "refused".
func (m *model) reveals(who, ref string) string {
	_, c := m.find(ref)
	for _, r := range m.requests {
		if c != nil && r.of == c && r.by == who && r.host == "" && m.stands(r) == "approved" {
			if m.locked(who) {
				return "refused"
			}
			return "ok"
		}
	}
	_, _, answer := m.want(who, ref, grant.CredentialReveal)
	return answer
}

// explain is the answer to a job of the user etl, as somebody is told it.
func (m *model) explain(who, host, ref string) string {
	_, c := m.find(ref)
	if c == nil || !m.sees(who, c) {
		return "there is no such credential"
	}
	return m.job(host, c)
}

func (m *model) job(host string, c *mCredential) string {
	if c.cut {
		return "this credential is disconnected"
	}
	named, here, lasting, ours, reading := 0, 0, 0, 0, []string{}
	for name, g := range m.grants {
		if !slices.Contains(g.things, c) && (c.custom || !g.tagged(c.tags)) {
			continue
		}
		named++
		if !m.reaches(g, host, m.hosts[host]) {
			continue
		}
		here++
		if !m.lasts(g) {
			continue
		}
		lasting++
		if len(g.users) > 0 && !slices.Contains(g.users, "etl") {
			continue
		}
		ours++
		if !g.use {
			reading = append(reading, name)
		}
	}
	switch {
	case named == 0:
		return "no grant names this credential"
	case here == 0:
		return "no grant of this credential names this host"
	case lasting == 0:
		return "every grant of this credential for this host has ended"
	case ours == 0:
		return "no grant of this credential for this host names this job's user"
	case len(reading) == 0:
		return "the grants of this credential for this job allow use, not read"
	}
	return "allowed by grant " + slices.Min(reading)
}
