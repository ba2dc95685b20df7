package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

func (r *REST) registerUsers(doc huma.API) {
	view, edit := may(grant.UserView), may(grant.UserEdit)
	add(r, doc, route{method: http.MethodGet, path: "/v1/users", summary: "List users", access: view}, listUsers)
	add(r, doc, route{method: http.MethodPost, path: "/v1/users", summary: "Add a user", access: edit, status: http.StatusCreated}, r.addUser)
	add(r, doc, route{method: http.MethodGet, path: "/v1/users/{name}", summary: "Show a user", access: view}, showUser)
	add(r, doc, route{method: http.MethodPatch, path: "/v1/users/{name}", summary: "Give a user another role, disable or enable one", access: edit}, editUser)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/users/{name}", summary: "Delete a user", access: edit, status: http.StatusNoContent}, deleteUser)
	add(r, doc, route{method: http.MethodPost, path: "/v1/users/{name}/password", summary: "Change one's own password, or reset somebody else's", access: signedIn, status: http.StatusNoContent}, r.setPassword)
	add(r, doc, route{method: http.MethodPost, path: "/v1/factor", summary: "Begin a second factor of one's own", access: signedIn}, r.beginFactor)
	add(r, doc, route{method: http.MethodPost, path: "/v1/factor/confirm", summary: "Turn one's second factor on with its first code", access: signedIn}, confirmFactor)
	add(r, doc, route{method: http.MethodPost, path: "/v1/factor/remove", summary: "Take a second factor away", access: signedIn, status: http.StatusNoContent}, removeFactor)
	add(r, doc, route{method: http.MethodGet, path: "/v1/roles", summary: "List roles", access: view}, listRoles)
	add(r, doc, route{method: http.MethodPost, path: "/v1/roles", summary: "Make a role", access: edit, status: http.StatusCreated}, addRole)
	add(r, doc, route{method: http.MethodGet, path: "/v1/roles/{name}", summary: "Show a role", access: view}, showRole)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/roles/{name}", summary: "Delete a role that nobody has", access: edit, status: http.StatusNoContent}, deleteRole)
}

func userOf(c *call, u people.User) api.User {
	c.revision = u.Revision
	return api.User{
		Name: u.Name, Role: u.Role, Created: u.Created, Disabled: timeOrNull(u.Disabled), Factor: u.Factor, Revision: u.Revision,
	}
}

func listUsers(_ context.Context, c *call, _ *nothing) (api.UserList, error) {
	users, err := c.rooms.People.Users()
	out := api.UserList{Items: []api.User{}}
	for _, u := range users {
		out.Items = append(out.Items, userOf(c, u))
	}
	c.revision = 0 // of a single thing only
	return out, err
}

func (r *REST) addUser(ctx context.Context, c *call, in *creates[api.UserAdd]) (api.User, error) {
	b := &in.Body
	opened, err := r.openSecrets(c, b.Sealed, b.Name, map[string][]byte{"password": b.Password, "bcrypt": b.Bcrypt})
	defer wipeAll(opened)
	defer secret.Sweep() // Argon2's memory
	if err != nil {
		return api.User{}, err
	}
	said := api.UserAdd{Name: b.Name, Role: b.Role}
	return once(ctx, c, making{key: in.IdempotencyKey, what: b.Name, body: said, secrets: opened},
		func(ctx context.Context) (api.User, error) {
			u, err := c.rooms.People.AddUser(ctx, c.person, people.NewUser{
				Name: b.Name, Role: b.Role, Password: opened["password"], Bcrypt: opened["bcrypt"],
			})
			return userOf(c, u), inMember("role", err, people.ErrNoRole)
		}, func(name string) (api.User, error) { return showUser(ctx, c, &ByName{Name: name}) })
}

// openSecrets opens those that are there. The caller wipes what it gets, also
// beside an error.
func (r *REST) openSecrets(c *call, header api.Sealed, about string, sealed map[string][]byte) (map[string]*secret.Buffer, error) {
	opener, err := r.opener(c, header)
	if err != nil {
		return nil, err
	}
	defer opener.Wipe()
	out := map[string]*secret.Buffer{}
	for field, text := range sealed {
		if len(text) == 0 {
			continue
		}
		b, err := opener.Open(text, envelope.Context{Request: header.Request, Credential: about, Field: field})
		if err != nil {
			return out, err
		}
		out[field] = b
	}
	return out, nil
}

func wipeAll(secrets map[string]*secret.Buffer) {
	for _, b := range secrets {
		b.Wipe()
	}
}

func showUser(_ context.Context, c *call, in *ByName) (api.User, error) {
	u, err := c.rooms.People.User(in.Name)
	if err != nil {
		return api.User{}, err
	}
	return userOf(c, u), nil
}

type userEdit struct {
	ByName
	Precondition
	Body api.UserEdit
}

func editUser(ctx context.Context, c *call, in *userEdit) (api.User, error) {
	revision, err := in.revision()
	if err != nil {
		return api.User{}, err
	}
	if in.Body.Role == nil && in.Body.Disabled == nil {
		return api.User{}, usage("role or disabled", "give one of them")
	}
	u, err := c.rooms.People.EditUser(ctx, c.person, in.Name, people.UserEdit{
		Role: in.Body.Role, Disabled: in.Body.Disabled, Revision: revision,
	})
	if err != nil {
		return api.User{}, inMember("role", err, people.ErrNoRole)
	}
	return userOf(c, u), nil
}

type userDelete struct {
	ByName
	Precondition
	Purge bool `query:"purge" doc:"also all credentials of the user's own"`
}

func deleteUser(ctx context.Context, c *call, in *userDelete) (nothing, error) {
	revision, err := in.revision()
	if err != nil {
		return nothing{}, err
	}
	owner := ""
	err = c.rooms.People.DeleteUser(ctx, c.person, in.Name, revision, func(id string) error {
		owner = id
		if c.rooms.Vault.Owned(id) > 0 && !in.Purge { // how many is theirs to know
			return refusal(http.StatusConflict, api.CodeConflict,
				"this user has credentials of their own: have them transferred first, or delete them as well (purge, --purge)")
		}
		return nil
	})
	if err != nil {
		return nothing{}, err
	}
	return nothing{}, c.rooms.Vault.PurgeOwned(ctx, c.person.Name, owner)
}

type passwordSet struct {
	ByName
	Body api.PasswordSet
}

// setPassword asks for a permission only where it is somebody else's.
func (r *REST) setPassword(ctx context.Context, c *call, in *passwordSet) (nothing, error) {
	own := in.Name == c.person.Name
	if !own && !c.person.Can(grant.UserEdit) {
		return nothing{}, refusal(http.StatusForbidden, api.CodeRefused, "somebody else's password is reset by who has "+grant.UserEdit.String())
	}
	b := &in.Body
	opened, err := r.openSecrets(c, b.Sealed, in.Name, map[string][]byte{"password": b.Password, "present": b.Present})
	defer wipeAll(opened)
	defer secret.Sweep() // Argon2's memory
	if err != nil {
		return nothing{}, err
	}
	switch {
	case opened["password"] == nil:
		return nothing{}, usage("password", "give the new one")
	case own && opened["present"] == nil:
		return nothing{}, usage("present", "your own password is changed with the present one")
	case own:
		return nothing{}, c.rooms.People.ChangePassword(ctx, c.person, opened["present"], opened["password"])
	}
	return nothing{}, c.rooms.People.ResetPassword(ctx, c.person, in.Name, opened["password"])
}

// beginFactor makes the envelope first, so that no key is made in vain.
func (r *REST) beginFactor(ctx context.Context, c *call, in *with[api.FactorBegin]) (api.FactorBegun, error) {
	opened, err := r.openSecrets(c, in.Body.Sealed, "", map[string][]byte{"password": in.Body.Password})
	defer wipeAll(opened)
	if err != nil {
		return api.FactorBegun{}, err
	}
	if opened["password"] == nil {
		return api.FactorBegun{}, usage("password", "give your present one")
	}
	sealer, enc, err := r.toClient(c, in.Body.PublicKey)
	if err != nil {
		return api.FactorBegun{}, err
	}
	defer sealer.Wipe()
	key, err := c.rooms.People.BeginFactor(ctx, c.person, opened["password"], r.arena)
	if err != nil {
		return api.FactorBegun{}, err
	}
	defer key.Wipe()
	about := envelope.Context{Request: in.Body.Request, Credential: c.person.Name, Field: "key"}
	sealed, err := sealer.Seal(key.Reveal(), about)
	return api.FactorBegun{User: c.person.Name, Enc: enc, Key: sealed}, err
}

func confirmFactor(ctx context.Context, c *call, in *with[api.FactorCode]) (api.FactorConfirmed, error) {
	recovery, err := c.rooms.People.ConfirmFactor(ctx, c.person, in.Body.Code)
	return api.FactorConfirmed{Recovery: texts(recovery)}, err
}

func removeFactor(ctx context.Context, c *call, in *with[api.FactorRemove]) (nothing, error) {
	name := in.Body.User
	if name == "" {
		name = c.person.Name
	}
	if name != c.person.Name && !c.person.Can(grant.UserEdit) {
		return nothing{}, refusal(http.StatusForbidden, api.CodeRefused, "somebody else's second factor is taken away by who has "+grant.UserEdit.String())
	}
	return nothing{}, c.rooms.People.RemoveFactor(ctx, c.person, name, in.Body.Code)
}

func roleOf(r people.Role) api.Role {
	return api.Role{Name: r.Name, Permissions: r.Permissions.Names(), BuiltIn: r.BuiltIn}
}

func listRoles(_ context.Context, c *call, _ *nothing) (api.RoleList, error) {
	roles, err := c.rooms.People.Roles()
	out := api.RoleList{Items: []api.Role{}}
	for _, r := range roles {
		out.Items = append(out.Items, roleOf(r))
	}
	return out, err
}

func showRole(_ context.Context, c *call, in *ByName) (api.Role, error) {
	r, err := c.rooms.People.Role(in.Name)
	return roleOf(r), err
}

func addRole(ctx context.Context, c *call, in *creates[api.RoleAdd]) (api.Role, error) {
	return once(ctx, c, making{key: in.IdempotencyKey, what: in.Body.Name, body: in.Body},
		func(ctx context.Context) (api.Role, error) {
			r, err := c.rooms.People.AddRole(ctx, c.person, in.Body.Name, in.Body.Permissions)
			return roleOf(r), err
		}, func(name string) (api.Role, error) { return showRole(ctx, c, &ByName{Name: name}) })
}

func deleteRole(ctx context.Context, c *call, in *ByName) (nothing, error) {
	return nothing{}, c.rooms.People.DeleteRole(ctx, c.person, in.Name)
}
