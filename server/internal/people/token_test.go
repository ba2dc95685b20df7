package people_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

func (s *site) token(who grant.Person, n people.NewToken) string {
	s.t.Helper()
	text, _, err := s.CreateToken(s.t.Context(), who, people.Token{}, n)
	check(s.t, err)
	return text
}

func TestTokensThatStandForNobody(t *testing.T) {
	t.Parallel()
	s := open(t)
	token := s.login("alice", password).Token
	last, other := token[len(token)-1:], "a"
	if last == "a" {
		other = "b"
	}
	id := strings.Split(token, "_")[1]
	for _, bad := range []string{
		"", "srt_", "srt__", "srt_" + id, "srt_" + id + "_", token[:len(token)-1], token[:len(token)-1] + other,
		token + "x", strings.TrimPrefix(token, "srt_"), "srj_" + token[4:], "srt_" + strings.Repeat("a", 300) + "_x",
	} {
		if s.admits(bad) {
			t.Errorf("%q is good", bad)
		}
	}
	if !s.admits(token) {
		t.Error("the right one is not")
	}
}

func TestLogoutAndRevocation(t *testing.T) {
	t.Parallel()
	s := open(t)
	session := s.login("alice", password).Token
	_, t1, err := s.Authenticate(t.Context(), session)
	check(t, err)
	api := s.token(s.alice, people.NewToken{Name: "ci", Expires: s.clock.At.Add(time.Hour)})
	for _, c := range []struct {
		token people.NewToken
		want  error
	}{
		{people.NewToken{Name: "ci"}, people.ErrTaken},
		{people.NewToken{Name: "old", Expires: s.clock.At}, credential.ErrInvalid},
		{people.NewToken{Name: "Not A Name"}, credential.ErrInvalid},
		{people.NewToken{Name: "x", Scopes: []string{"everything"}}, credential.ErrInvalid},
	} {
		if _, _, err := s.CreateToken(t.Context(), s.alice, t1, c.token); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.token, err, c.want)
		}
	}
	list := must(s.Tokens(s.alice, t1))(t)
	if len(list) != 1 || list[0].Name != "ci" || list[0].Hash != nil || !list[0].Used.IsZero() {
		t.Errorf("%+v; want ci alone, unused, without its hash", list)
	}
	check(t, s.Logout(t.Context(), s.alice, t1))
	if s.admits(session) {
		t.Error("the session is good after logout")
	}
	if !s.admits(api) {
		t.Error("the API token ended with the session")
	}
	check(t, s.RevokeToken(t.Context(), s.alice, t1, "ci"))
	if s.admits(api) {
		t.Error("the token is good after it was revoked")
	}
	if err := s.RevokeToken(t.Context(), s.alice, t1, "ci"); !errors.Is(err, people.ErrNotFound) {
		t.Errorf("revoked again: %v, want ErrNotFound", err)
	}
	s.token(s.alice, people.NewToken{Name: "ci"}) // the name is free again
}

// A token carries what it was made for, never more than its owner has, and
// what is made with it carries no more either.
func TestScopes(t *testing.T) {
	t.Parallel()
	s := open(t)
	bob := s.add("bob", "fleet-manager")
	can := func(token string) string {
		who, _, err := s.Authenticate(t.Context(), token)
		check(t, err)
		return who.Permissions.String()
	}
	text := s.token(bob, people.NewToken{Name: "hosts", Scopes: []string{"host.*"}})
	if got, want := can(text), "host.view, host.join, host.label, host.revoke"; got != want {
		t.Errorf("scope host.*: %s, want %s", got, want)
	}
	who, token, err := s.Authenticate(t.Context(), text)
	check(t, err)
	inherited, _, err := s.CreateToken(t.Context(), who, token, people.NewToken{Name: "again"})
	check(t, err)
	if got, want := can(inherited), can(text); got != want {
		t.Errorf("made with it: %s, want %s", got, want)
	}
	for _, scope := range []string{"grant.view", "user.edit"} {
		if _, _, err := s.CreateToken(t.Context(), who, token, people.NewToken{Name: "more", Scopes: []string{scope}}); !errors.Is(err, people.ErrRefused) {
			t.Errorf("%s beyond the scope: %v, want ErrRefused", scope, err)
		}
	}
	role := "auditor"
	must(s.EditUser(t.Context(), s.alice, "bob", people.UserEdit{Role: &role}))(t)
	if got, want := can(text), "host.view"; got != want {
		t.Errorf("after the owner's role changed: %s, want %s", got, want)
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.set(setting.TokenMax, "24h")
	text, token, err := s.CreateToken(t.Context(), s.alice, people.Token{}, people.NewToken{Name: "endless"})
	check(t, err)
	if want := s.clock.At.Add(24 * time.Hour); !token.Expires.Equal(want) {
		t.Errorf("it ends %s, want %s", token.Expires, want)
	}
	if _, _, err := s.CreateToken(t.Context(), s.alice, token, people.NewToken{Name: "long", Expires: s.clock.At.Add(25 * time.Hour)}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("longer than allowed: %v", err)
	}
	s.clock.Add(24*time.Hour - time.Second)
	if !s.admits(text) {
		t.Error("a second before its end")
	}
	s.clock.Add(time.Second)
	if s.admits(text) {
		t.Error("at its end")
	}
}

// The last use is stored to the hour, and survives a start of the server.
func TestLastUse(t *testing.T) {
	t.Parallel()
	s := open(t)
	text := s.token(s.alice, people.NewToken{Name: "ci"})
	used := func(p *people.People) time.Time { return must(p.Tokens(s.alice, people.Token{}))(t)[0].Used }
	first := s.clock.At
	s.admits(text)
	s.clock.Add(59 * time.Minute)
	s.admits(text)
	if !used(s.People).Equal(s.clock.At) {
		t.Errorf("last used %s, want %s", used(s.People), s.clock.At)
	}
	again := people.New(s.rooms.Barrier, s.rooms.Log, s.settings, s.clock.Now)
	if !used(again).Equal(first) {
		t.Errorf("after a start: last used %s, want %s", used(again), first)
	}
	entries := 0
	for _, e := range s.rooms.Newest(t, 100) {
		if e.Action == "token.use" && e.Outcome == "allowed" && e.Target == "ci" {
			entries++
		}
	}
	if entries != 1 {
		t.Errorf("two uses within an hour are %d entries, want 1", entries)
	}
}

// Nobody fills the vault with tokens.
func TestTokenCount(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 100 {
		s.token(s.alice, people.NewToken{Name: fmt.Sprintf("t%d", i)})
	}
	if _, _, err := s.CreateToken(t.Context(), s.alice, people.Token{}, people.NewToken{Name: "one-more"}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("token 101: %v", err)
	}
}

// A token made with an API token ends no later.
func TestATokenOutlivesNotItsMaker(t *testing.T) {
	t.Parallel()
	s := open(t)
	end := s.clock.At.Add(time.Hour)
	_, parent, err := s.CreateToken(t.Context(), s.alice, people.Token{}, people.NewToken{Name: "parent", Expires: end})
	check(t, err)
	for name, c := range map[string]struct{ ask, want time.Time }{
		"endless": {time.Time{}, end},
		"longer":  {end.Add(time.Second), end},
		"shorter": {end.Add(-time.Second), end.Add(-time.Second)},
	} {
		_, child, err := s.CreateToken(t.Context(), s.alice, parent, people.NewToken{Name: name, Expires: c.ask})
		if err != nil || !child.Expires.Equal(c.want) {
			t.Errorf("%s: it ends %s, want %s; %v", name, child.Expires, c.want, err)
		}
	}
}

// Who has a token of few scopes learns and ends nothing of its owner's others.
func TestANarrowTokenReachesItselfAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	wide := s.token(s.alice, people.NewToken{Name: "wide"})
	text := s.token(s.alice, people.NewToken{Name: "narrow", Scopes: []string{"host.view"}})
	who, narrow, err := s.Authenticate(t.Context(), text)
	check(t, err)
	if list := must(s.Tokens(who, narrow))(t); len(list) != 1 || list[0].Name != "narrow" {
		t.Errorf("it lists %+v", list)
	}
	for _, name := range []string{"wide", "nothing"} { // nor which there are
		if err := s.RevokeToken(t.Context(), who, narrow, name); !errors.Is(err, people.ErrRefused) {
			t.Errorf("ending %s: %v, want ErrRefused", name, err)
		}
	}
	check(t, s.RevokeToken(t.Context(), who, narrow, "narrow"))
	if !s.admits(wide) || s.admits(text) {
		t.Error("the other must be good, and itself have ended")
	}
}

// sessions counts the tokens that are stored.
func (s *site) sessions() (n int) {
	s.t.Helper()
	check(s.t, s.rooms.Barrier.View(func(tx *barrier.Tx) error {
		n = 0
		return tx.Scan("token", func(string, []byte) error { n++; return nil })
	}))
	return n
}

// Nobody fills the vault with sessions: the oldest goes, and only one's own, also over a start.
func TestSessionCount(t *testing.T) {
	t.Parallel()
	s := open(t) // which logged alice in
	s.add("bob", "developer")
	bobs := s.login("bob", password).Token
	api := s.token(s.alice, people.NewToken{Name: "ci"})
	var all []string
	for n := range 52 {
		if n == 25 {
			s.People = people.New(s.rooms.Barrier, s.rooms.Log, s.settings, s.clock.Now)
		}
		s.clock.Add(time.Second)
		all = append(all, s.login("alice", password).Token)
	}
	if n := s.sessions(); n != 50+2+1 {
		t.Errorf("%d tokens are stored, want alice's 50 sessions, bob's 2 and one of the API", n)
	}
	if s.admits(all[0]) || s.admits(all[1]) || !s.admits(all[2]) || !s.admits(all[51]) || !s.admits(bobs) || !s.admits(api) {
		t.Error("not the oldest of alice's alone are gone")
	}
}

// What ended goes with the next logins, a few at a time, and so do the tokens of who is gone.
func TestEndedTokensGo(t *testing.T) {
	t.Parallel()
	s := open(t)
	bob := s.add("bob", "developer")
	for n := range 12 {
		s.token(bob, people.NewToken{Name: fmt.Sprintf("t%d", n)})
	}
	check(t, s.DeleteUser(t.Context(), s.alice, "bob", 0, anybody))
	for _, want := range []int{14 - 10 + 1, 3} { // 13 of bob's and one of alice's
		if s.login("alice", password); s.sessions() != want {
			t.Errorf("%d are stored, want %d", s.sessions(), want)
		}
	}
	s.clock.Add(13 * time.Hour)
	if s.login("alice", password); s.sessions() != 1 {
		t.Errorf("%d are stored after all sessions ended, want the new one", s.sessions())
	}
	carol := s.add("carol", "developer")
	s.token(carol, people.NewToken{Name: "ci"})
	check(t, s.DeleteUser(t.Context(), s.alice, "carol", 0, anybody))
	s.People = people.New(s.rooms.Barrier, s.rooms.Log, s.settings, s.clock.Now)
	if s.login("alice", password); s.sessions() != 2 {
		t.Errorf("%d are stored after a start, want alice's two", s.sessions())
	}
}
