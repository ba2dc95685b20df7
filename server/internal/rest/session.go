package rest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

func (r *REST) registerSessions(doc huma.API) {
	login := route{method: http.MethodPost, path: "/v1/login", summary: "Log in", access: anybody}
	add(r, doc, login, r.login)
	// The handler reads the body by itself, so huma does not know of it.
	doc.OpenAPI().Paths[login.path].Post.RequestBody = &huma.RequestBody{
		Required: true,
		Content: map[string]*huma.MediaType{"application/json": {
			Schema: doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.LoginRequest](), true, "LoginRequest"),
		}},
	}
	add(r, doc, route{method: http.MethodPost, path: "/v1/logout", summary: "End the token of this request", status: http.StatusNoContent}, logout)
	add(r, doc, route{method: http.MethodGet, path: "/v1/whoami", summary: "Whose token this is"}, whoami)
	add(r, doc, route{method: http.MethodGet, path: "/v1/tokens", summary: "List the caller's tokens"}, listTokens)
	add(r, doc, route{method: http.MethodPost, path: "/v1/tokens", summary: "Make a token", status: http.StatusCreated}, addToken)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/tokens/{name}", summary: "Revoke a token", status: http.StatusNoContent}, revokeToken)
}

// The largest body of a login: a password of 64 KiB, each byte escaped. Longer
// bodies than the usual are few at a time, since anybody can send them slowly.
const (
	maxPassword = 64 << 10
	maxLogin    = 6*maxPassword + 4<<10
	usualLogin  = 4 << 10
)

// login never makes a string of the password.
func (r *REST) login(ctx context.Context, c *call, _ *nothing) (api.LoginAnswer, error) {
	if !r.limits.login(c.request.RemoteAddr, r.now()) {
		return api.LoginAnswer{}, busy("too many logins: try again in a few seconds")
	}
	if c.request.ContentLength > usualLogin {
		select {
		case r.limits.longLogins <- struct{}{}:
			defer func() { <-r.limits.longLogins }()
		default:
			return api.LoginAnswer{}, busy("too many logins with long passwords: try again in a few seconds")
		}
	}
	body, err := readLogin(c.request)
	if err != nil {
		return api.LoginAnswer{}, err
	}
	defer secret.Wipe(body)
	select {
	case r.checking <- struct{}{}:
		defer func() { <-r.checking }()
	case <-ctx.Done():
		return api.LoginAnswer{}, people.ErrBusy
	}
	user, password, err := r.parseLogin(body)
	defer password.Wipe()
	if err != nil {
		return api.LoginAnswer{}, err
	}
	token, expires, err := c.rooms.People.Login(ctx, user, password)
	return api.LoginAnswer{Token: token, Expires: expires}, err
}

// readLogin reads the body in one piece, so that no part of it stays behind
// when the piece grows. It lies on the heap, not in the arena, since anybody can
// send many and slowly.
func readLogin(req *http.Request) ([]byte, error) {
	switch n := req.ContentLength; {
	case n < 0:
		return nil, refusal(http.StatusLengthRequired, api.CodeUsage, "say how long the body is (Content-Length)")
	case n > maxLogin:
		return nil, refusal(http.StatusRequestEntityTooLarge, api.CodeUsage, "the request's body is too large")
	}
	body := make([]byte, req.ContentLength)
	if _, err := io.ReadFull(req.Body, body); err != nil {
		secret.Wipe(body)
		return nil, refusal(http.StatusBadRequest, api.CodeUsage, "the request's body could not be read")
	}
	return body, nil
}

// lockedText is a JSON text that goes into the arena and nowhere else.
type lockedText struct {
	arena  *secret.Arena
	buffer *secret.Buffer
}

// UnmarshalText moves the text, which the decoder leaves to it.
func (t *lockedText) UnmarshalText(text []byte) (err error) {
	t.buffer.Wipe()
	t.buffer, err = t.arena.From(text)
	return err
}

func (r *REST) parseLogin(body []byte) (user string, password *secret.Buffer, err error) {
	in := struct {
		User     string     `json:"user"`
		Password lockedText `json:"password"`
	}{Password: lockedText{arena: r.arena}}
	err = json.Unmarshal(body, &in)
	password = in.Password.buffer
	switch {
	case errors.Is(err, secret.ErrFull):
		return "", password, secret.ErrFull
	case err != nil:
		return "", password, refusal(http.StatusUnprocessableEntity, api.CodeUsage, "the request's body must be JSON with user and password, which are texts")
	case in.User == "" || len(in.User) > 63:
		return "", password, usage("user", "from 1 to 63 bytes")
	case password.Len() == 0 || password.Len() > maxPassword:
		return "", password, usage("password", "from 1 to 65536 bytes")
	}
	return in.User, password, nil
}

func logout(ctx context.Context, c *call, _ *nothing) (nothing, error) {
	return nothing{}, c.rooms.People.Logout(ctx, c.person, c.token)
}

func whoami(_ context.Context, c *call, _ *nothing) (api.Whoami, error) {
	name := c.token.Name
	if name == "" {
		name = "login"
	}
	return api.Whoami{
		User: c.person.Name, Role: c.person.Role,
		Token: api.WhoamiToken{Name: name, Expires: timeOrNull(c.token.Expires)},
	}, nil
}

func listTokens(_ context.Context, c *call, _ *nothing) (api.TokenList, error) {
	tokens, err := c.rooms.People.Tokens(c.person)
	out := api.TokenList{Items: []api.Token{}}
	for _, t := range tokens {
		out.Items = append(out.Items, api.Token{Name: t.Name, Created: t.Created, Expires: timeOrNull(t.Expires)})
	}
	return out, err
}

func addToken(ctx context.Context, c *call, in *with[api.TokenAdd]) (api.TokenAdded, error) {
	token, err := c.rooms.People.CreateToken(ctx, c.person, in.Body.Name, timeOrZero(in.Body.Expires))
	return api.TokenAdded{Name: in.Body.Name, Token: token, Expires: in.Body.Expires}, err
}

func revokeToken(ctx context.Context, c *call, in *byName) (nothing, error) {
	return nothing{}, c.rooms.People.RevokeToken(ctx, c.person, in.Name)
}

// timeOrNull and timeOrZero: the rooms say "never" with the zero time, the API
// with null.
func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
