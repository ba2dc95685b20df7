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
	"github.com/strongroom/strongroom/shared/bearer"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const (
	kindToken     barrier.Kind = "token"
	tokenPrefix                = "srt_"
	sessionLength              = 12 * time.Hour
)

// Token stands for a person: a session, or with a name an API token. Its text is
// "srt_", the ID, "_" and a random part of which only the hash is stored.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"` // empty: a session
	User    string    `json:"user"`           // ID
	Hash    []byte    `json:"hash"`           // SHA-256 of the random part
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
}

func (t Token) ended(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Authenticate returns whom a token stands for.
func (p *People) Authenticate(text string) (grant.Person, Token, error) {
	id, random, ok := bearer.Parse(tokenPrefix, text)
	if !ok {
		return grant.Person{}, Token{}, ErrUnauthenticated
	}
	var t Token
	var u user
	err := p.barrier.View(func(tx *barrier.Tx) error {
		if err := tx.GetJSON(kindToken, id, &t); err != nil {
			return err
		}
		return tx.GetJSON(kindUser, t.User, &u)
	})
	if errors.Is(err, barrier.ErrNotFound) {
		return grant.Person{}, Token{}, ErrUnauthenticated
	}
	if err != nil {
		return grant.Person{}, Token{}, err
	}
	if !bearer.Matches(random, t.Hash) || t.ended(p.now()) {
		return grant.Person{}, Token{}, ErrUnauthenticated
	}
	return u.person(), t, nil
}

// CreateToken makes an API token with a name that is the person's own.
func (p *People) CreateToken(ctx context.Context, who grant.Person, name string, expires time.Time) (string, error) {
	if err := credential.ValidName("token name", name); err != nil {
		return "", err
	}
	if !expires.IsZero() && !expires.After(p.now()) {
		return "", fmt.Errorf("%w expires: it lies in the past", credential.ErrInvalid)
	}
	t := Token{ID: credential.NewID(), Name: name, User: who.ID, Created: p.now(), Expires: expires}
	return p.storeToken(ctx, t, audit.Entry{Actor: who.Name, Action: "token.create", Target: name, Outcome: audit.Allowed})
}

func (p *People) storeToken(ctx context.Context, t Token, entry audit.Entry) (string, error) {
	text, hash := bearer.New(tokenPrefix, t.ID)
	t.Hash = hash
	err := p.log.Change(ctx, p.barrier, entry, func(tx *barrier.Tx) error {
		if t.Name != "" {
			if err := tx.Claim(kindToken, t.User+"/"+t.Name, t.ID); err != nil {
				return err
			}
		}
		if err := p.dropEnded(tx); err != nil {
			return err
		}
		return tx.PutJSON(kindToken, t.ID, t)
	})
	if errors.Is(err, barrier.ErrTaken) {
		return "", fmt.Errorf("%w: %s", ErrTaken, t.Name)
	}
	return text, err
}

// dropEnded removes a few ended tokens, so that their number stays bounded by
// the logins of one session's length.
func (p *People) dropEnded(tx *barrier.Tx) error {
	var ended []Token
	err := barrier.ScanJSON(tx, kindToken, func(t Token) error {
		if t.ended(p.now()) && len(ended) < 10 {
			ended = append(ended, t)
		}
		return nil
	})
	for _, t := range ended {
		err = errors.Join(err, removeToken(tx, t))
	}
	return err
}

func removeToken(tx *barrier.Tx, t Token) error {
	if t.Name != "" {
		if err := tx.Release(kindToken, t.User+"/"+t.Name); err != nil {
			return err
		}
	}
	return tx.Delete(kindToken, t.ID)
}

// Tokens lists a person's API tokens, by name, without their hashes.
func (p *People) Tokens(who grant.Person) ([]Token, error) {
	var out []Token
	err := p.barrier.View(func(tx *barrier.Tx) error {
		out = nil
		return barrier.ScanJSON(tx, kindToken, func(t Token) error {
			if t.User == who.ID && t.Name != "" {
				t.Hash = nil
				out = append(out, t)
			}
			return nil
		})
	})
	slices.SortFunc(out, func(a, b Token) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// RevokeToken ends one of a person's API tokens by name.
func (p *People) RevokeToken(ctx context.Context, who grant.Person, name string) error {
	entry := audit.Entry{Actor: who.Name, Action: "token.revoke", Target: name, Outcome: audit.Allowed}
	err := p.log.Change(ctx, p.barrier, entry, func(tx *barrier.Tx) error {
		id, err := tx.Lookup(kindToken, who.ID+"/"+name)
		if err != nil {
			return err
		}
		var t Token
		if err := tx.GetJSON(kindToken, id, &t); err != nil {
			return err
		}
		return removeToken(tx, t)
	})
	if errors.Is(err, barrier.ErrNotFound) {
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return err
}

// Logout ends the session that the token stands for.
func (p *People) Logout(ctx context.Context, who grant.Person, t Token) error {
	entry := audit.Entry{Actor: who.Name, Action: "user.logout", Target: t.ID, Outcome: audit.Allowed}
	return p.log.Change(ctx, p.barrier, entry, func(tx *barrier.Tx) error { return removeToken(tx, t) })
}
