package people_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// The roles' permissions, as they are decided.
var roles = map[string]string{
	"admin": "credential.view, credential.create, credential.edit, credential.delete, credential.reveal, credential.own, " +
		"request.make, grant.view, grant.edit, host.view, host.join, host.label, host.revoke, user.view, user.edit, " +
		"setting.view, setting.edit, audit.view, vault.seal, vault.keys, vault.backup, metrics.view",
	"credential-manager": "credential.view, credential.create, credential.edit, credential.delete, credential.reveal, " +
		"credential.own, request.make, grant.view, grant.edit, host.view, user.view",
	"fleet-manager": "credential.view, credential.own, request.make, grant.view, host.view, host.join, host.label, host.revoke",
	"developer":     "credential.view, credential.own, request.make, grant.view, host.view",
	"auditor":       "credential.view, grant.view, host.view, user.view, setting.view, audit.view",
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := open(t)
	must(s.AddRole(t.Context(), s.alice, "operator", []string{"host.*", "vault.seal"}))(t)
	list := must(s.Roles())(t)
	if len(list) != 6 {
		t.Errorf("%d roles, want 6", len(list))
	}
	for _, r := range list {
		if want, ok := roles[r.Name]; ok && (r.Permissions.String() != want || !r.BuiltIn) {
			t.Errorf("%s: %s, want %s", r.Name, r.Permissions, want)
		}
	}
	carol := s.add("carol", "operator")
	if got, want := carol.Permissions.String(), "host.view, host.join, host.label, host.revoke, vault.seal"; got != want {
		t.Errorf("carol can %s, want %s", got, want)
	}
	for _, c := range []struct {
		name        string
		permissions []string
		want        error
	}{
		{"operator", []string{"host.view"}, people.ErrTaken},
		{"admin", []string{"host.view"}, people.ErrTaken},
		{"Bad Name", []string{"host.view"}, credential.ErrInvalid},
		{"empty", nil, credential.ErrInvalid},
		{"wrong", []string{"host.fly"}, credential.ErrInvalid},
	} {
		if _, err := s.AddRole(t.Context(), s.alice, c.name, c.permissions); !errors.Is(err, c.want) {
			t.Errorf("role %s: %v, want %v", c.name, err, c.want)
		}
	}
	for name, want := range map[string]error{"operator": people.ErrInUse, "admin": people.ErrRefused, "nothing": people.ErrNoRole} {
		if err := s.DeleteRole(t.Context(), s.alice, name); !errors.Is(err, want) {
			t.Errorf("deleting %s: %v, want %v", name, err, want)
		}
	}
	check(t, s.DeleteUser(t.Context(), s.alice, "carol", 0, anybody))
	check(t, s.DeleteRole(t.Context(), s.alice, "operator"))
	if _, err := s.Role("operator"); !errors.Is(err, people.ErrNoRole) {
		t.Errorf("after it was deleted: %v", err)
	}
}

// Nobody hands out or takes over what they lack.
func TestNobodyHandsOutWhatHeHasNot(t *testing.T) {
	t.Parallel()
	s := open(t)
	must(s.AddRole(t.Context(), s.alice, "user-manager", []string{"user.*", "host.view", "grant.view", "credential.view", "credential.own", "request.make"}))(t)
	carol := s.add("carol", "user-manager")
	s.add("dave", "developer")
	admin, auditor := "admin", "auditor"
	yes := true
	for name, do := range map[string]func() error{
		"add an admin": func() error {
			_, err := s.AddUser(t.Context(), carol, people.NewUser{Name: "eve", Role: "admin", Password: s.buffer(password)})
			return err
		},
		"become admin": func() error {
			_, err := s.EditUser(t.Context(), carol, "carol", people.UserEdit{Role: &admin})
			return err
		},
		"make a colleague auditor": func() error {
			_, err := s.EditUser(t.Context(), carol, "dave", people.UserEdit{Role: &auditor})
			return err
		},
		"disable the admin": func() error {
			_, err := s.EditUser(t.Context(), carol, "alice", people.UserEdit{Disabled: &yes})
			return err
		},
		"delete the admin":        func() error { return s.DeleteUser(t.Context(), carol, "alice", 0, anybody) },
		"reset the admin":         func() error { return s.ResetPassword(t.Context(), carol, "alice", s.buffer("another horse battery")) },
		"take the admin's factor": func() error { return s.withFactor("alice", carol) },
		"a role beyond one's own": func() error { _, err := s.AddRole(t.Context(), carol, "x", []string{"audit.view"}); return err },
		"a token beyond one's own": func() error {
			return second(s.CreateToken(t.Context(), carol, people.Token{}, people.NewToken{Name: "x", Scopes: []string{"audit.*"}}))
		},
	} {
		if err := do(); !errors.Is(err, people.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", name, err)
		}
	}
	e := s.rooms.Newest(t, 1)[0]
	if e.Actor != "carol" || e.Outcome != "refused" || !strings.Contains(e.Reason, "permissions") {
		t.Errorf("logged: %+v", e)
	}
	// The control: within one's own permissions it works.
	check(t, s.ResetPassword(t.Context(), carol, "dave", s.buffer("another horse battery")))
	must(s.EditUser(t.Context(), carol, "dave", people.UserEdit{Disabled: &yes}))(t)
	if u := must(s.User("alice"))(t); u.Role != "admin" || !u.Disabled.IsZero() {
		t.Errorf("alice is %+v", u)
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }

func (s *site) withFactor(name string, by grant.Person) error {
	s.t.Helper()
	if _, err := s.BeginFactor(s.t.Context(), s.alice, s.buffer(password), s.rooms.Arena); err != nil && !errors.Is(err, people.ErrInUse) {
		s.t.Fatal(err)
	}
	return s.RemoveFactor(s.t.Context(), by, name, "")
}

func TestTheLastAdmin(t *testing.T) {
	t.Parallel()
	s := open(t)
	developer, yes := "developer", true
	attempts := map[string]func(context.Context) error{
		"role":    func(ctx context.Context) error { return edit(s, ctx, people.UserEdit{Role: &developer}) },
		"disable": func(ctx context.Context) error { return edit(s, ctx, people.UserEdit{Disabled: &yes}) },
		"delete":  func(ctx context.Context) error { return s.DeleteUser(ctx, s.alice, "alice", 0, anybody) },
	}
	refused := func(when string) {
		t.Helper()
		for name, do := range attempts {
			if err := do(t.Context()); !errors.Is(err, people.ErrRefused) || !strings.Contains(err.Error(), "last admin") {
				t.Errorf("%s, %s: %v", when, name, err)
			}
		}
	}
	refused("alone")
	s.add("bob", "admin")
	must(s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Disabled: &yes}))(t)
	refused("beside one who is disabled")
	no := false
	must(s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Disabled: &no}))(t)
	check(t, s.DeleteUser(t.Context(), s.alice, "alice", 0, anybody))
	if _, err := s.User("alice"); !errors.Is(err, people.ErrNoUser) {
		t.Errorf("the deleted: %v", err)
	}
}

func edit(s *site, ctx context.Context, e people.UserEdit) error {
	_, err := s.EditUser(ctx, s.alice, "alice", e)
	return err
}

func TestDisabledAndDeleted(t *testing.T) {
	t.Parallel()
	s := open(t)
	bob := s.add("bob", "developer")
	session := s.login("bob", password).Token
	token := s.token(bob, people.NewToken{Name: "ci"})
	yes, no := true, false
	u := must(s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Disabled: &yes}))(t)
	if s.admits(session) || s.admits(token) {
		t.Error("a disabled user's tokens are good")
	}
	if _, err := s.try("bob", password, "", "192.0.2.9"); !errors.Is(err, people.ErrLogin) {
		t.Errorf("a disabled user logs in: %v", err)
	}
	if e := s.rooms.Newest(t, 1)[0]; e.Reason != "the user is disabled" || e.From != "192.0.2.9" || e.Outcome != "refused" {
		t.Errorf("logged %+v", e)
	}
	if _, err := s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Disabled: &no, Revision: u.Revision - 1}); !errors.Is(err, people.ErrChanged) {
		t.Errorf("on what was seen before: %v, want ErrChanged", err)
	}
	s.clock.Add(time.Second)
	must(s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Disabled: &no, Revision: u.Revision}))(t)
	if s.admits(session) || !s.admits(token) {
		t.Error("enabled again: the session must stay ended, the token be good")
	}
	role := "auditor"
	must(s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Role: &role}))(t)
	if got := s.login("bob", password).Person.Since; !got.After(bob.Since) || !got.Equal(s.clock.At) {
		t.Errorf("another role at %s: somebody else since %s", s.clock.At, got)
	}
	check(t, s.DeleteUser(t.Context(), s.alice, "bob", 0, anybody))
	if s.admits(token) {
		t.Error("a deleted user's token is good")
	}
	s.add("bob", "developer")
	if s.admits(token) {
		t.Error("another user of the same name has the token")
	}
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s := open(t)
	bob := s.add("bob", "developer")
	session, token := s.login("bob", password).Token, s.token(bob, people.NewToken{Name: "ci"})
	next := "another horse battery"
	if err := s.ChangePassword(t.Context(), bob, s.buffer("wrong horse battery"), s.buffer(next)); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("with a wrong old one: %v", err)
	}
	if err := s.ChangePassword(t.Context(), bob, s.buffer(password), s.buffer(password)); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "one of the last 5") {
		t.Errorf("the same again: %v", err)
	}
	s.clock.Add(time.Second)
	check(t, s.ChangePassword(t.Context(), bob, s.buffer(password), s.buffer(next)))
	if s.admits(session) || !s.admits(token) {
		t.Error("the session must have ended and the token be good")
	}
	if _, err := s.try("bob", password, "", "192.0.2.9"); !errors.Is(err, people.ErrLogin) {
		t.Errorf("the old password: %v", err)
	}
	if bob := s.login("bob", next).Person; !bob.LockedUntil.IsZero() {
		t.Error("changing one's own password counts as a reset")
	}
	if err := s.ChangePassword(t.Context(), bob, s.buffer(next), s.buffer(password)); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("the one before: %v", err)
	}
	s.set(setting.PasswordHistory, "1")
	check(t, s.ChangePassword(t.Context(), bob, s.buffer(next), s.buffer(password)))
}

func TestResetPassword(t *testing.T) {
	t.Parallel()
	s := open(t)
	bob := s.add("bob", "developer")
	session, token := s.login("bob", password).Token, s.token(bob, people.NewToken{Name: "ci"})
	s.clock.Add(time.Second)
	check(t, s.ResetPassword(t.Context(), s.alice, "bob", s.buffer("another horse battery")))
	if s.admits(session) || s.admits(token) {
		t.Error("what stood for bob before is good")
	}
	first := s.clock.At
	locked := func() grant.Person { return s.login("bob", "another horse battery").Person }
	if got := locked(); !got.LockedUntil.Equal(first.Add(24*time.Hour)) || !got.Since.Equal(first) {
		t.Errorf("locked until %s, somebody else since %s; it was %s", got.LockedUntil, got.Since, first)
	}
	// A lower setting does not shorten it, neither by itself nor with another reset.
	s.set(setting.CustomLock, "1m")
	s.clock.Add(time.Minute)
	if got := locked(); !got.LockedUntil.Equal(first.Add(24 * time.Hour)) {
		t.Errorf("after the setting was lowered: locked until %s", got.LockedUntil)
	}
	check(t, s.ResetPassword(t.Context(), s.alice, "bob", s.buffer("another horse battery")))
	s.clock.Add(time.Second)
	if got := locked(); !got.LockedUntil.Equal(first.Add(24*time.Hour)) || !got.Since.Equal(first.Add(time.Minute)) {
		t.Errorf("after another reset: locked until %s, somebody else since %s", got.LockedUntil, got.Since)
	}
	if err := s.ResetPassword(t.Context(), s.alice, "alice", s.buffer("another horse battery")); !errors.Is(err, people.ErrRefused) {
		t.Errorf("one's own: %v, want ErrRefused", err)
	}
	if err := s.ResetPassword(t.Context(), s.alice, "nobody", s.buffer("another horse battery")); !errors.Is(err, people.ErrNoUser) {
		t.Errorf("nobody's: %v, want ErrNoUser", err)
	}
}

// A hash of elsewhere is taken over, and is Argon2id after the first login.
func TestBcrypt(t *testing.T) {
	t.Parallel()
	s := open(t)
	hash := func(cost int) string { return string(must(bcrypt.GenerateFromPassword([]byte(password), cost))(t)) }
	add := func(name, text string) error {
		_, err := s.AddUser(t.Context(), s.alice, people.NewUser{Name: name, Role: "developer", Bcrypt: s.buffer(text)})
		return err
	}
	good := hash(8)
	for name, text := range map[string]string{
		"cost 4": hash(4), "cost 15": strings.Replace(good, "$08$", "$15$", 1), "short": good[:59], "long": good + "x",
		"no hash": password, "argon": "$argon2id$v=19$m=1,t=1,p=1$AA$AA",
	} {
		if err := add("bob", text); !errors.Is(err, credential.ErrInvalid) || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, add("bob", good))
	check(t, add("carol", strings.Replace(good, "$2a$", "$2y$", 1)))
	if _, err := s.try("bob", "wrong horse battery", "", "192.0.2.1"); !errors.Is(err, people.ErrLogin) {
		t.Errorf("a wrong password: %v", err)
	}
	s.login("carol", password)
	s.login("bob", password)
	s.login("bob", password) // now by the new hash
	if stored := s.stored("bob"); strings.Contains(stored, "$2a$") || !strings.Contains(stored, "$argon2id$") {
		t.Error("the bcrypt hash is still there")
	}
	if _, err := s.AddUser(t.Context(), s.alice, people.NewUser{Name: "dave", Role: "developer", Bcrypt: s.buffer(good), Password: s.buffer(password)}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("both: %v", err)
	}
}

// anybody may be deleted: nothing else keeps them.
func anybody(string) error { return nil }
