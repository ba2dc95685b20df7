package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

// A ledger is what a vault has answered for, and what it was asked when it was killed. The vault must have the one
// wholly, and of the other each thing wholly or not at all.
type ledger struct {
	s       *siege
	things  []*thing
	stand   *stranger  // the host that reads
	waiting *joining   // whose answer did not come
	round   int        // makes marks that never come again
	seen    uint64     // the last entry of the log that was looked at
	mu      sync.Mutex // guards what follows, from the workers
	hosts   map[string]bool
	logged  map[string]int // by action and target: entries that an answer vouches for, since seen
	total   int
}

// thing is a credential or a grant. A mark is in its metadata and, of a credential, in its value: what is stored together
// must be found together.
type thing struct {
	name  string
	grant bool
	now   string // its mark; empty: it is not there
	at    uint64 // the revision of a credential that is there
	next  string // its mark once what was asked is done
	asked string // the action under way; empty: none
	fresh bool   // since the last crash somebody worked on it
}

const (
	things    = 6 // of each worker
	standing  = "standing"
	standMark = "stays"
)

// newLedger gives the vault a credential that every host may read, and a host.
func newLedger(s *siege) *ledger {
	s.t.Helper()
	l := &ledger{s: s, hosts: map[string]bool{}, logged: map[string]int{}}
	for worker := range 3 {
		for i := range things {
			l.things = append(l.things, &thing{name: fmt.Sprintf("thing-%d-%d", worker, i), grant: worker == 2})
		}
	}
	c := s.client()
	defer c.Close()
	if _, err := l.put(s.t.Context(), c, standing, 0, standMark); err != nil {
		s.t.Fatal(err)
	}
	if err := l.allow(s.t.Context(), c, standing, standMark); err != nil {
		s.t.Fatal(err)
	}
	l.stand = newStranger(s)
	l.hosts[l.stand.host] = true
	l.things = append(l.things, &thing{name: standing, now: standMark}, &thing{name: standing, now: standMark, grant: true})
	l.settle()
	return l
}

func (l *ledger) String() string {
	return fmt.Sprintf("%d answers, %d entries, %d hosts", l.total, l.seen, len(l.hosts))
}

// answered notes that an entry must be in the log.
func (l *ledger) answered(action, target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logged[action+" "+target]++
	l.total++
}

// workers are three who change things, one who joins hosts, and one who reads. Each works until it gets no answer.
func (l *ledger) workers() []func() {
	l.round++
	work := []func(){l.join, l.read}
	for worker := range 3 {
		mine := l.things[worker*things : (worker+1)*things]
		random := rand.New(rand.NewPCG(l.s.random.Uint64(), 0))
		work = append(work, func() { l.change(mine, random, fmt.Sprintf("w%d-%d", worker, l.round)) })
	}
	return work
}

func (l *ledger) change(mine []*thing, random *rand.Rand, mark string) {
	c := l.s.client()
	defer c.Close()
	for i := 0; ; i++ {
		one := mine[random.IntN(len(mine))]
		err := l.step(c, one, fmt.Sprintf("%s-%d", mark, i), random)
		if err == nil && i%6 == 0 {
			err = l.refused(c, one)
		}
		if unanswered(err) {
			return
		}
		if err != nil {
			l.s.t.Errorf("%s: %v", one.name, err)
			return
		}
	}
}

// step makes a thing that is not there, and changes or deletes one that is.
func (l *ledger) step(c *api.Client, one *thing, mark string, random *rand.Rand) error {
	ctx := l.s.t.Context()
	one.fresh, one.next = true, mark
	var do func() error
	switch {
	case one.now == "" && one.grant:
		one.asked = "grant.create"
		do = func() error { return l.allow(ctx, c, one.name, mark) }
	case one.grant:
		one.asked, one.next = "grant.revoke", ""
		do = func() error { _, err := c.RevokeGrant(ctx, one.name); return err }
	case one.now == "":
		one.asked = "credential.create"
		do = func() (err error) { one.at, err = l.put(ctx, c, one.name, 0, mark); return err }
	case random.IntN(3) == 0:
		one.asked, one.next = "credential.delete", ""
		do = func() error { _, err := c.DeleteCredential(ctx, one.name, one.at); return err }
	default:
		one.asked = "credential.edit"
		do = func() (err error) { one.at, err = l.put(ctx, c, one.name, one.at, mark); return err }
	}
	if err := do(); err != nil {
		return err
	}
	l.answered(one.asked, one.name)
	one.now, one.asked = one.next, ""
	return nil
}

// put adds a credential with a mark, or edits the one that is at a revision, and gives the next.
func (l *ledger) put(ctx context.Context, c *api.Client, name string, at uint64, mark string) (next uint64, err error) {
	value, err := l.s.arena.From([]byte("value of " + mark))
	if err != nil {
		return 0, err
	}
	defer value.Wipe()
	values := api.Values{Secrets: map[string]*secret.Buffer{"token": value}}
	tags := map[string]string{"mark": mark}
	var out *api.CredentialDetail
	if at != 0 {
		out, err = c.EditCredential(ctx, name, at, api.CredentialEdit{Tags: tags}, values)
	} else {
		out, err = c.AddCredential(ctx, api.CredentialAdd{Name: name, Application: "generic-rest", AuthType: "access_token", Tags: tags}, values)
	}
	if err != nil {
		return 0, err
	}
	return out.Revision, nil
}

func (l *ledger) allow(ctx context.Context, c *api.Client, name, mark string) error {
	_, err := c.AddGrant(ctx, api.GrantRule{Name: name, Credentials: []string{standing}, AnyHost: true, HostLabels: []string{"mark=" + mark}})
	return err
}

// refused asks for what must be refused, and leave no trace but in the log: a name that is taken.
func (l *ledger) refused(c *api.Client, one *thing) error {
	ctx := l.s.t.Context()
	if one.grant {
		return wantConflict(l.allow(ctx, c, standing, "refused"))
	}
	_, err := l.put(ctx, c, standing, 0, "refused")
	return wantConflict(err)
}

var errNotRefused = errors.New("a name that is taken was given again")

func wantConflict(err error) error {
	switch {
	case err == nil:
		return errNotRefused
	case errors.Is(err, api.ErrConflict):
		return nil
	}
	return err
}
