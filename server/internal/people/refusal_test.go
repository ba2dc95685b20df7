package people_test

import (
	"errors"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/credential"
)

// Asking in vain costs neither entries nor the room that is kept for essential actions: what is not there leaves no
// entry, what is refused a counted one, and the vault stays as it is.
func TestAskingInVain(t *testing.T) {
	t.Parallel()
	s := open(t)
	must(s.AddRole(t.Context(), s.alice, "user-manager", []string{"user.*", "credential.own"}))(t)
	mallory := s.add("mallory", "user-manager")
	admin, yes := "admin", true
	edit := func(name string, e people.UserEdit) error {
		_, err := s.EditUser(t.Context(), mallory, name, e)
		return err
	}
	add := func(name, role string) error {
		_, err := s.AddUser(t.Context(), mallory, people.NewUser{Name: name, Role: role, Password: s.buffer(password)})
		return err
	}
	role := func(name, permission string) error {
		_, err := s.AddRole(t.Context(), mallory, name, []string{permission})
		return err
	}
	for name, c := range map[string]struct {
		do      func() error
		want    error
		entries uint64 // of 20 times
	}{
		"end no token":           {func() error { return s.RevokeToken(t.Context(), mallory, people.Token{}, "nothing") }, people.ErrNotFound, 0},
		"end Not A Token":        {func() error { return s.RevokeToken(t.Context(), mallory, people.Token{}, "Not A Name") }, people.ErrNotFound, 0},
		"disable nobody":         {func() error { return edit("nobody", people.UserEdit{Disabled: &yes}) }, people.ErrNoUser, 0},
		"disable what it was":    {func() error { return edit("mallory", people.UserEdit{Disabled: &yes, Revision: 99}) }, people.ErrChanged, 0},
		"disable the admin":      {func() error { return edit("alice", people.UserEdit{Disabled: &yes}) }, people.ErrRefused, 1},
		"become admin":           {func() error { return edit("mallory", people.UserEdit{Role: &admin}) }, people.ErrRefused, 1},
		"delete nobody":          {func() error { return s.DeleteUser(t.Context(), mallory, "nobody", 0, anybody) }, people.ErrNoUser, 0},
		"delete the admin":       {func() error { return s.DeleteUser(t.Context(), mallory, "alice", 0, anybody) }, people.ErrRefused, 1},
		"reset nobody":           {func() error { return s.ResetPassword(t.Context(), mallory, "nobody", s.buffer(password)) }, people.ErrNoUser, 0},
		"reset the admin":        {func() error { return s.ResetPassword(t.Context(), mallory, "alice", s.buffer(password)) }, people.ErrRefused, 1},
		"reset by a weak one":    {func() error { return s.ResetPassword(t.Context(), s.alice, "mallory", s.buffer("short")) }, credential.ErrInvalid, 0},
		"take nobody's factor":   {func() error { return s.RemoveFactor(t.Context(), mallory, "nobody", "") }, people.ErrNoUser, 0},
		"take the admin's":       {func() error { return s.RemoveFactor(t.Context(), mallory, "alice", "") }, people.ErrRefused, 1},
		"add a role beyond":      {func() error { return role("x", "audit.view") }, people.ErrRefused, 1},
		"add a role once more":   {func() error { return role("user-manager", "user.view") }, people.ErrTaken, 0},
		"delete no role":         {func() error { return s.DeleteRole(t.Context(), mallory, "nothing") }, people.ErrNoRole, 0},
		"delete a built-in role": {func() error { return s.DeleteRole(t.Context(), mallory, "admin") }, people.ErrRefused, 1},
		"delete one in use":      {func() error { return s.DeleteRole(t.Context(), mallory, "user-manager") }, people.ErrInUse, 0},
		"add an admin":           {func() error { return add("eve", "admin") }, people.ErrRefused, 1},
		"add a user once more":   {func() error { return add("mallory", "user-manager") }, people.ErrTaken, 0},
		"add one of no role":     {func() error { return add("eve", "nothing") }, people.ErrNoRole, 0},
	} {
		s.rooms.Log.FlushRefusals() // else those of before have their number logged whenever their minute is over
		entries, commit := s.entries(), s.rooms.Barrier.Commit()
		for range 20 {
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
		if got := s.entries() - entries - 1; got != c.entries || s.rooms.Barrier.Commit() != commit {
			t.Errorf("%s: %d entries, want %d; commit %d, want %d", name, got, c.entries, s.rooms.Barrier.Commit(), commit)
		}
	}
	// The control: what is allowed is two entries, and a commit.
	s.rooms.Log.FlushRefusals()
	entries, commit := s.entries(), s.rooms.Barrier.Commit()
	check(t, role("viewer", "user.view"))
	if got := s.entries() - entries - 1; got != 2 || s.rooms.Barrier.Commit() != commit+1 {
		t.Errorf("a role: %d entries, want 2", got)
	}
}

// entries counts those of the log, with one that it makes: nothing from before is on its way then.
func (s *site) entries() uint64 {
	s.t.Helper()
	return must(s.rooms.Log.Append(s.t.Context(), audit.Entry{Actor: "test", Action: "test.mark", Outcome: audit.Allowed}))(s.t)
}

// A reset answers nothing about the password that somebody has, or had.
func TestAResetIsNoOracle(t *testing.T) {
	t.Parallel()
	s := open(t)
	must(s.AddRole(t.Context(), s.alice, "user-manager", []string{"user.*", "credential.own", "request.make", "credential.view", "grant.view", "host.view"}))(t)
	mallory := s.add("mallory", "user-manager")
	s.add("bob", "developer")
	right := s.ResetPassword(t.Context(), mallory, "alice", s.buffer(password))
	wrong := s.ResetPassword(t.Context(), mallory, "alice", s.buffer("another horse battery"))
	if !errors.Is(right, people.ErrRefused) || wrong == nil || right.Error() != wrong.Error() {
		t.Errorf("the admin's password: %v; another: %v", right, wrong)
	}
	check(t, s.ResetPassword(t.Context(), mallory, "bob", s.buffer(password))) // it was that
}
