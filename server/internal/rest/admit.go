package rest

import (
	"net/http"
	"strings"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

// access says what a route demands of a request before anything of it is read.
// The zero value, of a route that does not say, demands every permission.
type access struct {
	level level
	any   grant.Permissions // one of them; finer rules are the rooms'
}

type level int

const (
	permitted level = iota
	withToken
	unsealedVault
	always
)

var (
	anytime  = access{level: always}
	anybody  = access{level: unsealedVault} // unless the vault is sealed
	signedIn = access{level: withToken}
)

// may is for those who have one of the permissions.
func may(any ...grant.Permission) access { return access{any: grant.PermissionsOf(any...)} }

func (a access) lets(have grant.Permissions) bool {
	switch {
	case a.level != permitted:
		return true
	case a.any == 0:
		return have == grant.AllPermissions
	}
	return a.any&have != 0
}

// admit lets a request into the rooms.
func (r *REST) admit(c *call, at *route) *problem {
	sealed := refusal(http.StatusServiceUnavailable, api.CodeSealed, "the vault is sealed")
	u := r.current.Load()
	if u == nil {
		return sealed
	}
	leave, ok := u.enter()
	if !ok {
		return sealed
	}
	c.unsealed, c.rooms, c.leave = u, u.rooms, leave
	if at.access == anybody {
		return nil
	}
	if p := r.authenticate(c, at); p != nil {
		leave()
		return p
	}
	return nil
}

func (r *REST) authenticate(c *call, at *route) *problem {
	scheme, text, _ := strings.Cut(c.request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		return refusal(http.StatusUnauthorized, api.CodeUnauthenticated, "this needs a bearer token: log in first")
	}
	var err error
	if c.person, c.token, err = c.rooms.People.Authenticate(c.request.Context(), text); err != nil {
		return r.problem(c, "authentication", err)
	}
	if at.access.lets(c.person.Permissions) {
		return nil
	}
	entry := audit.Entry{
		Actor: c.person.Name, Action: "api.call", Target: at.pattern(), Outcome: audit.Refused, Reason: "needs " + at.access.wants(),
	}
	if _, err := c.rooms.Audit.Append(c.request.Context(), entry); err != nil {
		return r.problem(c, at.pattern(), err)
	}
	return refusal(http.StatusForbidden, api.CodeRefused, "the role "+c.person.Role+", or this token, may not do this: it needs "+at.access.wants())
}

// demands says for the document what a request has to have.
func (a access) demands() string {
	switch a.level {
	case permitted:
		return "Needs " + a.wants() + "."
	case withToken:
		return "For everybody who is signed in."
	case unsealedVault:
		return "Needs no token."
	}
	return "Needs no token, and is served while sealed."
}

func (a access) wants() string {
	if a.any == 0 {
		return "every permission"
	}
	return strings.Join(a.any.Names(), " or ")
}
