package grant

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
)

// Permission is one thing that a role may let a person do.
type Permission uint8

// The permissions. What is not here needs none: everybody who is signed in has
// a password, tokens and requests of their own, and sees the catalogue.
const (
	CredentialView   Permission = iota // list and show app credentials, never a value
	CredentialCreate                   // app credentials
	CredentialEdit                     // and roll back, make default, disconnect, hand over
	CredentialDelete
	CredentialReveal // see the value of an app credential
	CredentialOwn    // have custom credentials, grant them, answer requests for them
	RequestMake      // ask for somebody's requestable custom credential
	GrantView        // and explain
	GrantEdit        // grants of app credentials, and whatever else widens somebody's access
	HostView
	HostJoin // make join tokens
	HostLabel
	HostRevoke
	UserView // users and roles
	UserEdit
	SettingView
	SettingEdit
	AuditView // list, verify, prove, export
	VaultSeal
	VaultKeys   // slots and rekey
	VaultBackup // take one
	MetricsView
	permissions int = iota
)

var permissionNames = [permissions]string{
	CredentialView: "credential.view", CredentialCreate: "credential.create", CredentialEdit: "credential.edit",
	CredentialDelete: "credential.delete", CredentialReveal: "credential.reveal", CredentialOwn: "credential.own",
	RequestMake: "request.make",
	GrantView:   "grant.view", GrantEdit: "grant.edit",
	HostView: "host.view", HostJoin: "host.join", HostLabel: "host.label", HostRevoke: "host.revoke",
	UserView: "user.view", UserEdit: "user.edit",
	SettingView: "setting.view", SettingEdit: "setting.edit",
	AuditView: "audit.view",
	VaultSeal: "vault.seal", VaultKeys: "vault.keys", VaultBackup: "vault.backup",
	MetricsView: "metrics.view",
}

// String is the permission's name, noun.verb.
func (p Permission) String() string { return permissionNames[p] }

// Permissions is a set of them. The zero value is none.
type Permissions uint32

// AllPermissions is every permission that there is.
const AllPermissions Permissions = 1<<permissions - 1

// PermissionsOf makes a set.
func PermissionsOf(ps ...Permission) Permissions {
	var s Permissions
	for _, p := range ps {
		s |= 1 << p
	}
	return s
}

// ParsePermissions reads names; "noun.*" stands for all of a noun. The error
// wraps credential.ErrInvalid and says what there is.
func ParsePermissions(names []string) (Permissions, error) {
	var s Permissions
	for _, name := range names {
		found := Permissions(0)
		for p, known := range permissionNames {
			noun, _, _ := strings.Cut(known, ".")
			if name == known || name == noun+".*" {
				found |= 1 << p
			}
		}
		if found == 0 {
			return 0, fmt.Errorf("%w permission: there is none of that name; there are %s", credential.ErrInvalid, AllPermissions)
		}
		s |= found
	}
	return s, nil
}

// Has tells whether p is in the set.
func (s Permissions) Has(p Permission) bool { return s&(1<<p) != 0 }

// Beyond is what s has and other lacks.
func (s Permissions) Beyond(other Permissions) Permissions { return s &^ other }

// Names lists the set in the order of the constants.
func (s Permissions) Names() []string {
	out := make([]string, 0, bits.OnesCount32(uint32(s)))
	for p, name := range permissionNames {
		if s.Has(Permission(p)) {
			out = append(out, name)
		}
	}
	return out
}

// String lists the names for people.
func (s Permissions) String() string { return strings.Join(s.Names(), ", ") }
