package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/bearer"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const kindToken barrier.Kind = "token"

const (
	tokenPrefix = "srt_"
	maxTokens   = 100 // API tokens of a person
	maxSessions = 50  // sessions of a person; the oldest goes
	maxDropped  = 10  // tokens that are removed with a new one
	// useNoted is how often the last use of an API token is stored.
	useNoted = time.Hour
)

// Token stands for a person: a session, or with a name an API token. Its text is
// "srt_", the ID, "_" and a random part of which only the hash is stored.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`   // empty: a session
	User    string    `json:"user"`             // ID
	Hash    []byte    `json:"hash"`             // SHA-256 of the random part
	Scopes  []string  `json:"scopes,omitempty"` // permissions; nil: all that the person has
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	// Used is when an API token was last used, to the hour.
	Used time.Time `json:"used,omitzero"`
}

func (t Token) session() bool { return t.Name == "" }

func (t Token) ended(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// scope is what of the person's permissions the token carries.
func (t Token) scope(have grant.Permissions) grant.Permissions {
	if t.Scopes == nil {
		return have
	}
	ps, err := grant.ParsePermissions(t.Scopes)
	if err != nil {
		return 0 // of a version that knows more
	}
	return ps & have
}

// Authenticate returns whom a token stands for. Its use counts: a session that
// is not used ends.
func (p *People) Authenticate(ctx context.Context, text string) (who grant.Person, t Token, err error) {
	id, random, ok := bearer.Parse(tokenPrefix, text)
	if !ok {
		return grant.Person{}, Token{}, ErrUnauthenticated
	}
	var u user
	err = p.barrier.View(func(tx *barrier.Tx) error {
		if err := tx.GetJSON(kindToken, id, &t); err != nil {
			return err
		}
		if err := tx.GetJSON(kindUser, t.User, &u); err != nil {
			return err
		}
		who, err = person(tx, u)
		return err
	})
	if errors.Is(err, barrier.ErrNotFound) {
		return grant.Person{}, Token{}, ErrUnauthenticated
	}
	if err != nil {
		return grant.Person{}, Token{}, err
	}
	if !bearer.Matches(random, t.Hash) || t.ended(p.now()) || !u.admits(t) || !p.use(t) {
		return grant.Person{}, Token{}, ErrUnauthenticated
	}
	who.Permissions = t.scope(who.Permissions)
	p.noteUse(ctx, u, t)
	return who, t, nil
}

// admits tells whether a token still stands for the user.
func (u user) admits(t Token) bool {
	from := u.TokensFrom
	if t.session() {
		from = u.SessionsFrom
	}
	return u.Disabled.IsZero() && (from.IsZero() || t.Created.After(from))
}

// use notes the moment, unless a session has idled for too long. What is not
// remembered, since the server was started meanwhile, counts from then on.
func (p *People) use(t Token) bool {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.used[t.ID]
	if !known {
		last = p.opened
		if t.Created.After(last) {
			last = t.Created
		}
	}
	if t.session() && now.Sub(last) >= p.settings.Duration(setting.SessionIdle) {
		return false
	}
	p.used[t.ID] = now
	return true
}

// noteUse stores the last use of an API token now and then. That it could not
// is no reason to refuse the token.
func (p *People) noteUse(ctx context.Context, u user, t Token) {
	if t.session() || p.now().Sub(t.Used) < useNoted {
		return
	}
	entry := audit.Entry{Actor: u.Name, Action: "token.use", Target: t.Name, Reason: "first use within an hour"}
	_ = p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		var stored Token
		if err := tx.GetJSON(kindToken, t.ID, &stored); err != nil {
			return nil, err
		}
		if p.now().Sub(stored.Used) < useNoted {
			return nil, errUnchanged // another request was quicker
		}
		stored.Used = p.now()
		return func() error { return tx.PutJSON(kindToken, t.ID, stored) }, nil
	})
}

var errUnchanged = errors.New("nothing to change")

// NewToken is what an API token is made from.
type NewToken struct {
	Name    string
	Scopes  []string  // permissions; none: all that the person has, also later
	Expires time.Time // zero: never
}

// CreateToken makes an API token with a name that is the person's own. A token that was made with an API token can do
// no more than that, and ends no later.
func (p *People) CreateToken(ctx context.Context, who grant.Person, with Token, n NewToken) (text string, t Token, err error) {
	if err := credential.ValidName("token name", n.Name); err != nil {
		return "", Token{}, err
	}
	if n.Expires, err = p.checkExpiry(n.Expires); err != nil {
		return "", Token{}, err
	}
	if ends := with.Expires; !with.session() && !ends.IsZero() && (n.Expires.IsZero() || n.Expires.After(ends)) {
		n.Expires = ends
	}
	scopes := with.Scopes
	var asked grant.Permissions
	if len(n.Scopes) > 0 {
		ps, err := grant.ParsePermissions(n.Scopes)
		if err != nil {
			return "", Token{}, fmt.Errorf("scopes: %w", err)
		}
		asked, scopes = ps, ps.Names()
	}
	t = Token{ID: credential.NewID(), Name: n.Name, User: who.ID, Scopes: scopes, Created: p.now(), Expires: n.Expires}
	text, t.Hash = bearer.New(tokenPrefix, t.ID)
	err = p.change(ctx, audit.Entry{Actor: who.Name, Action: "token.create", Target: n.Name, Reason: t.text()}, func(tx *barrier.Tx) (func() error, error) {
		return p.planToken(tx, who, t, asked)
	})
	if err != nil {
		return "", Token{}, err
	}
	return text, t, nil
}

func (p *People) planToken(tx *barrier.Tx, who grant.Person, t Token, asked grant.Permissions) (store func() error, err error) {
	if err := handOut(who, asked); err != nil {
		return nil, err
	}
	stored, err := p.tokensOf(tx, who.ID)
	if err != nil {
		return nil, err
	}
	stored = slices.DeleteFunc(stored, Token.session)
	switch {
	case slices.ContainsFunc(stored, func(s Token) bool { return s.Name == t.Name }):
		return nil, fmt.Errorf("%w: token %s", ErrTaken, t.Name)
	case len(stored) >= maxTokens:
		return nil, fmt.Errorf("%w token: you have %d, which is as many as you can have", credential.ErrInvalid, len(stored))
	}
	return func() error { return errors.Join(tx.Claim(kindToken, t.User+"/"+t.Name, t.ID), p.putToken(tx, t)) }, nil
}

func (p *People) checkExpiry(at time.Time) (time.Time, error) {
	most := p.settings.Duration(setting.TokenMax)
	switch {
	case !at.IsZero() && !at.After(p.now()):
		return at, fmt.Errorf("%w expires: it lies in the past", credential.ErrInvalid)
	case most > 0 && at.IsZero():
		return p.now().Add(most), nil
	case most > 0 && at.After(p.now().Add(most)):
		return at, fmt.Errorf("%w expires: a token lasts %s at most here (setting %s)", credential.ErrInvalid, most, setting.TokenMax)
	}
	return at, nil
}

// putToken stores a new token. On the way it removes a few that ended or whose user is gone, and the person's oldest
// session where there would be too many.
func (p *People) putToken(tx *barrier.Tx, t Token) error {
	drop, err := p.surplus(tx, t)
	if err != nil {
		return err
	}
	for _, old := range drop[:min(len(drop), maxDropped)] {
		if err := removeToken(tx, old); err != nil {
			return err
		}
		p.mu.Lock()
		delete(p.used, old.ID)
		p.mu.Unlock()
	}
	p.tokens.add(t)
	return tx.PutJSON(kindToken, t.ID, t)
}

// surplus lists what has to go for a new token, the most urgent first. It forgets what is gone, as only a change may:
// what another has not stored yet would look the same.
func (p *People) surplus(tx *barrier.Tx, t Token) (drop []Token, err error) {
	if err := p.tokens.load(tx); err != nil {
		return nil, err
	}
	ended := p.tokens.ended(p.now(), 2*maxDropped) // also those that went last time
	var sessions []Token
	for _, id := range append(p.tokens.of(t.User), ended...) {
		var old Token
		err := tx.GetJSON(kindToken, id, &old)
		switch {
		case errors.Is(err, barrier.ErrNotFound):
			p.tokens.forget(id)
		case err != nil:
			return nil, err
		case slices.Contains(ended, id):
			if !slices.ContainsFunc(drop, func(d Token) bool { return d.ID == id }) {
				drop = append(drop, old)
			}
		case old.session() && id != t.ID:
			sessions = append(sessions, old)
		}
	}
	slices.SortFunc(sessions, func(a, b Token) int { return a.Created.Compare(b.Created) })
	over := max(len(sessions)-(maxSessions-1), 0)
	if !t.session() {
		over = 0
	}
	return slices.Concat(sessions[:over], drop), nil
}

// tokensOf reads a person's tokens.
func (p *People) tokensOf(tx *barrier.Tx, user string) (out []Token, err error) {
	if err := p.tokens.load(tx); err != nil {
		return nil, err
	}
	for _, id := range p.tokens.of(user) {
		var t Token
		switch err := tx.GetJSON(kindToken, id, &t); {
		case err == nil:
			out = append(out, t)
		case !errors.Is(err, barrier.ErrNotFound):
			return nil, err
		}
	}
	return out, nil
}

func removeToken(tx *barrier.Tx, t Token) error {
	if !t.session() {
		if err := tx.Release(kindToken, t.User+"/"+t.Name); err != nil {
			return err
		}
	}
	return tx.Delete(kindToken, t.ID)
}

// reaches tells whether a token's holder may look at, or end, one of the same person's: those that are narrowed to
// scopes know of themselves alone.
func (t Token) reaches(other Token) bool { return t.Scopes == nil || t.ID == other.ID }

// Tokens lists a person's API tokens, as far as the token that it is asked with reaches, by name, without their hashes.
func (p *People) Tokens(who grant.Person, with Token) (out []Token, err error) {
	err = p.barrier.View(func(tx *barrier.Tx) error {
		out, err = p.tokensOf(tx, who.ID)
		return err
	})
	out = slices.DeleteFunc(out, func(t Token) bool { return t.session() || !with.reaches(t) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range out {
		out[i].Hash = nil
		if used := p.used[out[i].ID]; used.After(out[i].Used) {
			out[i].Used = used
		}
	}
	slices.SortFunc(out, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// RevokeToken ends one of a person's API tokens by name, if the token that it is asked with reaches it.
func (p *People) RevokeToken(ctx context.Context, who grant.Person, with Token, name string) error {
	if credential.ValidName("token name", name) != nil {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	entry := audit.Entry{Actor: who.Name, Action: "token.revoke", Target: name, Reason: "an API token of their own"}
	err := p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		if with.Scopes != nil && with.Name != name {
			return nil, fmt.Errorf("%w: a token that is narrowed to scopes can end itself alone", ErrRefused)
		}
		id, err := tx.Lookup(kindToken, who.ID+"/"+name)
		if err != nil {
			return nil, err
		}
		var t Token
		if err := tx.GetJSON(kindToken, id, &t); err != nil {
			return nil, err
		}
		return func() error { return removeToken(tx, t) }, nil
	})
	if errors.Is(err, barrier.ErrNotFound) {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return err
}

// Logout ends the token of the request that asks for it.
func (p *People) Logout(ctx context.Context, who grant.Person, t Token) error {
	entry := audit.Entry{Actor: who.Name, Action: "user.logout", Target: t.ID, Reason: "the session ends"}
	if !t.session() {
		entry.Reason = "the API token " + t.Name + " ends"
	}
	return p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		return func() error { return removeToken(tx, t) }, nil
	})
}
