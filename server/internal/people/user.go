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
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// User is somebody as other people see them.
type User struct {
	ID, Name, Role string
	Created        time.Time
	Disabled       time.Time // zero: enabled
	Factor         bool      // has a second factor
	Revision       uint64
}

func (u user) public() User {
	return User{
		ID: u.ID, Name: u.Name, Role: u.Role, Created: u.Created, Disabled: u.Disabled,
		Factor: u.Factor.confirmed(), Revision: u.Revision,
	}
}

// reset notes that somebody else has this user's way in, ends what stood for the user before, and locks what is the
// user's own for as long as is set now: no later setting shortens it.
func (p *People) reset(u *user) {
	now := p.now()
	u.Since, u.SessionsFrom, u.TokensFrom = now, now, now
	if until := now.Add(p.settings.Duration(setting.CustomLock)); until.After(u.LockedUntil) {
		u.LockedUntil = until
	}
	u.Revision++
}

// NewUser is what a user is made from: a password, or the bcrypt hash of one that was in use elsewhere.
type NewUser struct {
	Name, Role string
	Password   *secret.Buffer
	Bcrypt     *secret.Buffer
}

// AddUser makes a user.
func (p *People) AddUser(ctx context.Context, who grant.Person, n NewUser) (User, error) {
	if err := credential.ValidName("user name", n.Name); err != nil {
		return User{}, err
	}
	now := p.now()
	u := user{ID: credential.NewID(), Name: n.Name, Role: n.Role, Created: now, Since: now, Revision: 1}
	entry := audit.Entry{Actor: who.Name, Action: "user.create", Target: n.Name, Reason: "role " + n.Role}
	add := func(tx *barrier.Tx) (func() error, error) {
		r, err := role(tx, n.Role)
		if err != nil {
			return nil, err
		}
		if err := handOut(who, r.Permissions); err != nil {
			return nil, err
		}
		switch _, err := find(tx, u.Name); {
		case err == nil:
			return nil, fmt.Errorf("%w: user %s", ErrTaken, u.Name)
		case !errors.Is(err, ErrNoUser):
			return nil, err
		}
		return func() error { return errors.Join(tx.Claim(kindUser, u.Name, u.ID), tx.PutJSON(kindUser, u.ID, u)) }, nil
	}
	if err := p.judge(ctx, entry, add); err != nil {
		return User{}, err
	}
	var err error
	if u.Password, err = p.firstHash(n); err != nil {
		return User{}, err
	}
	return u.public(), p.change(ctx, entry, add)
}

func (p *People) firstHash(n NewUser) (string, error) {
	switch {
	case (n.Password == nil) == (n.Bcrypt == nil):
		return "", fmt.Errorf("%w password: give a password, or the bcrypt hash of one", credential.ErrInvalid)
	case n.Bcrypt != nil:
		return checkBcrypt(n.Bcrypt)
	}
	if err := p.checkPolicy(n.Name, n.Password); err != nil {
		return "", err
	}
	return hashPassword(n.Password.Reveal())
}

// Users lists all of them by name.
func (p *People) Users() ([]User, error) {
	var out []User
	err := p.barrier.View(func(tx *barrier.Tx) error {
		out = nil
		return barrier.ScanJSON(tx, kindUser, func(u user) error {
			out = append(out, u.public())
			return nil
		})
	})
	slices.SortFunc(out, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// User returns one, or ErrNoUser.
func (p *People) User(name string) (User, error) {
	u, err := p.userByName(name)
	return u.public(), err
}

// UserEdit changes a user; a nil member leaves its part as it is.
type UserEdit struct {
	Role     *string
	Disabled *bool
	Revision uint64 // as it was when somebody looked; 0: whatever it is
}

// EditUser gives a user another role, or disables or enables one. A user that is disabled cannot log in, and every
// token of theirs is refused until they are enabled again.
func (p *People) EditUser(ctx context.Context, who grant.Person, name string, e UserEdit) (User, error) {
	var out User
	entry := audit.Entry{Actor: who.Name, Action: e.action(), Target: name, Reason: e.text()}
	err := p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, name)
		if err != nil {
			return nil, err
		}
		if e.Revision != 0 && e.Revision != u.Revision {
			return nil, ErrChanged
		}
		before := u
		if err := e.apply(tx, who, &u, p.now()); err != nil {
			return nil, err
		}
		if before.leads() && !u.leads() {
			if err := notTheLast(tx, u.ID); err != nil {
				return nil, err
			}
		}
		u.Revision++
		out = u.public()
		return func() error { return tx.PutJSON(kindUser, u.ID, u) }, nil
	})
	return out, err
}

func (e UserEdit) action() string {
	switch {
	case e.Disabled != nil && *e.Disabled:
		return "user.disable"
	case e.Disabled != nil:
		return "user.enable"
	}
	return "user.role"
}

func (e UserEdit) apply(tx *barrier.Tx, who grant.Person, u *user, now time.Time) error {
	if err := mayReset(tx, who, *u); err != nil {
		return err
	}
	if e.Role != nil {
		r, err := role(tx, *e.Role)
		if err != nil {
			return err
		}
		if err := handOut(who, r.Permissions); err != nil {
			return err
		}
		u.Role, u.Since = *e.Role, now
	}
	if e.Disabled != nil && *e.Disabled != !u.Disabled.IsZero() {
		u.Disabled = time.Time{}
		if *e.Disabled {
			u.Disabled, u.SessionsFrom = now, now
		}
	}
	return nil
}

// leads tells whether the user is an admin who can log in.
func (u user) leads() bool { return u.Role == RoleAdmin && u.Disabled.IsZero() }

// notTheLast refuses to leave a vault without an admin.
func notTheLast(tx *barrier.Tx, id string) error {
	others := false
	err := barrier.ScanJSON(tx, kindUser, func(u user) error {
		others = others || u.ID != id && u.leads()
		return nil
	})
	if err == nil && !others {
		err = fmt.Errorf("%w: this is the last admin; give somebody else that role first", ErrRefused)
	}
	return err
}

// mayReset refuses whoever lacks a permission that the user has: they could act as the user.
func mayReset(tx *barrier.Tx, who grant.Person, u user) error {
	of, err := person(tx, u)
	if err != nil {
		return err
	}
	return handOut(who, of.Permissions)
}

// DeleteUser removes a user who is as they were at that revision; 0: whatever they are. Their tokens are worth nothing
// from then on.
// What else keeps the user judge says, once the person may delete them.
func (p *People) DeleteUser(ctx context.Context, who grant.Person, name string, revision uint64, judge func(id string) error) error {
	entry := audit.Entry{Actor: who.Name, Action: "user.delete", Target: name, Reason: "their sessions and tokens end"}
	var id string
	err := p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, name)
		if err != nil {
			return nil, err
		}
		if revision != 0 && revision != u.Revision {
			return nil, ErrChanged
		}
		if err := mayReset(tx, who, u); err != nil {
			return nil, err
		}
		if u.leads() {
			if err := notTheLast(tx, u.ID); err != nil {
				return nil, err
			}
		}
		if err := judge(u.ID); err != nil {
			return nil, err
		}
		id = u.ID
		return func() error {
			if u.Factor != nil {
				if err := tx.Delete(kindTOTP, u.ID); err != nil {
					return err
				}
			}
			return errors.Join(tx.Release(kindUser, u.Name), tx.Delete(kindUser, u.ID))
		}, nil
	})
	if err == nil {
		p.tokens.orphan(id, p.now())
	}
	return err
}

// ChangePassword is for one's own: it takes the old one, and ends all sessions.
func (p *People) ChangePassword(ctx context.Context, who grant.Person, old, password *secret.Buffer) error {
	if err := p.ownPassword(ctx, who, old); err != nil {
		return err
	}
	before, err := p.notEarlier(ctx, who.Name, password)
	if err != nil {
		return err
	}
	return p.setPassword(ctx, passwordEntry(who, who.Name), password, func(_ *barrier.Tx, u *user) error {
		if u.Password != before {
			return ErrChanged
		}
		u.SessionsFrom = p.now()
		return nil
	})
}

// ResetPassword is for somebody else's: their sessions and tokens end, and their own credentials are locked for a time.
// It does not say whether the password is one that they had.
func (p *People) ResetPassword(ctx context.Context, who grant.Person, name string, password *secret.Buffer) error {
	return p.setPassword(ctx, passwordEntry(who, name), password, func(tx *barrier.Tx, u *user) error {
		if u.ID == who.ID {
			return fmt.Errorf("%w: change your own password with the old one", ErrRefused)
		}
		p.reset(u)
		return mayReset(tx, who, *u)
	})
}

// setPassword judges by also before it looks at the password.
func (p *People) setPassword(ctx context.Context, entry audit.Entry, password *secret.Buffer, also func(*barrier.Tx, *user) error) error {
	var hash string
	name := entry.Target
	set := func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, name)
		if err != nil {
			return nil, err
		}
		if err := also(tx, &u); err != nil {
			return nil, err
		}
		earlier := append([]string{u.Password}, u.Earlier...)
		u.Password, u.Earlier = hash, earlier[:min(len(earlier), p.settings.Count(setting.PasswordHistory))]
		return func() error { return tx.PutJSON(kindUser, u.ID, u) }, nil
	}
	if err := p.judge(ctx, entry, set); err != nil {
		return err
	}
	if err := p.checkPolicy(name, password); err != nil {
		return err
	}
	var err error
	if hash, err = hashPassword(password.Reveal()); err != nil {
		return err
	}
	return p.change(ctx, entry, set)
}

// notEarlier holds a new password against the present one, whose hash it returns, and earlier ones.
func (p *People) notEarlier(ctx context.Context, name string, password *secret.Buffer) (present string, err error) {
	u, err := p.userByName(name)
	if err != nil {
		return "", err
	}
	before := append([]string{u.Password}, u.Earlier...)
	history := p.settings.Count(setting.PasswordHistory)
	for _, hash := range before[:min(len(before), history)] {
		same, err := p.verify(ctx, hash, password)
		if err != nil {
			return "", err
		}
		if same {
			return "", fmt.Errorf("%w password: it is one of the last %d", credential.ErrInvalid, history)
		}
	}
	return u.Password, nil
}

// ownPassword checks a person's present password once more.
func (p *People) ownPassword(ctx context.Context, who grant.Person, password *secret.Buffer) error {
	k := pair{who.Name, ""} // a session, from wherever
	if wait := p.delays.wait(k, p.now()); wait > 0 {
		return &DelayError{wait}
	}
	u, err := p.userByName(who.Name)
	if err != nil {
		return err
	}
	ok, err := p.verify(ctx, u.Password, password)
	if err != nil {
		return err
	}
	if !ok {
		return p.refuseLogin(ctx, k, u, true, "wrong present password", fmt.Errorf("%w present password: it is wrong", credential.ErrInvalid))
	}
	p.delays.succeeded(k)
	return nil
}
