package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/secret"
)

// UserAdd is the body of POST /v1/users: one of password and bcrypt, in an
// envelope with the member's name as the field and the user's as the credential.
type UserAdd struct {
	Name     string `json:"name" maxLength:"63" example:"bob"`
	Role     string `json:"role" maxLength:"63" example:"developer"`
	Password []byte `json:"password,omitempty" maxLength:"4096" doc:"the first password, in an envelope"`
	Bcrypt   []byte `json:"bcrypt,omitempty" maxLength:"4096" doc:"the bcrypt hash of a password that is in use elsewhere, in an envelope"`
	Sealed
}

// User is somebody who may sign in.
type User struct {
	Name     string     `json:"name"`
	Role     string     `json:"role"`
	Created  time.Time  `json:"created"`
	Disabled *time.Time `json:"disabled" doc:"since when; null: enabled"`
	Factor   bool       `json:"factor" doc:"whether the user has a second factor"`
	Revision uint64     `json:"revision" doc:"for If-Match, in double quotes"`
}

// UserList answers GET /v1/users.
type UserList struct {
	Items []User `json:"items"`
}

// UserEdit is the body of PATCH /v1/users/{name}; what is left out stays.
type UserEdit struct {
	Role     *string `json:"role,omitempty" maxLength:"63"`
	Disabled *bool   `json:"disabled,omitempty"`
}

// PasswordSet is the body of POST /v1/users/{name}/password. One's own takes
// the present one; somebody else's is reset, which locks their own credentials
// for a time. Both are in envelopes, as with UserAdd.
type PasswordSet struct {
	Password []byte `json:"password" maxLength:"4096" doc:"the new one, in an envelope"`
	Present  []byte `json:"present,omitempty" maxLength:"4096" doc:"the present one, in an envelope"`
	Sealed
}

// FactorBegin is the body of POST /v1/factor.
type FactorBegin struct {
	Password  []byte `json:"password" maxLength:"4096" doc:"the caller's present password, in an envelope"`
	PublicKey []byte `json:"public_key" maxLength:"64" doc:"the client's X25519 public key, to which the answer's key is sealed"`
	Sealed
}

// FactorBegun answers it. The key's context is the request's identifier, the
// caller's name and the field key.
type FactorBegun struct {
	User string `json:"user"`
	Enc  []byte `json:"enc"`
	Key  []byte `json:"key" doc:"the TOTP key (RFC 6238: SHA-1, 6 digits, 30 s), in an envelope"`
}

// FactorCode is the body of POST /v1/factor/confirm.
type FactorCode struct {
	Code string `json:"code" maxLength:"64"`
}

// FactorConfirmed answers it, once.
type FactorConfirmed struct {
	Recovery []string `json:"recovery" doc:"codes that stand in for the device, each good once; they are shown this once"`
}

// FactorRemove is the body of POST /v1/factor/remove.
type FactorRemove struct {
	User string `json:"user,omitempty" maxLength:"63" doc:"whose; empty: the caller's own"`
	Code string `json:"code,omitempty" maxLength:"64" doc:"of one's own factor, or a recovery code"`
}

// Role is a named set of permissions.
type Role struct {
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
	BuiltIn     bool     `json:"built_in"`
}

// RoleList answers GET /v1/roles.
type RoleList struct {
	Items []Role `json:"items"`
}

// RoleAdd is the body of POST /v1/roles.
type RoleAdd struct {
	Name        string   `json:"name" maxLength:"63" example:"operator"`
	Permissions []string `json:"permissions" maxItems:"64" doc:"such as host.view, or host.* for all of a noun"`
}

// Setting is one of the server's settings.
type Setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Allowed string `json:"allowed" doc:"what it may be, in words"`
	Help    string `json:"help"`
}

// SettingList answers GET /v1/settings.
type SettingList struct {
	Items []Setting `json:"items"`
}

// SettingSet is the body of PUT /v1/settings/{name}.
type SettingSet struct {
	Value string `json:"value" maxLength:"4096" doc:"empty: back to the default"`
}

// AddUser makes a user with a first password, or with the bcrypt hash of one;
// the other is nil. The caller wipes it.
func (c *Client) AddUser(ctx context.Context, name, role string, password, bcrypt *secret.Buffer) (*User, error) {
	in := UserAdd{Name: name, Role: role}
	var out *User
	err := c.withEnvelope(ctx, name, func(s *sealer) (err error) {
		in.Sealed = s.header()
		if password != nil {
			in.Password, err = s.one("password", password)
		} else {
			in.Bcrypt, err = s.one("bcrypt", bcrypt)
		}
		if err == nil {
			out, err = send[User](ctx, c, http.MethodPost, in, "users")
		}
		return err
	})
	return out, err
}

// Users lists them.
func (c *Client) Users(ctx context.Context) (*UserList, error) {
	return get[UserList](ctx, c, nil, "users")
}

// User gives one.
func (c *Client) User(ctx context.Context, name string) (*User, error) {
	return get[User](ctx, c, nil, "users", name)
}

// EditUser changes one that is as it was at that revision.
func (c *Client) EditUser(ctx context.Context, name string, revision uint64, in UserEdit) (*User, error) {
	return change[User](ctx, c, http.MethodPatch, revision, in, "users", name)
}

// DeleteUser removes one that is as it was at that revision; with purge also all credentials of the user's own, without
// which somebody who has any is not deleted.
func (c *Client) DeleteUser(ctx context.Context, name string, revision uint64, purge bool) error {
	k := call{method: http.MethodDelete, path: []string{"users", name}, match: ifMatch(revision)}
	if purge {
		k.query = query("purge", "true")
	}
	_, err := c.do(ctx, k)
	return err
}

// SetPassword changes one's own password, with the present one, or resets
// somebody else's, where present is nil.
func (c *Client) SetPassword(ctx context.Context, name string, present, password *secret.Buffer) error {
	return c.withEnvelope(ctx, name, func(s *sealer) (err error) {
		in := PasswordSet{Sealed: s.header()}
		if in.Password, err = s.one("password", password); err != nil {
			return err
		}
		if present != nil {
			if in.Present, err = s.one("present", present); err != nil {
				return err
			}
		}
		_, err = c.do(ctx, call{method: http.MethodPost, path: []string{"users", name, "password"}, in: in})
		return err
	})
}

// BeginFactor makes the key of the caller's second factor, in the client's
// arena, and says whose it is.
func (c *Client) BeginFactor(ctx context.Context, password *secret.Buffer) (user string, key *secret.Buffer, err error) {
	err = c.withEnvelope(ctx, "", func(s *sealer) error {
		recipient, err := envelope.NewRecipient()
		if err != nil {
			return fmt.Errorf("making an envelope key: %w", err)
		}
		in := FactorBegin{PublicKey: recipient.PublicKey(), Sealed: s.header()}
		if in.Password, err = s.one("password", password); err != nil {
			return err
		}
		var out FactorBegun
		state, err := c.do(ctx, call{method: http.MethodPost, path: []string{"factor"}, in: in, out: &out})
		if err != nil {
			return err
		}
		exporter, err := envelope.Exporter(state)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotReachable, err)
		}
		opener, err := recipient.Opener(c.arena, out.Enc, envelope.ToClient, exporter)
		if err != nil {
			return fmt.Errorf("%w: its envelope cannot be opened: %w", ErrFailed, err)
		}
		defer opener.Wipe()
		user = out.User
		key, err = opener.Open(out.Key, envelope.Context{Request: in.Request, Credential: out.User, Field: "key"})
		return err
	})
	return user, key, err
}

// ConfirmFactor turns the second factor on and returns the recovery codes.
func (c *Client) ConfirmFactor(ctx context.Context, code string) (*FactorConfirmed, error) {
	return send[FactorConfirmed](ctx, c, http.MethodPost, FactorCode{Code: code}, "factor", "confirm")
}

// RemoveFactor takes a second factor away.
func (c *Client) RemoveFactor(ctx context.Context, in FactorRemove) error {
	_, err := c.do(ctx, call{method: http.MethodPost, path: []string{"factor", "remove"}, in: in})
	return err
}

// Roles lists them.
func (c *Client) Roles(ctx context.Context) (*RoleList, error) {
	return get[RoleList](ctx, c, nil, "roles")
}

// Role gives one.
func (c *Client) Role(ctx context.Context, name string) (*Role, error) {
	return get[Role](ctx, c, nil, "roles", name)
}

// AddRole makes one.
func (c *Client) AddRole(ctx context.Context, in RoleAdd) (*Role, error) {
	return send[Role](ctx, c, http.MethodPost, in, "roles")
}

// DeleteRole removes one that nobody has.
func (c *Client) DeleteRole(ctx context.Context, name string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: []string{"roles", name}})
	return err
}

// Settings lists them.
func (c *Client) Settings(ctx context.Context) (*SettingList, error) {
	return get[SettingList](ctx, c, nil, "settings")
}

// Setting gives one.
func (c *Client) Setting(ctx context.Context, name string) (*Setting, error) {
	return get[Setting](ctx, c, nil, "settings", name)
}

// SetSetting changes one; the empty value is its default.
func (c *Client) SetSetting(ctx context.Context, name, value string) (*Setting, error) {
	return send[Setting](ctx, c, http.MethodPut, SettingSet{Value: value}, "settings", name)
}
