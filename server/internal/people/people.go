// Package people knows who may sign in: users, their passwords, and the tokens
// that stand for them. It makes the grant.Person that other rooms ask for; what
// a person may do is not decided here.
package people

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Errors that callers tell apart.
var (
	ErrLogin           = errors.New("the name or the password is wrong")
	ErrUnauthenticated = errors.New("the token is not valid, or it has ended: log in again")
	ErrNotFound        = errors.New("no such token")
	ErrTaken           = errors.New("there is a token of that name")
	ErrBusy            = errors.New("too many logins at once: try again in a moment")
)

// RoleAdmin may do everything that its owner alone may not.
const RoleAdmin = "admin"

const kindUser barrier.Kind = "user"

// MinPassword is the least number of bytes of a password.
const MinPassword = 12

// user is a record of kind "user".
type user struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     string    `json:"role"`
	Password string    `json:"password"` // Argon2id, PHC string
	Created  time.Time `json:"created"`
}

// People is the room. It is safe for concurrent use.
type People struct {
	barrier *barrier.Barrier
	log     *audit.Log
	now     func() time.Time
	hashing chan struct{} // bounds the memory that password hashing takes
}

// New opens the room over an unsealed barrier.
func New(b *barrier.Barrier, log *audit.Log, now func() time.Time) *People {
	return &People{barrier: b, log: log, now: now, hashing: make(chan struct{}, 2)}
}

// CreateAdmin makes the first person, as part of making the vault.
func (p *People) CreateAdmin(ctx context.Context, name string, password *secret.Buffer) error {
	if err := credential.ValidName("user name", name); err != nil {
		return err
	}
	if password.Len() < MinPassword {
		return fmt.Errorf("%w password: %d bytes, at least %d are needed", credential.ErrInvalid, password.Len(), MinPassword)
	}
	hash, err := hashPassword(password.Reveal())
	if err != nil {
		return err
	}
	u := user{ID: credential.NewID(), Name: name, Role: RoleAdmin, Password: hash, Created: p.now()}
	entry := audit.Entry{Actor: "system", Action: "user.create", Target: name, Outcome: audit.Allowed, Reason: "the first admin"}
	return p.log.Change(ctx, p.barrier, entry, func(tx *barrier.Tx) error {
		if err := tx.Claim(kindUser, u.Name, u.ID); err != nil {
			return err
		}
		return tx.PutJSON(kindUser, u.ID, u)
	})
}

// Login checks a password and returns a session token and its end.
func (p *People) Login(ctx context.Context, name string, password *secret.Buffer) (token string, expires time.Time, err error) {
	u, known, err := p.userByName(name)
	if err != nil {
		return "", time.Time{}, err
	}
	ok, err := p.checkPassword(ctx, u, known, password)
	if err != nil {
		return "", time.Time{}, err
	}
	if !ok {
		// An unknown name is not logged as it came: it may be a password typed
		// into the wrong field.
		actor := "unknown"
		if known {
			actor = u.Name
		}
		entry := audit.Entry{Actor: actor, Action: "user.login", Outcome: audit.Refused, Reason: ErrLogin.Error()}
		if _, err := p.log.Append(ctx, entry); err != nil {
			return "", time.Time{}, err
		}
		return "", time.Time{}, ErrLogin
	}
	t := Token{ID: credential.NewID(), User: u.ID, Created: p.now(), Expires: p.now().Add(sessionLength)}
	entry := audit.Entry{Actor: u.Name, Action: "user.login", Target: t.ID, Outcome: audit.Allowed}
	text, err := p.storeToken(ctx, t, entry)
	return text, t.Expires, err
}

// checkPassword takes as long for an unknown name as for a known one.
func (p *People) checkPassword(ctx context.Context, u user, known bool, password *secret.Buffer) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	select {
	case p.hashing <- struct{}{}:
		defer func() { <-p.hashing }()
	case <-wait.Done():
		return false, ErrBusy
	}
	stored := u.Password
	if !known {
		stored = decoyHash
	}
	ok, err := verifyPassword(stored, password.Reveal())
	return ok && known, err
}

func (p *People) userByName(name string) (u user, known bool, err error) {
	if credential.ValidName("user name", name) != nil {
		return user{}, false, nil // nobody has such a name
	}
	err = p.barrier.View(func(tx *barrier.Tx) error {
		id, err := tx.Lookup(kindUser, name)
		if err != nil {
			return err
		}
		return tx.GetJSON(kindUser, id, &u)
	})
	if errors.Is(err, barrier.ErrNotFound) {
		return user{}, false, nil
	}
	return u, err == nil, err
}

func (u user) person() grant.Person { return grant.Person{ID: u.ID, Name: u.Name, Role: u.Role} }
