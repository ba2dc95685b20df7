package rest

import (
	"net/http"
	"strings"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/api"
)

// access says what a route demands of a request before anything of it is read.
type access int

const (
	admin   access = iota // a bearer token of an admin: there is no other role yet
	anybody               // an unsealed vault
	anytime               // nothing
)

// admit lets a request into the rooms.
func (r *REST) admit(c *call, demanded access) *problem {
	sealed := refusal(http.StatusServiceUnavailable, api.CodeSealed, "the vault is sealed: unseal it first")
	u := r.current.Load()
	if u == nil {
		return sealed
	}
	leave, ok := u.enter()
	if !ok {
		return sealed
	}
	c.unsealed, c.rooms, c.leave = u, u.rooms, leave
	if demanded == anybody {
		return nil
	}
	if p := r.authenticate(c); p != nil {
		leave()
		return p
	}
	return nil
}

func (r *REST) authenticate(c *call) *problem {
	scheme, text, _ := strings.Cut(c.request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || text == "" {
		return refusal(http.StatusUnauthorized, api.CodeUnauthenticated, "this needs a bearer token: log in first")
	}
	var err error
	if c.person, c.token, err = c.rooms.People.Authenticate(text); err != nil {
		return r.problem(c, "authentication", err)
	}
	if c.person.Role != people.RoleAdmin {
		return refusal(http.StatusForbidden, api.CodeRefused, "this needs the role admin")
	}
	return nil
}
