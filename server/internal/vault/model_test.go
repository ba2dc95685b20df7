package vault_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/grant"
)

// model is the vault as people see it, written down a second time with maps and plain rules, so that the two can be
// held against each other. Its answers are words: "ok", or the kind of refusal.
type model struct {
	now         time.Time
	zone        string                  // what applications have for an absent zone
	credentials map[string]*mCredential // by name
	grants      map[string]*mGrant
	requests    []*mRequest // by number, from 1
	transfers   []mTransfer
	hosts       map[string]map[string]string // labels
	people      map[string]*mPerson
}

type mPerson struct {
	can   []grant.Permission
	reset time.Time
}

type mCredential struct {
	custom                bool
	app, owner            string
	tokens, zones         []string // of each version
	end                   time.Time
	tags                  map[string]string
	isDefault, cut, asked bool
	revision              uint64
}

// mSaid is what a change says beside a secret: a plain field, which an empty text takes away, and an end, or none.
type mSaid struct {
	zone *string
	end  *time.Time
}

type mGrant struct {
	things         []*mCredential
	tags           []string
	hosts, labels  []string
	users          []string
	use            bool
	until          time.Time
	private        string // whose credentials alone it named
	revision       uint64
	becauseRequest int
}

type mRequest struct {
	number           int
	of               *mCredential
	by, status, host string
	use              bool
	made, until      time.Time
}

type mTransfer struct {
	ref, to, by string
	at          time.Time
}

func (m *model) can(who string, p grant.Permission) bool {
	return slices.Contains(m.people[who].can, p)
}

func (m *model) locked(who string) bool {
	reset := m.people[who].reset
	return !reset.IsZero() && m.now.Before(reset.Add(24*time.Hour))
}

func (m *model) sees(who string, c *mCredential) bool {
	if c.custom {
		return c.owner == who && m.can(who, grant.CredentialOwn)
	}
	return m.can(who, grant.CredentialView)
}

func (m *model) find(ref string) (string, *mCredential) {
	if app, ok := strings.CutPrefix(ref, "app:"); ok {
		for name, c := range m.credentials {
			if c.isDefault && c.app == app {
				return name, c
			}
		}
		return "", nil
	}
	return ref, m.credentials[ref]
}

// want says whether somebody may do something to a credential: "ok", "not found" or "refused".
func (m *model) want(who, ref string, p grant.Permission) (string, *mCredential, string) {
	name, c := m.find(ref)
	switch {
	case c == nil || !m.sees(who, c):
		return "", nil, "not found"
	case c.custom && (!m.can(who, grant.CredentialOwn) || m.locked(who)), !c.custom && !m.can(who, p):
		return name, c, "refused"
	}
	return name, c, "ok"
}

func (m *model) takeDefault(c *mCredential) {
	for _, other := range m.credentials {
		if other != c && other.isDefault && other.app == c.app {
			other.isDefault = false
			other.revision++
		}
	}
	c.isDefault = true
}

// next makes the next version. The application two says how long its secrets last.
func (m *model) next(c *mCredential, token string, said mSaid) {
	set, zone := token != "", ""
	if n := len(c.tokens); n > 0 {
		zone = c.zones[n-1]
		if !set {
			token = c.tokens[n-1]
		}
	}
	if said.zone != nil {
		zone = *said.zone
	}
	if zone == "" && !c.custom {
		zone = m.zone
	}
	c.tokens, c.zones, c.cut = append(slices.Clone(c.tokens), token), append(slices.Clone(c.zones), zone), false
	if set && said.end == nil && c.app == "two" {
		c.end = m.now.Add(30 * 24 * time.Hour)
	}
}

func (m *model) add(who, name, app, token string, tags map[string]string, isDefault, requestable bool, said mSaid) string {
	owner, _, custom := strings.Cut(name, "/")
	c := &mCredential{custom: custom, app: app, owner: who, tags: tags, revision: 1}
	if m.next(c, token, said); said.end != nil {
		c.end = *said.end
	}
	switch {
	case custom && owner != who:
		return "invalid"
	case custom && (!m.can(who, grant.CredentialOwn) || m.locked(who)), !custom && !m.can(who, grant.CredentialCreate):
		return "refused"
	case custom && isDefault, !custom && requestable:
		return "invalid"
	case (isDefault || m.widened(c, nil, tags)) && !m.can(who, grant.GrantEdit):
		return "refused"
	case m.credentials[name] != nil:
		return "taken"
	}
	if c.asked = requestable; isDefault {
		m.takeDefault(c)
	}
	m.credentials[name] = c
	return "ok"
}

// widened says whether a grant reaches a credential by its tags that did not.
func (m *model) widened(c *mCredential, before, after map[string]string) bool {
	for _, g := range m.grants {
		if m.lasts(g) && !c.custom && g.tagged(after) && !g.tagged(before) && !slices.Contains(g.things, c) {
			return true
		}
	}
	return false
}

// change sets what is not nil, or "" of a token.
func (m *model) change(who, ref, token string, tags map[string]string, isDefault, requestable *bool, revision uint64, said mSaid) string {
	_, c, answer := m.want(who, ref, grant.CredentialEdit)
	if answer != "ok" {
		return answer
	}
	after := *c
	after.tags = maps.Clone(c.tags)
	if after.tags == nil {
		after.tags = map[string]string{}
	}
	for k, v := range tags {
		if after.tags[k] = v; v == "" {
			delete(after.tags, k)
		}
	}
	if isDefault != nil {
		after.isDefault = *isDefault
	}
	if requestable != nil {
		after.asked = *requestable
	}
	widens := m.widened(c, c.tags, after.tags)
	switch {
	case revision != 0 && revision != c.revision:
		return "changed"
	case c.custom && after.isDefault, !c.custom && after.asked:
		return "invalid"
	case widens && !m.can(who, grant.GrantEdit):
		return "refused"
	case after.isDefault && !c.isDefault && !m.can(who, grant.GrantEdit):
		return "refused"
	}
	takes := after.isDefault && !c.isDefault
	if token != "" || said.zone != nil {
		m.next(&after, token, said)
	}
	if said.end != nil {
		after.end = *said.end
	}
	after.revision++
	if *c = after; takes {
		m.takeDefault(c)
	}
	return "ok"
}

func (m *model) rollback(who, ref string, to int, revision uint64) string {
	_, c, answer := m.want(who, ref, grant.CredentialEdit)
	switch {
	case answer != "ok":
		return answer
	case revision != 0 && revision != c.revision:
		return "changed"
	case to < max(1, len(c.tokens)-49) || to >= len(c.tokens):
		return "invalid"
	}
	c.tokens, c.zones = append(c.tokens, c.tokens[to-1]), append(c.zones, c.zones[to-1])
	c.revision++
	return "ok"
}

func (m *model) cut(who, ref string, cut bool, revision uint64) string {
	_, c, answer := m.want(who, ref, grant.CredentialEdit)
	switch {
	case answer != "ok":
		return answer
	case revision != 0 && revision != c.revision:
		return "changed"
	}
	if c.cut != cut {
		c.cut = cut
		c.revision++
	}
	return "ok"
}

func (m *model) remove(who, ref string, revision uint64) string {
	name, c, answer := m.want(who, ref, grant.CredentialDelete)
	switch {
	case answer != "ok":
		return answer
	case revision != 0 && revision != c.revision:
		return "changed"
	}
	delete(m.credentials, name)
	m.forget(c)
	m.transfers = slices.DeleteFunc(m.transfers, func(t mTransfer) bool { return t.ref == name })
	return "ok"
}

// forget ends what speaks of a credential.
func (m *model) forget(c *mCredential) {
	for name, g := range m.grants {
		if slices.Contains(g.things, c) {
			if g.becauseRequest > 0 {
				delete(m.grants, name)
				continue
			}
			g.things = slices.DeleteFunc(slices.Clone(g.things), func(other *mCredential) bool { return other == c })
			g.revision++
		}
	}
	for _, r := range m.requests {
		if r.of == c {
			r.of = nil
		}
	}
}

func (m *model) transfer(who, ref, to string, ownerGone bool) string {
	name, c, answer := m.want(who, ref, grant.CredentialEdit)
	_, _, written := strings.Cut(ref, "/")
	switch {
	case answer == "ok":
		return m.handOver(name, c, to)
	case answer == "refused" || !written || !m.can(who, grant.UserEdit):
		return answer
	}
	alone := true
	for _, t := range m.transfers {
		if t.ref == ref && t.to == to && m.now.Sub(t.at) < 24*time.Hour {
			alone = alone && t.by == who
		}
	}
	if alone {
		m.transfers = append(m.transfers, mTransfer{ref, to, who, m.now})
		return "waiting"
	}
	if name, c = m.find(ref); c == nil || !ownerGone {
		return "not found"
	}
	if answer = m.handOver(name, c, to); answer == "ok" {
		m.transfers = slices.DeleteFunc(m.transfers, func(t mTransfer) bool { return t.ref == ref && t.to == to })
	}
	return answer
}

func (m *model) handOver(name string, c *mCredential, to string) string {
	if c.custom {
		_, base, _ := strings.Cut(name, "/")
		next := to + "/" + base
		for n := 2; next != name && m.credentials[next] != nil; n++ {
			next = fmt.Sprintf("%s/%s-%d", to, base, n)
		}
		delete(m.credentials, name)
		m.credentials[next] = c
		c.asked = false
		m.forget(c)
	}
	c.owner = to
	c.revision++
	return "ok"
}
