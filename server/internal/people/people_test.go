package people_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

const password = "correct horse battery"

func open(t *testing.T) (*people.People, *roomtest.Rooms, *roomtest.Clock) {
	t.Helper()
	r, clock := roomtest.Open(t), roomtest.NewClock()
	p := people.New(r.Barrier, r.Log, clock.Now)
	if err := p.CreateAdmin(t.Context(), "alice", buffer(t, r, password)); err != nil {
		t.Fatal(err)
	}
	return p, r, clock
}

func buffer(t *testing.T, r *roomtest.Rooms, s string) *secret.Buffer {
	t.Helper()
	b, err := r.Arena.From([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLogin(t *testing.T) {
	t.Parallel()
	p, r, clock := open(t)
	token, expires, err := p.Login(t.Context(), "alice", buffer(t, r, password))
	if err != nil {
		t.Fatal(err)
	}
	if want := clock.At.Add(12 * time.Hour); !expires.Equal(want) {
		t.Errorf("the session ends %s, want %s", expires, want)
	}
	who, _, err := p.Authenticate(token)
	if err != nil || who.Name != "alice" || who.Role != "admin" {
		t.Errorf("%+v, %v", who, err)
	}
	if e := r.Newest(t, 1)[0]; e.Action != "user.login" || e.Actor != "alice" || e.Outcome != "allowed" {
		t.Errorf("logged: %+v", e)
	}
	clock.Add(12*time.Hour - time.Second)
	if _, _, err := p.Authenticate(token); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	clock.Add(time.Second)
	if _, _, err := p.Authenticate(token); !errors.Is(err, people.ErrUnauthenticated) {
		t.Errorf("at its end: %v, want ErrUnauthenticated", err)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	p, r, _ := open(t)
	for _, c := range []struct{ name, password, actor string }{
		{"alice", "wrong horse battery", "alice"},
		{"alice", password + "\x00", "alice"},
		{"alice", "", "alice"},
		{"mallory-canary", password, "unknown"},
		{"", "", "unknown"},
	} {
		_, _, err := p.Login(t.Context(), c.name, buffer(t, r, c.password))
		if !errors.Is(err, people.ErrLogin) {
			t.Errorf("%s/%s: %v, want ErrLogin", c.name, c.password, err)
		}
		e := r.Newest(t, 1)[0]
		if e.Action != "user.login" || e.Actor != c.actor || e.Outcome != "refused" || e.Reason != "the name or the password is wrong" || e.Target != "" {
			t.Errorf("%s: logged %+v", c.name, e)
		}
	}
}

func TestTokensThatStandForNobody(t *testing.T) {
	t.Parallel()
	p, r, _ := open(t)
	token, _, err := p.Login(t.Context(), "alice", buffer(t, r, password))
	if err != nil {
		t.Fatal(err)
	}
	last := token[len(token)-1:]
	other := "a"
	if last == "a" {
		other = "b"
	}
	id := strings.Split(token, "_")[1]
	for _, bad := range []string{
		"", "srt_", "srt__", "srt_" + id, "srt_" + id + "_", token[:len(token)-1], token[:len(token)-1] + other,
		token + "x", strings.TrimPrefix(token, "srt_"), "srj_" + token[4:], "srt_" + strings.Repeat("a", 300) + "_x",
	} {
		if _, _, err := p.Authenticate(bad); !errors.Is(err, people.ErrUnauthenticated) {
			t.Errorf("%q: %v, want ErrUnauthenticated", bad, err)
		}
	}
	if _, _, err := p.Authenticate(token); err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func TestLogoutAndRevocation(t *testing.T) {
	t.Parallel()
	p, r, clock := open(t)
	session, _, err := p.Login(t.Context(), "alice", buffer(t, r, password))
	if err != nil {
		t.Fatal(err)
	}
	alice, t1, err := p.Authenticate(session)
	if err != nil {
		t.Fatal(err)
	}
	api, err := p.CreateToken(t.Context(), alice, "ci", clock.At.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.CreateToken(t.Context(), alice, "ci", time.Time{}); !errors.Is(err, people.ErrTaken) {
		t.Errorf("the same name again: %v, want ErrTaken", err)
	}
	if _, err := p.CreateToken(t.Context(), alice, "old", clock.At); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("an end that has passed: %v, want ErrInvalid", err)
	}
	list, err := p.Tokens(alice)
	if err != nil || len(list) != 1 || list[0].Name != "ci" || list[0].Hash != nil {
		t.Errorf("%+v, %v; want ci alone, without its hash", list, err)
	}
	if err := p.Logout(t.Context(), alice, t1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Authenticate(session); !errors.Is(err, people.ErrUnauthenticated) {
		t.Errorf("after logout: %v", err)
	}
	if _, _, err := p.Authenticate(api); err != nil {
		t.Errorf("the API token ended with the session: %v", err)
	}
	if err := p.RevokeToken(t.Context(), alice, "ci"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Authenticate(api); !errors.Is(err, people.ErrUnauthenticated) {
		t.Errorf("after revocation: %v", err)
	}
	if err := p.RevokeToken(t.Context(), alice, "ci"); !errors.Is(err, people.ErrNotFound) {
		t.Errorf("revoked again: %v, want ErrNotFound", err)
	}
	if _, err := p.CreateToken(t.Context(), alice, "ci", time.Time{}); err != nil {
		t.Errorf("the name is not free again: %v", err)
	}
}

func TestWeakAdminPassword(t *testing.T) {
	t.Parallel()
	r := roomtest.Open(t)
	p := people.New(r.Barrier, r.Log, time.Now)
	err := p.CreateAdmin(context.Background(), "alice", buffer(t, r, "elevenchars"))
	if !errors.Is(err, credential.ErrInvalid) || strings.Contains(err.Error(), "eleven") {
		t.Errorf("%v, want ErrInvalid without the password", err)
	}
}
