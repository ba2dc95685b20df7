// Package people knows who may sign in: users with their passwords and second
// factors, what their roles let them do, and the tokens that stand for them. It
// makes the grant.Person that other rooms ask for; whether a person's permissions
// suffice for something is decided where that is done.
//
// Nobody hands out permissions beyond their own: not by a role, a user, a token
// or somebody's new password.
package people

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Errors that callers tell apart.
var (
	ErrLogin           = errors.New("the name or the password is wrong")
	ErrCode            = errors.New("this user has a second factor: give its code as well")
	ErrUnauthenticated = errors.New("the token is not valid, or it has ended: log in again")
	ErrNotFound        = errors.New("no such token")
	ErrNoUser          = errors.New("no such user")
	ErrNoRole          = errors.New("no such role")
	ErrTaken           = errors.New("the name is taken")
	ErrInUse           = errors.New("still in use")
	ErrRefused         = errors.New("refused")
	ErrChanged         = errors.New("it was changed meanwhile: look at it again")
	ErrBusy            = errors.New("too many logins at once: try again in a moment")
)

const (
	kindUser barrier.Kind = "user"
	kindTOTP barrier.Kind = "totp" // a user's TOTP secret, 20 bytes; the ID is the user's
)

// user is a record of kind "user".
type user struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     string    `json:"role"`
	Password string    `json:"password"`          // Argon2id as a PHC string, or an imported bcrypt hash
	Earlier  []string  `json:"earlier,omitempty"` // hashes of earlier passwords, the newest first
	Created  time.Time `json:"created"`
	Disabled time.Time `json:"disabled,omitzero"`
	Factor   *factor   `json:"factor,omitempty"`
	// LockedUntil and Since are those of grant.Person. The lock's end is stored, so that nobody shortens it later.
	LockedUntil time.Time `json:"locked_until,omitzero"`
	Since       time.Time `json:"since"`
	// Sessions and tokens from before these have ended.
	SessionsFrom time.Time `json:"sessions_from,omitzero"`
	TokensFrom   time.Time `json:"tokens_from,omitzero"`
	// Revision counts what people change about a user.
	Revision uint64 `json:"revision"`
}

// People is the room. It is safe for concurrent use.
type People struct {
	barrier  *barrier.Barrier
	log      *audit.Log
	settings *setting.Settings
	now      func() time.Time
	opened   time.Time
	hashing  chan struct{} // bounds the memory that password hashing takes
	delays   delays
	tokens   tokenIndex

	mu   sync.Mutex
	used map[string]time.Time // when a token was last used, by its ID
}

// New opens the room over an unsealed barrier.
func New(b *barrier.Barrier, log *audit.Log, settings *setting.Settings, now func() time.Time) *People {
	return &People{
		barrier: b, log: log, settings: settings, now: now, opened: now(),
		hashing: make(chan struct{}, 2), used: map[string]time.Time{},
	}
}

// CreateAdmin makes the first person, as part of making the vault.
func (p *People) CreateAdmin(ctx context.Context, name string, password *secret.Buffer) error {
	system := grant.Person{Name: "system", Permissions: grant.AllPermissions}
	_, err := p.AddUser(ctx, system, NewUser{Name: name, Role: RoleAdmin, Password: password})
	return err
}

// plan looks at the vault and says what a change would store, or why there is none. It may run several times.
type plan func(*barrier.Tx) (store func() error, err error)

// change carries a plan out, with its entry. It is judged before anything is written, so that asking in vain costs next
// to nothing, and again in the transaction, since the vault may be another by then. Its errors are this room's.
func (p *People) change(ctx context.Context, e audit.Entry, plan plan) error {
	if err := p.judge(ctx, e, plan); err != nil {
		return err
	}
	e.Outcome = audit.Allowed
	return p.log.Change(ctx, p.barrier, e, func(tx *barrier.Tx) error {
		store, err := plan(tx)
		for _, decided := range []error{ErrRefused, ErrTaken, ErrInUse, ErrChanged, ErrLogin} {
			if errors.Is(err, decided) {
				return audit.Refusal{Err: err}
			}
		}
		if err != nil {
			return err
		}
		return store()
	})
}

// judge tells why a plan cannot be carried out. Only a refusal is logged, and repeated ones are counted.
func (p *People) judge(ctx context.Context, e audit.Entry, plan plan) error {
	err := p.barrier.View(func(tx *barrier.Tx) error {
		_, err := plan(tx)
		return err
	})
	if errors.Is(err, ErrRefused) {
		e.Reason = err.Error()
		return p.refused(ctx, e, err)
	}
	return err
}

// refused logs that something was refused and returns the answer to it.
func (p *People) refused(ctx context.Context, e audit.Entry, answer error) error {
	e.Outcome = audit.Refused
	if _, err := p.log.Append(ctx, e); err != nil {
		return err
	}
	return answer
}

// find reads a user by name, or fails with ErrNoUser.
func find(tx *barrier.Tx, name string) (u user, err error) {
	if credential.ValidName("user name", name) != nil {
		return user{}, ErrNoUser // nobody has such a name
	}
	id, err := tx.Lookup(kindUser, name)
	if err == nil {
		err = tx.GetJSON(kindUser, id, &u)
	}
	if errors.Is(err, barrier.ErrNotFound) {
		return user{}, ErrNoUser
	}
	return u, err
}

func (p *People) userByName(name string) (u user, err error) {
	err = p.barrier.View(func(tx *barrier.Tx) error {
		u, err = find(tx, name)
		return err
	})
	return u, err
}

// Person is whom a user's ID stands for now, whatever token they come with. Who is gone or disabled may do nothing.
func (p *People) Person(id string) (who grant.Person, err error) {
	if id == "" {
		return grant.Person{}, nil
	}
	err = p.barrier.View(func(tx *barrier.Tx) error {
		var u user
		if err := tx.GetJSON(kindUser, id, &u); err != nil || !u.Disabled.IsZero() {
			return err
		}
		who, err = person(tx, u)
		return err
	})
	if errors.Is(err, barrier.ErrNotFound) {
		err = nil
	}
	return who, err
}

// person is whom a user's token stands for; a role that is gone permits nothing.
func person(tx *barrier.Tx, u user) (grant.Person, error) {
	r, err := role(tx, u.Role)
	if err != nil && !errors.Is(err, ErrNoRole) {
		return grant.Person{}, err
	}
	return grant.Person{
		ID: u.ID, Name: u.Name, Role: u.Role, Permissions: r.Permissions, LockedUntil: u.LockedUntil, Since: u.Since,
	}, nil
}
