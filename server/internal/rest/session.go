package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/admission"
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
	add(r, doc, route{method: http.MethodPost, path: "/v1/logout", summary: "End the token of this request", access: signedIn, status: http.StatusNoContent}, logout)
	add(r, doc, route{method: http.MethodGet, path: "/v1/whoami", summary: "Whose token this is", access: signedIn}, r.whoami)
	add(r, doc, route{method: http.MethodGet, path: "/v1/tokens", summary: "List the caller's tokens", access: signedIn}, listTokens)
	add(r, doc, route{method: http.MethodPost, path: "/v1/tokens", summary: "Make a token", access: signedIn, status: http.StatusCreated}, addToken)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/tokens/{name}", summary: "Revoke a token", access: signedIn, status: http.StatusNoContent}, revokeToken)
}

// maxLogin is the largest body of a login: the longest password, each byte escaped, and the rest.
const maxLogin = 6*people.MaxPassword + 4<<10

// login never makes a string of the password.
func (r *REST) login(ctx context.Context, c *call, _ *nothing) (api.LoginAnswer, error) {
	if !r.limits.login(c.request.RemoteAddr, r.now()) {
		return api.LoginAnswer{}, busy("too many logins", time.Second)
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
	in, err := r.parseLogin(body)
	defer secret.Sweep() // Argon2's memory
	defer in.Password.Wipe()
	if err != nil {
		return api.LoginAnswer{}, err
	}
	in.From = admission.Network(c.request.RemoteAddr).Addr().String()
	s, err := c.rooms.People.Login(ctx, in)
	return api.LoginAnswer{Token: s.Token, Expires: s.Expires}, err
}

// readLogin reads the body in one piece, so that no part of it stays behind
// when the piece grows. It lies on the heap, not in the arena, since anybody can
// send many and slowly.
func readLogin(req *http.Request) ([]byte, error) {
	switch n := req.ContentLength; {
	case n < 0:
		return nil, refusal(http.StatusLengthRequired, api.CodeUsage, "say how long the body is (Content-Length)")
	case n > maxLogin:
		return nil, refusal(http.StatusRequestEntityTooLarge, api.CodeUsage, tooLarge(maxLogin))
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

func (r *REST) parseLogin(body []byte) (l people.Login, err error) {
	in := struct {
		User     string     `json:"user"`
		Password lockedText `json:"password"`
		Code     string     `json:"code"`
	}{Password: lockedText{arena: r.arena}}
	secret.Do(func() { err = json.Unmarshal(body, &in) })
	l = people.Login{User: in.User, Password: in.Password.buffer, Code: in.Code}
	switch {
	case errors.Is(err, secret.ErrFull):
		return l, secret.ErrFull
	case err != nil:
		return l, refusal(http.StatusUnprocessableEntity, api.CodeUsage, "the request's body must be JSON with user and password, which are texts")
	case in.User == "" || len(in.User) > 63:
		return l, usage("user", "from 1 to 63 bytes")
	case l.Password.Len() == 0 || l.Password.Len() > people.MaxPassword:
		return l, usage("password", fmt.Sprintf("from 1 to %d bytes", people.MaxPassword))
	case len(in.Code) > 64:
		return l, usage("code", "at most 64 bytes")
	}
	return l, nil
}

func logout(ctx context.Context, c *call, _ *nothing) (nothing, error) {
	return nothing{}, c.rooms.People.Logout(ctx, c.person, c.token)
}

func (r *REST) whoami(_ context.Context, c *call, _ *nothing) (api.Whoami, error) {
	name := c.token.Name
	if name == "" {
		name = "login"
	}
	var notices []string
	if until := c.person.LockedUntil; r.now().Before(until) {
		notices = append(notices, "somebody else set your password or took your second factor away: "+
			"your own credentials are locked until "+until.UTC().Format(time.RFC3339))
	}
	return api.Whoami{
		Notices: notices,
		User:    c.person.Name, Role: c.person.Role, Permissions: c.person.Permissions.Names(),
		Token: api.WhoamiToken{Name: name, Expires: timeOrNull(c.token.Expires)},
	}, nil
}

func listTokens(_ context.Context, c *call, _ *nothing) (api.TokenList, error) {
	tokens, err := c.rooms.People.Tokens(c.person, c.token)
	out := api.TokenList{Items: []api.Token{}}
	for _, t := range tokens {
		out.Items = append(out.Items, api.Token{
			Name: t.Name, Scopes: texts(t.Scopes), Created: t.Created, Expires: timeOrNull(t.Expires), LastUsed: timeOrNull(t.Used),
		})
	}
	return out, err
}

func addToken(ctx context.Context, c *call, in *creates[api.TokenAdd]) (api.TokenAdded, error) {
	return once(ctx, c, making{key: in.IdempotencyKey, what: in.Body.Name, body: in.Body},
		func(ctx context.Context) (api.TokenAdded, error) {
			text, t, err := c.rooms.People.CreateToken(ctx, c.person, c.token, people.NewToken{
				Name: in.Body.Name, Scopes: in.Body.Scopes, Expires: timeOrZero(in.Body.Expires),
			})
			return api.TokenAdded{Name: t.Name, Token: text, Expires: timeOrNull(t.Expires)}, err
		}, nil)
}

func revokeToken(ctx context.Context, c *call, in *ByName) (nothing, error) {
	return nothing{}, c.rooms.People.RevokeToken(ctx, c.person, c.token, in.Name)
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
