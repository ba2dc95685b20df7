package people

import (
	"context"
	"errors"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/bearer"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Login is what somebody signs in with.
type Login struct {
	User     string
	Password *secret.Buffer
	Code     string // of the second factor, or one of its recovery codes; empty: none
	From     string // the network address, without port
}

// Session is a token that was just made.
type Session struct {
	Token   string
	Expires time.Time
	Person  grant.Person
}

// Login checks who it is and makes a session. ErrLogin is the one answer to a
// wrong name or password; ErrCode says that both are right and a code is missing.
// After several failures it is a DelayError.
func (p *People) Login(ctx context.Context, l Login) (Session, error) {
	k := pair{l.User, l.From}
	if wait := p.delays.wait(k, p.now()); wait > 0 {
		return Session{}, &DelayError{wait}
	}
	u, err := p.userByName(l.User)
	known := err == nil
	if err != nil && !errors.Is(err, ErrNoUser) {
		return Session{}, err
	}
	ok, err := p.checkPassword(ctx, u, known, l.Password)
	if err != nil {
		return Session{}, err
	}
	switch {
	case !ok:
		return Session{}, p.refuseLogin(ctx, k, u, known, "wrong name or password", ErrLogin)
	case !u.Disabled.IsZero():
		return Session{}, p.refuseLogin(ctx, k, u, known, "the user is disabled", ErrLogin)
	case u.Factor.confirmed() && l.Code == "":
		entry := audit.Entry{Actor: u.Name, Action: "user.login", Reason: "password accepted, code missing", From: l.From}
		return Session{}, p.refused(ctx, entry, ErrCode)
	}
	switch err := p.checkCode(u.Name, l.Code); {
	case errors.Is(err, ErrLogin):
		return Session{}, p.refuseLogin(ctx, k, u, known, reasonCode, ErrLogin)
	case errors.Is(err, errNoFactor):
		l.Code = "" // it proves nothing
	case err != nil:
		return Session{}, err
	}
	rehashed := ""
	if isBcrypt(u.Password) {
		if rehashed, err = hashPassword(l.Password.Reveal()); err != nil {
			return Session{}, err
		}
	}
	s, err := p.openSession(ctx, u.Name, u.Password, rehashed, l.Code)
	if err == nil {
		p.delays.succeeded(k)
	}
	return s, err
}

// openSession stores the session and, with it, that the code was used. It looks
// at the user once more: two logins with one code may come at once.
func (p *People) openSession(ctx context.Context, name, verified, rehashed, code string) (s Session, err error) {
	t := Token{ID: credential.NewID(), Created: p.now(), Expires: p.now().Add(p.settings.Duration(setting.SessionMax))}
	entry := audit.Entry{Actor: name, Action: "user.login", Target: t.ID, Reason: loginText(t, code)}
	text, hash := bearer.New(tokenPrefix, t.ID)
	t.Hash = hash
	err = p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, name)
		if err != nil {
			return nil, err
		}
		if u.Password != verified || !u.Disabled.IsZero() {
			return nil, ErrLogin // it was changed since
		}
		if u.Factor.confirmed() {
			if u.Factor, err = p.useCode(tx, u, code); err != nil {
				return nil, err
			}
		}
		if rehashed != "" {
			u.Password = rehashed
		}
		if err := p.tokens.load(tx); err != nil { // where nothing waits for it
			return nil, err
		}
		t.User = u.ID
		if s.Person, err = person(tx, u); err != nil {
			return nil, err
		}
		return func() error {
			if u.Factor.confirmed() || rehashed != "" {
				if err := tx.PutJSON(kindUser, u.ID, u); err != nil {
					return err
				}
			}
			return p.putToken(tx, t)
		}, nil
	})
	s.Token, s.Expires = text, t.Expires
	return s, err
}

const reasonCode = "wrong code of the second factor"

// refuseLogin logs and counts a failure. An unknown name is not logged as it
// came: it may be a password typed into the wrong field.
func (p *People) refuseLogin(ctx context.Context, k pair, u user, known bool, reason string, answer error) error {
	p.delays.failed(k, p.now())
	actor := "unknown"
	if known {
		actor = u.Name
	}
	return p.refused(ctx, audit.Entry{Actor: actor, Action: "user.login", Reason: reason, From: k.from}, answer)
}

// checkPassword takes as long for an unknown name as for a known one.
func (p *People) checkPassword(ctx context.Context, u user, known bool, password *secret.Buffer) (bool, error) {
	stored := u.Password
	if !known {
		stored = decoyHash
	}
	ok, err := p.verify(ctx, stored, password)
	return ok && known, err
}

// verify waits for its turn: hashing takes much memory.
func (p *People) verify(ctx context.Context, stored string, password *secret.Buffer) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
	case <-wait.Done():
		return false, ErrBusy
	}
	if password.Len() > MaxPassword {
		return false, nil
	}
	return verifyPassword(stored, password.Reveal())
}
