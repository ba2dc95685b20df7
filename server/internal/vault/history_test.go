package vault_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

var (
	historySeed  = flag.Uint64("history.seed", 0, "do the history of this seed instead")
	historySteps = flag.Int("history.steps", 1000, "the steps of each history")
)

// TestHistories does at random what people do and holds every answer against the model's, for several people, also
// after the vault was opened again. The three histories are the same each time, so that where the model is wrong does not
// come up in somebody else's change; make fuzz does others, and -history.seed one of them again.
func TestHistories(t *testing.T) {
	t.Parallel()
	seeds := []uint64{1, 2, 3}
	if *historySeed != 0 {
		seeds = []uint64{*historySeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, seed)
			for step := range *historySteps {
				what, got, want := h.step()
				if h.done[got]++; got != want {
					t.Fatalf("step %d of -history.seed=%d, %s: %s, the model says %s", step, seed, what, got, want)
				}
				if difference := h.compare(); difference != "" {
					t.Fatalf("after step %d of -history.seed=%d, %s (%s): %s", step, seed, what, got, difference)
				}
			}
			// The fixed histories are worth telling: every kind of answer is among them.
			for _, answer := range []string{"ok", "not found", "refused", "changed", "taken", "invalid", "no grant", "no request", "waiting"} {
				if h.done[answer] == 0 && seed <= 2 && *historySteps >= 1000 {
					t.Errorf("-history.seed=%d: nothing was answered with %s", seed, answer)
				}
			}
			t.Logf("answers: %v", h.done)
		})
	}
}

type history struct {
	*fixture
	*model
	random    *rand.Rand
	catalogue map[string]*catalogue.Catalogue // by the default of the field zone
	done      map[string]int
	tokens    int
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	h := &history{fixture: open(t), random: rand.New(rand.NewPCG(seed, seed)), done: map[string]int{}, catalogue: map[string]*catalogue.Catalogue{}}
	for _, zone := range zones {
		files := fstest.MapFS{}
		for app, days := range map[string]int{"one": 0, "two": 30} {
			files["applications/"+app+".yaml"] = &fstest.MapFile{Data: fmt.Appendf(nil, "name: %s\ntitle: T\ncategory: test\n"+
				"auth_types: [{type: access_token, expires_days: %d}]\nfields: [{name: zone, help: a zone, default: %s}]\n", app, days, zone)}
		}
		var err error
		if h.catalogue[zone], err = catalogue.Load(files); err != nil {
			t.Fatal(err)
		}
	}
	h.model = &model{
		now: h.clock.At, zone: zones[0], credentials: map[string]*mCredential{}, grants: map[string]*mGrant{},
		hosts: map[string]map[string]string{"h1": {}, "h2": {}},
		people: map[string]*mPerson{
			"admin": {can: []grant.Permission{grant.CredentialView, grant.CredentialCreate, grant.CredentialEdit, grant.CredentialDelete,
				grant.CredentialReveal, grant.CredentialOwn, grant.RequestMake, grant.GrantView, grant.GrantEdit, grant.UserEdit, grant.AuditView}},
			"second":  {can: []grant.Permission{grant.UserEdit, grant.CredentialOwn, grant.CredentialView}},
			"manager": {can: []grant.Permission{grant.CredentialView, grant.CredentialCreate, grant.CredentialEdit, grant.CredentialDelete, grant.CredentialOwn}},
			"dev":     {can: []grant.Permission{grant.CredentialView, grant.CredentialOwn, grant.RequestMake, grant.GrantView}},
			"auditor": {can: []grant.Permission{grant.CredentialView, grant.GrantView, grant.AuditView}},
		},
	}
	h.openAgain()
	return h
}

func (h *history) openAgain() {
	h.t.Helper()
	var err error
	if h.settings, err = setting.Open(h.Barrier, h.Log); err == nil {
		h.Vault, err = vault.Open(h.Barrier, h.Log, h.Arena, h.catalogue[h.model.zone], h.settings, h.clock.Now)
	}
	if err == nil {
		err = h.Tidy(h.t.Context())
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

var (
	apps    = []string{"one", "two"}
	zones   = []string{"north", "south"}
	persons = []string{"admin", "second", "manager", "dev", "auditor"}
	names   = []string{"a", "b", "c", "admin/x", "admin/y", "dev/x", "dev/y", "second/x"}
	refs    = append([]string{"app:one", "app:two"}, names...)
	grantsN = []string{"g1", "g2", "g3", "g4"}
	labels  = []string{"env=prod", "env=test", "role=etl"}
	hosts   = []string{"h1", "h2"}
)

func (h *history) person(name string) grant.Person {
	p := h.people[name]
	locked := time.Time{}
	if !p.reset.IsZero() {
		locked = p.reset.Add(24 * time.Hour)
	}
	return grant.Person{ID: "id-" + name, Name: name, Permissions: grant.PermissionsOf(p.can...), LockedUntil: locked}
}

func pick[T any](h *history, from []T) T { return from[h.random.IntN(len(from))] }

func (h *history) chance(percent int) bool { return h.random.IntN(100) < percent }

func some[T any](h *history, from []T) (out []T) {
	for h.chance(50) {
		out = append(out, pick(h, from))
	}
	return out
}

// own is somebody, and more often than not what is theirs.
func (h *history) ownRef(who string) string {
	if who == "dev" && h.chance(60) || who == "admin" && h.chance(20) {
		return who + "/" + pick(h, []string{"x", "y"})
	}
	return pick(h, refs)
}

func (h *history) revisionOf(ref string) uint64 {
	_, c := h.model.find(ref)
	switch {
	case c == nil || h.chance(40):
		return 0
	case h.chance(75):
		return c.revision
	}
	return c.revision + 1 - uint64(2*h.random.IntN(2)) // stale, or of a time to come; 0 is none
}

func (h *history) tags() map[string]string {
	tags := map[string]string{}
	for _, label := range some(h, labels) {
		k, v, _ := strings.Cut(label, "=")
		tags[k] = v
	}
	return tags
}

func (h *history) maybe() *bool {
	if h.chance(70) {
		return nil
	}
	yes := h.chance(60)
	return &yes
}

// said is what a change says beside a secret, and how the vault is told.
func (h *history) said() (said mSaid, fields map[string]string) {
	if h.chance(50) {
		zone := pick(h, []string{"", "east", zones[0]})
		said.zone, fields = &zone, map[string]string{"zone": zone}
	}
	if h.chance(40) {
		end := pick(h, []time.Time{{}, h.now.Add(100 * time.Hour)})
		said.end = &end
	}
	return said, fields
}

func (h *history) token() string {
	h.tokens++
	return fmt.Sprintf("token-%d", h.tokens)
}

// answer puts an error into the model's words.
func (h *history) answer(err error) string {
	for _, known := range []struct {
		is   error
		word string
	}{{nil, "ok"}, {vault.ErrNotFound, "not found"}, {vault.ErrRefused, "refused"}, {vault.ErrChanged, "changed"}, {vault.ErrTaken, "taken"},
		{vault.ErrNoGrant, "no grant"}, {vault.ErrNoRequest, "no request"}, {credential.ErrInvalid, "invalid"}} {
		if errors.Is(err, known.is) {
			return known.word
		}
	}
	h.t.Fatalf("an error of no kind: %v", err)
	return ""
}

// compare holds all that anybody sees against the model. It returns the first difference.
func (h *history) compare() string {
	for _, who := range persons {
		for what, pair := range map[string][2]string{
			"credentials": {h.seenCredentials(who), h.modelCredentials(who)},
			"grants":      {h.seenGrants(who), h.modelGrants(who)},
			"requests":    {h.seenRequests(who), h.modelRequests(who)},
			"answers":     {h.seenAnswers(who), h.modelAnswers(who)},
		} {
			if pair[0] != pair[1] {
				return fmt.Sprintf("%s sees other %s:\n%s\nthe model has\n%s", who, what, pair[0], pair[1])
			}
		}
	}
	for _, host := range hosts {
		var got, want []string
		for _, o := range h.Leasable(grant.Host{ID: host, Labels: h.model.hosts[host]}) {
			got = append(got, o.Credential.Name)
		}
		for _, name := range slices.Sorted(maps.Keys(h.model.credentials)) {
			// What a host may hold is not yet for this job.
			if why := h.job(host, h.model.credentials[name]); strings.HasPrefix(why, "allowed") || strings.Contains(why, "job") {
				want = append(want, name)
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Sprintf("%s may have %v, the model says %v", host, got, want)
		}
	}
	return ""
}

func (h *history) seenCredentials(who string) string {
	var out strings.Builder
	for _, c := range h.list(h.person(who), vault.Filter{}) {
		fmt.Fprintln(&out, c.Name, c.Application, c.Owner, c.Version, c.Revision, c.Tags, c.Default, c.Requestable, !c.Disconnected.IsZero(), c.Expires.Unix())
	}
	for _, label := range labels {
		for _, c := range h.list(h.person(who), vault.Filter{Tag: label, After: "b"}) {
			fmt.Fprintln(&out, label, c.Name)
		}
	}
	return out.String()
}

func (h *history) modelCredentials(who string) string {
	var out strings.Builder
	seen := func(do func(name string, c *mCredential)) {
		for _, name := range slices.Sorted(maps.Keys(h.model.credentials)) {
			if c := h.model.credentials[name]; h.sees(who, c) {
				do(name, c)
			}
		}
	}
	seen(func(name string, c *mCredential) {
		fmt.Fprintln(&out, name, c.app, c.owner, len(c.tokens), c.revision, c.tags, c.isDefault, c.asked, c.cut, c.end.Unix())
	})
	for _, label := range labels {
		k, v, _ := strings.Cut(label, "=")
		seen(func(name string, c *mCredential) {
			if c.tags[k] == v && name > "b" {
				fmt.Fprintln(&out, label, name)
			}
		})
	}
	return out.String()
}

func (h *history) seenGrants(who string) string {
	var out strings.Builder
	for _, g := range h.Grants(h.person(who)) {
		slices.Sort(g.Credentials)
		g.Credentials = slices.DeleteFunc(g.Credentials, func(name string) bool { return len(name) == 26 }) // an ID, to the auditor
		fmt.Fprintln(&out, g.Name, g.Credentials, g.Tags, g.Hosts, g.HostLabels, g.Revision)
	}
	return out.String()
}

func (h *history) modelGrants(who string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(h.model.grants)) {
		g := h.model.grants[name]
		if !h.seesGrant(who, g) {
			continue
		}
		things := []string{}
		for credentialName, c := range h.model.credentials {
			for _, thing := range g.things {
				if thing == c && h.sees(who, c) {
					things = append(things, credentialName)
				}
			}
		}
		slices.Sort(things)
		fmt.Fprintln(&out, name, things, g.tags, g.hosts, g.labels, g.revision)
	}
	return out.String()
}

func (h *history) seenRequests(who string) string {
	var out strings.Builder
	for _, r := range h.Requests(h.person(who)) {
		fmt.Fprintln(&out, r.Number, r.Name, r.Requester, r.Status, r.Host)
	}
	return out.String()
}

func (h *history) modelRequests(who string) string {
	var out strings.Builder
	for _, r := range slices.Backward(h.model.requests) {
		if h.request(who, r.number) == nil || h.now.Sub(h.endOf(r)) > 90*24*time.Hour {
			continue
		}
		for name, c := range h.model.credentials {
			if c == r.of {
				fmt.Fprintln(&out, r.number, name, r.by, h.stands(r), r.host)
			}
		}
	}
	return out.String()
}

func (h *history) endOf(r *mRequest) time.Time {
	if r.status == "approved" {
		return r.until
	}
	return r.made.Add(7 * 24 * time.Hour)
}

// seenAnswers are those to single questions, about what is there and what is not. A value is looked at for one name.
func (h *history) seenAnswers(who string) string {
	var out strings.Builder
	p := h.person(who)
	for _, ref := range refs {
		_, version, err := h.Show(p, ref)
		fmt.Fprintln(&out, ref, h.answer(err), version.Fields)
		for _, host := range hosts {
			d := h.Explain(p, grant.Host{ID: host, Labels: h.model.hosts[host]}, ref, grant.Job{User: "etl", UID: "1001"})
			fmt.Fprintln(&out, ref, host, d.Reason)
		}
	}
	ref := refs[h.tokens%len(refs)]
	o, err := h.Vault.Open(h.t.Context(), grant.Caller{Person: &p}, ref)
	if fmt.Fprintln(&out, ref, h.answer(err)); err == nil {
		fmt.Fprintln(&out, string(o.Value["token"].Reveal()))
		o.Value.Wipe()
	}
	return out.String()
}

func (h *history) modelAnswers(who string) string {
	var out strings.Builder
	for _, ref := range refs {
		_, c := h.model.find(ref)
		answer, fields := "not found", map[string]string(nil)
		switch {
		case c != nil && h.locked(who) && (h.sees(who, c) && c.custom || !h.sees(who, c) && h.asked(who, c)):
			answer = "refused"
		case c != nil && (h.sees(who, c) || h.asked(who, c)):
			answer, fields = "ok", map[string]string{}
			if zone := c.zones[len(c.zones)-1]; zone != "" {
				fields["zone"] = zone
			}
		}
		fmt.Fprintln(&out, ref, answer, fields)
		for _, host := range hosts {
			fmt.Fprintln(&out, ref, host, h.explain(who, host, ref))
		}
	}
	ref := refs[h.tokens%len(refs)]
	answer := h.reveals(who, ref)
	if fmt.Fprintln(&out, ref, answer); answer == "ok" {
		_, c := h.model.find(ref)
		fmt.Fprintln(&out, c.tokens[len(c.tokens)-1])
	}
	return out.String()
}

// asked: an approved request shows the requester what it is for.
func (h *history) asked(who string, c *mCredential) bool {
	return slices.ContainsFunc(h.model.requests, func(r *mRequest) bool {
		return r.of == c && r.by == who && r.host == "" && h.stands(r) == "approved"
	})
}
