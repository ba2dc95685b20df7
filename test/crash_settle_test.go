package test

import (
	"github.com/strongroom/strongroom/shared/api"
)

// settle looks at everything after a crash: what was answered for is there with its value and its entry, what was
// refused is not, and what was under way is wholly there or not at all, as its entry says. Then it starts a new page.
func (l *ledger) settle() {
	t := l.s.t
	t.Helper()
	c := l.s.client()
	defer c.Close()
	applied := l.settleThings(c)
	l.settleHosts(c)
	l.settleLog(c, applied)
	clear(l.logged)
}

// settleThings gives the entries that what was under way and is done must have.
func (l *ledger) settleThings(c *api.Client) (applied map[string]bool) {
	t := l.s.t
	t.Helper()
	credentials, grants, revisions := l.marks(c)
	applied = map[string]bool{}
	for _, one := range l.things {
		marks := credentials
		if one.grant {
			marks = grants
		}
		got := marks[one.name]
		delete(marks, one.name)
		if got != one.now && (one.asked == "" || got != one.next) {
			t.Errorf("%s has the mark %q, want %q or, by %q under way, %q", one.name, got, one.now, one.asked, one.next)
		}
		if one.asked != "" {
			applied[one.asked+" "+one.name] = got != one.now
		}
		one.now, one.next, one.asked, one.at = got, "", "", revisions[one.name]
		if one.fresh && !one.grant && got != "" {
			l.wantValue(c, one.name, "value of "+got)
		}
		one.fresh = false
	}
	for name, mark := range credentials {
		t.Errorf("nobody made the credential %s, which has the mark %q", name, mark)
	}
	for name, mark := range grants {
		t.Errorf("nobody made the grant %s, which has the mark %q", name, mark)
	}
	return applied
}

// marks lists all there is.
func (l *ledger) marks(c *api.Client) (credentials, grants map[string]string, revisions map[string]uint64) {
	t := l.s.t
	t.Helper()
	credentials, grants, revisions = map[string]string{}, map[string]string{}, map[string]uint64{}
	list, err := c.Credentials(t.Context(), api.CredentialQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range list.Items {
		credentials[item.Name], revisions[item.Name] = item.Tags["mark"], item.Revision
	}
	rules, err := c.Grants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range rules.Items {
		mark := ""
		if len(item.HostLabels) == 1 {
			mark = item.HostLabels[0][len("mark="):]
		}
		grants[item.Name] = mark
	}
	return credentials, grants, revisions
}

func (l *ledger) wantValue(c *api.Client, name, want string) {
	t := l.s.t
	t.Helper()
	revealed, err := c.Reveal(t.Context(), name)
	if err != nil {
		t.Errorf("revealing %s: %v", name, err)
		return
	}
	defer revealed.Wipe()
	if got := string(revealed.Secrets["token"].Reveal()); got != want {
		t.Errorf("%s has the value %q, want %q", name, got, want)
	}
}

// settleHosts repeats a join that had no answer, which must find or make its one host.
func (l *ledger) settleHosts(c *api.Client) {
	t := l.s.t
	t.Helper()
	if l.waiting != nil {
		host, err := l.waiting.ask(t.Context(), l.s)
		if err != nil {
			t.Fatalf("repeating a join that had no answer: %v", err)
		}
		if l.hosts[host] {
			t.Errorf("a new key joined as %s, which is another's", host)
		}
		l.hosts[host], l.waiting = true, nil
	}
	list, err := c.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, h := range list.Items {
		there[h.ID] = true
		if !l.hosts[h.ID] {
			t.Errorf("nobody joined as %s", h.ID)
		}
	}
	for host := range l.hosts {
		if !there[host] {
			t.Errorf("the host %s has joined and is not there", host)
		}
	}
}

// settleLog compares the entries since the last time with the answers.
func (l *ledger) settleLog(c *api.Client, applied map[string]bool) {
	t := l.s.t
	t.Helper()
	allowed := map[string]int{}
	for _, e := range l.entries(c) {
		if e.Reason == "under way" {
			t.Errorf("entry %d, %s of %s, has no end", e.Seq, e.Action, e.Target)
		}
		key := e.Action + " " + e.Target
		if e.Host != "" && e.Action == "credential.read" {
			key += " " + e.Host
		}
		if e.Outcome == "allowed" {
			allowed[key]++
		}
	}
	for key, n := range l.logged {
		if _, asked := applied[key]; !asked && allowed[key] < n {
			t.Errorf("%d answers for %s and %d entries", n, key, allowed[key])
		}
	}
	for key, done := range applied {
		want := l.logged[key]
		if done {
			want++
		}
		if allowed[key] != want {
			t.Errorf("%d entries that %s was done, want %d: %d were answered for, and the one under way was done: %v",
				allowed[key], key, want, l.logged[key], done)
		}
	}
}

// entries reads the log back to where it was read before.
func (l *ledger) entries(c *api.Client) (all []api.AuditEntry) {
	t := l.s.t
	t.Helper()
	for cursor := ""; ; {
		page, err := c.Audit(t.Context(), api.AuditQuery{Limit: 1000, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			if e.Seq <= l.seen {
				cursor = "end"
				break
			}
			all = append(all, e)
		}
		if cursor == "end" || page.Next == "" {
			break
		}
		cursor = page.Next
	}
	if len(all) > 0 {
		l.seen = all[0].Seq
	}
	return all
}
