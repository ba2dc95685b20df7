package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const kindRole barrier.Kind = "role"

// RoleAdmin may do everything that its owner alone may not.
const RoleAdmin = "admin"

// Role is a named set of permissions.
type Role struct {
	Name        string
	Permissions grant.Permissions
	BuiltIn     bool // cannot be changed
}

// builtIn are the roles of every vault.
var builtIn = map[string]grant.Permissions{
	RoleAdmin: grant.AllPermissions,
	"credential-manager": grant.PermissionsOf(
		grant.CredentialView, grant.CredentialCreate, grant.CredentialEdit, grant.CredentialDelete, grant.CredentialReveal,
		grant.CredentialOwn, grant.RequestMake, grant.GrantView, grant.GrantEdit, grant.HostView, grant.UserView),
	"fleet-manager": grant.PermissionsOf(
		grant.HostView, grant.HostJoin, grant.HostLabel, grant.HostRevoke,
		grant.GrantView, grant.CredentialView, grant.CredentialOwn, grant.RequestMake),
	"developer": grant.PermissionsOf(
		grant.CredentialView, grant.CredentialOwn, grant.RequestMake, grant.GrantView, grant.HostView),
	"auditor": grant.PermissionsOf(
		grant.CredentialView, grant.GrantView, grant.HostView, grant.UserView, grant.SettingView, grant.AuditView),
}

// storedRole is a record of kind "role", whose ID is the role's name.
type storedRole struct {
	Name        string   `json:"name"`
	Permissions []string `json:"permissions"`
}

// role returns a role by name, or ErrNoRole.
func role(tx *barrier.Tx, name string) (Role, error) {
	if ps, ok := builtIn[name]; ok {
		return Role{Name: name, Permissions: ps, BuiltIn: true}, nil
	}
	if credential.ValidName("role", name) != nil {
		return Role{}, ErrNoRole
	}
	var stored storedRole
	if err := tx.GetJSON(kindRole, name, &stored); err != nil {
		if errors.Is(err, barrier.ErrNotFound) {
			return Role{}, ErrNoRole
		}
		return Role{}, err
	}
	return stored.role(), nil
}

// role leaves out permissions that this version does not know.
func (s storedRole) role() Role {
	r := Role{Name: s.Name}
	for _, name := range s.Permissions {
		if ps, err := grant.ParsePermissions([]string{name}); err == nil {
			r.Permissions |= ps
		}
	}
	return r
}

// Roles lists all of them by name.
func (p *People) Roles() ([]Role, error) {
	var out []Role
	err := p.barrier.View(func(tx *barrier.Tx) error {
		out = nil
		for name, ps := range builtIn {
			out = append(out, Role{Name: name, Permissions: ps, BuiltIn: true})
		}
		return barrier.ScanJSON(tx, kindRole, func(s storedRole) error {
			out = append(out, s.role())
			return nil
		})
	})
	slices.SortFunc(out, func(a, b Role) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// Role returns one by name.
func (p *People) Role(name string) (r Role, err error) {
	err = p.barrier.View(func(tx *barrier.Tx) error {
		r, err = role(tx, name)
		return err
	})
	return r, err
}

// AddRole makes a role out of permissions that who has as well. A role never changes: its users would gain or lose
// what nobody looked at. Make another one and give it to them.
func (p *People) AddRole(ctx context.Context, who grant.Person, name string, permissions []string) (Role, error) {
	if err := credential.ValidName("role", name); err != nil {
		return Role{}, err
	}
	ps, err := grant.ParsePermissions(permissions)
	if err != nil {
		return Role{}, fmt.Errorf("permissions: %w", err)
	}
	if ps == 0 {
		return Role{}, fmt.Errorf("%w permissions: name at least one of %s", credential.ErrInvalid, grant.AllPermissions)
	}
	entry := audit.Entry{Actor: who.Name, Action: "role.create", Target: name, Reason: ps.String()}
	err = p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		if err := handOut(who, ps); err != nil {
			return nil, err
		}
		switch _, err := role(tx, name); {
		case err == nil:
			return nil, fmt.Errorf("%w: role %s", ErrTaken, name)
		case !errors.Is(err, ErrNoRole):
			return nil, err
		}
		return func() error { return tx.PutJSON(kindRole, name, storedRole{name, ps.Names()}) }, nil
	})
	return Role{Name: name, Permissions: ps}, err
}

// DeleteRole removes a role that nobody has.
func (p *People) DeleteRole(ctx context.Context, who grant.Person, name string) error {
	entry := audit.Entry{Actor: who.Name, Action: "role.delete", Target: name, Reason: "nobody has it"}
	return p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		r, err := role(tx, name)
		if err != nil {
			return nil, err
		}
		if r.BuiltIn {
			return nil, fmt.Errorf("%w: the role %s is built in", ErrRefused, name)
		}
		if err := handOut(who, r.Permissions); err != nil {
			return nil, err
		}
		var users []string
		err = barrier.ScanJSON(tx, kindUser, func(u user) error {
			if u.Role == name {
				users = append(users, u.Name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(users) > 0 {
			return nil, fmt.Errorf("%w: the role %s is that of %s; give them another one first", ErrInUse, name, strings.Join(users, ", "))
		}
		return func() error { return tx.Delete(kindRole, name) }, nil
	})
}

// handOut refuses to give or take what a person has not.
func handOut(who grant.Person, ps grant.Permissions) error {
	if more := ps.Beyond(who.Permissions); more != 0 {
		return fmt.Errorf("%w: this is for somebody who has these permissions too: %s", ErrRefused, more)
	}
	return nil
}
