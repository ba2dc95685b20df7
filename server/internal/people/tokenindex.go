package people

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
)

// tokenIndex says which tokens are stored, by their users and by their ends, so that nobody's login has to read those of
// everybody. Whatever is stored is in it once it was loaded; what is in it may be gone, so who asks looks in the vault.
type tokenIndex struct {
	mu     sync.Mutex
	loaded bool
	tokens map[string]indexed
	users  map[string][]string // IDs of tokens, by that of their user
	ends   []indexed           // of those that end, the first one first
}

type indexed struct {
	id, user string
	ends     time.Time // zero: never
}

func (a indexed) compare(b indexed) int {
	if c := a.ends.Compare(b.ends); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

// load reads all tokens, the first time. Those of a user who is gone have ended.
func (x *tokenIndex) load(tx *barrier.Tx) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.loaded {
		return nil
	}
	x.tokens, x.users, x.ends = map[string]indexed{}, map[string][]string{}, nil
	known := map[string]bool{}
	err := barrier.ScanJSON(tx, kindUser, func(u user) error {
		known[u.ID] = true
		return nil
	})
	if err != nil {
		return err
	}
	err = barrier.ScanJSON(tx, kindToken, func(t Token) error {
		if !known[t.User] {
			t.Expires = t.Created
		}
		x.insert(indexed{t.ID, t.User, t.Expires})
		return nil
	})
	x.loaded = err == nil
	return err
}

func (x *tokenIndex) insert(i indexed) {
	x.remove(i.id)
	x.tokens[i.id] = i
	x.users[i.user] = append(x.users[i.user], i.id)
	if !i.ends.IsZero() {
		at, _ := slices.BinarySearchFunc(x.ends, i, indexed.compare)
		x.ends = slices.Insert(x.ends, at, i)
	}
}

func (x *tokenIndex) remove(id string) {
	i, known := x.tokens[id]
	if !known {
		return
	}
	delete(x.tokens, id)
	left := slices.DeleteFunc(x.users[i.user], func(other string) bool { return other == id })
	if x.users[i.user] = left; len(left) == 0 {
		delete(x.users, i.user)
	}
	if at, found := slices.BinarySearchFunc(x.ends, i, indexed.compare); found {
		x.ends = slices.Delete(x.ends, at, at+1)
	}
}

func (x *tokenIndex) add(t Token) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.insert(indexed{t.ID, t.User, t.Expires})
}

func (x *tokenIndex) forget(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

// orphan lets the tokens of a user who is gone have ended. Where none were loaded yet, load does.
func (x *tokenIndex) orphan(user string, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range slices.Clone(x.users[user]) {
		x.insert(indexed{id, user, now})
	}
}

// of gives the IDs of a user's tokens.
func (x *tokenIndex) of(user string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.users[user])
}

// ended gives the IDs of those that ended first.
func (x *tokenIndex) ended(now time.Time, most int) (ids []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, i := range x.ends[:min(most, len(x.ends))] {
		if !now.Before(i.ends) {
			ids = append(ids, i.id)
		}
	}
	return ids
}
