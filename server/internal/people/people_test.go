package people_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

const password = "correct horse battery"

// site is a vault with the admin alice.
type site struct {
	*people.People
	t        *testing.T
	rooms    *roomtest.Rooms
	clock    *roomtest.Clock
	settings *setting.Settings
	alice    grant.Person
}

func open(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, rooms: roomtest.Open(t), clock: roomtest.NewClock()}
	s.settings = must(setting.Open(s.rooms.Barrier, s.rooms.Log))(t)
	s.People = people.New(s.rooms.Barrier, s.rooms.Log, s.settings, s.clock.Now)
	check(t, s.CreateAdmin(t.Context(), "alice", s.buffer(password)))
	s.alice = s.login("alice", password).Person
	return s
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) buffer(text string) *secret.Buffer {
	s.t.Helper()
	return must(s.rooms.Arena.From([]byte(text)))(s.t)
}

func (s *site) try(name, password, code, from string) (people.Session, error) {
	s.t.Helper()
	b := s.buffer(password)
	defer b.Wipe()
	return s.Login(s.t.Context(), people.Login{User: name, Password: b, Code: code, From: from})
}

func (s *site) login(name, password string) people.Session {
	s.t.Helper()
	return must(s.try(name, password, "", "192.0.2.1"))(s.t)
}

func (s *site) add(name, role string) grant.Person {
	s.t.Helper()
	must(s.AddUser(s.t.Context(), s.alice, people.NewUser{Name: name, Role: role, Password: s.buffer(password)}))(s.t)
	return s.login(name, password).Person
}

func (s *site) set(name setting.Name, text string) {
	s.t.Helper()
	must(s.settings.Set(s.t.Context(), s.alice, name, text))(s.t)
}

// admits tells whether a token is good.
func (s *site) admits(token string) bool {
	s.t.Helper()
	_, _, err := s.Authenticate(s.t.Context(), token)
	if err != nil && !errors.Is(err, people.ErrUnauthenticated) {
		s.t.Error(err)
	}
	return err == nil
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := open(t)
	session := s.login("alice", password)
	if want := s.clock.At.Add(12 * time.Hour); !session.Expires.Equal(want) {
		t.Errorf("the session ends %s, want %s", session.Expires, want)
	}
	who, _, err := s.Authenticate(t.Context(), session.Token)
	if err != nil || who.Name != "alice" || who.Role != "admin" || who.Permissions != grant.AllPermissions {
		t.Errorf("%+v, %v", who, err)
	}
	if e := s.rooms.Newest(t, 1)[0]; e.Action != "user.login" || e.Actor != "alice" || e.Outcome != "allowed" {
		t.Errorf("logged: %+v", e)
	}
}

// A session ends when it is not used for a time, and at its last moment.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.set(setting.SessionIdle, "10m")
	s.set(setting.SessionMax, "1h")
	session := s.login("alice", password).Token
	for range 6 {
		s.clock.Add(10*time.Minute - time.Second)
		if !s.admits(session) {
			t.Fatal("a session that is used ended")
		}
	}
	s.clock.Add(5 * time.Second)
	if !s.admits(session) {
		t.Error("a second before its end")
	}
	s.clock.Add(time.Second)
	if s.admits(session) {
		t.Error("it goes on beyond its end")
	}
	idle := s.login("alice", password).Token
	s.clock.Add(10 * time.Minute)
	if s.admits(idle) {
		t.Error("it idled for ten minutes and is good")
	}
	// What a new start of the server does not know counts from there.
	late := s.login("alice", password).Token
	s.clock.Add(9 * time.Minute)
	again := people.New(s.rooms.Barrier, s.rooms.Log, s.settings, s.clock.Now)
	s.clock.Add(9 * time.Minute)
	if _, _, err := again.Authenticate(t.Context(), late); err != nil {
		t.Errorf("after a start: %v", err)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, c := range []struct{ name, password, actor string }{
		{"alice", "wrong horse battery", "alice"},
		{"alice", password + "\x00", "alice"},
		{"alice", "", "alice"},
		{"mallory-canary", password, "unknown"},
		{"", "", "unknown"},
		{"alice/x", password, "unknown"},
	} {
		_, err := s.try(c.name, c.password, "", "192.0.2."+c.actor)
		if !errors.Is(err, people.ErrLogin) {
			t.Errorf("%s/%s: %v, want ErrLogin", c.name, c.password, err)
		}
		for _, e := range s.rooms.Newest(t, 5) {
			if strings.Contains(e.Actor+e.Target+e.Reason, "canary") {
				t.Errorf("%s: logged %+v", c.name, e)
			}
		}
	}
	e := s.rooms.Newest(t, 1)[0]
	if e.Action != "user.login" || e.Actor != "unknown" || e.Outcome != "refused" || e.Reason != "wrong name or password" || e.From != "192.0.2.unknown" || e.Target != "" {
		t.Errorf("logged %+v", e)
	}
}

// Failures of an address hold up that address and nobody else.
func TestDelays(t *testing.T) {
	t.Parallel()
	s := open(t)
	const bad, good = "198.51.100.7", "192.0.2.1"
	for range 5 {
		if _, err := s.try("alice", "wrong horse battery", "", bad); !errors.Is(err, people.ErrLogin) {
			t.Fatal(err)
		}
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 16} {
		var delay *people.DelayError
		if _, err := s.try("alice", password, "", bad); !errors.As(err, &delay) || delay.Wait != want*time.Second {
			t.Fatalf("failure %d: %v, want to wait %d s", 5+i, err, want)
		}
		s.clock.Add(want*time.Second - time.Millisecond)
		if _, err := s.try("alice", password, "", bad); !errors.As(err, &delay) {
			t.Fatalf("a millisecond early: %v", err)
		}
		s.clock.Add(time.Millisecond)
		if _, err := s.try("alice", "wrong horse battery", "", bad); !errors.Is(err, people.ErrLogin) {
			t.Fatal(err)
		}
	}
	if _, err := s.try("alice", password, "", good); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	s.clock.Add(15 * time.Minute)
	if _, err := s.try("alice", password, "", bad); err != nil {
		t.Errorf("after waiting: %v", err)
	}
	if _, err := s.try("alice", "wrong horse battery", "", bad); !errors.Is(err, people.ErrLogin) {
		t.Errorf("success did not begin anew: %v", err)
	}
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.set(setting.PasswordMin, "14")
	s.set(setting.PasswordClasses, "3")
	s.set(setting.PasswordBanned, "Winter,acme")
	for password, want := range map[string]string{
		"Short1aaaaaaa":                  "at least 14 characters",
		"alllowercaseletters":            "it needs 3 of the four",
		"lowercase with 1 digit too":     "", // spaces are the third
		"MyWINTER2030rocks":              "banned",
		"xxAcMe99999999":                 "banned",
		"Is-BOB-4-ever-and-ever":         "the user's name",
		"Ünïcödé-is-fine-2":              "",
		"bad utf8 \xff A1 and much more": "UTF-8",
		strings.Repeat("Aa1-", 257):      "at most 1024 bytes",
	} {
		_, err := s.AddUser(t.Context(), s.alice, people.NewUser{Name: "bob", Role: "developer", Password: s.buffer(password)})
		if want == "" {
			check(t, err)
			check(t, s.DeleteUser(t.Context(), s.alice, "bob", 0, anybody))
			continue
		}
		if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), password) {
			t.Errorf("%.30q: %v, want %q and not the password", password, err, want)
		}
	}
}

func TestWeakAdminPassword(t *testing.T) {
	t.Parallel()
	r := roomtest.Open(t)
	p := people.New(r.Barrier, r.Log, must(setting.Open(r.Barrier, r.Log))(t), time.Now)
	weak := must(r.Arena.From([]byte("elevenchars")))(t)
	err := p.CreateAdmin(context.Background(), "alice", weak)
	if !errors.Is(err, credential.ErrInvalid) || strings.Contains(err.Error(), "eleven") {
		t.Errorf("%v, want ErrInvalid without the password", err)
	}
}
