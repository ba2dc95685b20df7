package rest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/secret"
)

// A login takes the longest password there is, however it is escaped, and nothing beyond.
func TestTheLongestLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	user, code := strings.Repeat(`\u0061`, 63), strings.Repeat(`\u0031`, 64)
	for escaped, want := range map[string]int{
		strings.Repeat(`\u0078`, 1024): 401,
		strings.Repeat(`\u0078`, 1025): 422,
		strings.Repeat("x", 12<<10):    413,
	} {
		body := `{"user":"` + user + `","password":"` + escaped + `","code":"` + code + `"}`
		if a := s.do(s.raw(), s.request("POST", "/v1/login", "", body)); a.status != want {
			t.Errorf("%d bytes: %d %s, want %d", len(body), a.status, a.body, want)
		}
	}
}

// What is too large is told how large it may be.
func TestTooLargeNamesTheLimit(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for path, limit := range map[string]int{"/v1/login": 10240, "/v1/unseal": 65536, "/v1/tokens": 1048576} {
		// One byte more: the server reads it, and does not close on a client that still writes.
		a := s.do(s.raw(), s.request("POST", path, s.token, `{"name":"`+strings.Repeat("x", limit-len(`{"name":""}`)+1)+`"}`))
		if a.status != 413 || a.problem.Detail != fmt.Sprintf("the request's body is too large: at most %d bytes are allowed", limit) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// Whose password somebody else has set is told, until the lock ends.
func TestWhoamiTellsOfTheLock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, all := t.Context(), s.rooms.People
	pass := func(text string) *secret.Buffer { return s.secret(text) }
	who, _, err := all.Authenticate(ctx, must(all.Login(ctx, people.Login{User: "alice", Password: pass(password)}))(t).Token)
	check(t, err)
	must(all.AddUser(ctx, who, people.NewUser{Name: "bob", Role: "developer", Password: pass("correct horse battery")}))(t)
	bob := func() []string {
		session := must(all.Login(ctx, people.Login{User: "bob", Password: pass("another horse battery")}))(t)
		return must(s.client(session.Token).Whoami(ctx))(t).Notices
	}
	check(t, all.ResetPassword(ctx, who, "bob", pass("another horse battery")))
	if got := bob(); len(got) != 1 || !strings.Contains(got[0], "your own credentials are locked until ") {
		t.Errorf("after a reset: %q", got)
	}
	s.ahead.Store(int64(25 * time.Hour))
	if got := bob(); len(got) != 0 {
		t.Errorf("a day later: %q", got)
	}
}
