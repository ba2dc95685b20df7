package vault

import (
	"fmt"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/shared/credential"
)

// unused is ErrInUse where credentials are of an application, or grants name it.
func (v *Vault) unused(name string) error {
	credentials, grants := len(v.credentialsOf(name)), 0
	for _, g := range v.allGrants() {
		if slices.Contains(g.Applications, name) {
			grants++
		}
	}
	switch {
	case credentials > 0:
		return fmt.Errorf("%w: %s of the application %s; delete %s first: strongroom credential list --application %s",
			ErrInUse, counted(credentials, "credential is", "credentials are"), name, itOr(credentials), name)
	case grants > 0:
		return fmt.Errorf("%w: %s the application %s; change or revoke %s first: strongroom grant list",
			ErrInUse, counted(grants, "grant names", "grants name"), name, itOr(grants))
	}
	return nil
}

func (v *Vault) credentialsOf(application string) (out []credential.Metadata) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, c := range v.credentials.byID {
		if c.Application == application {
			out = append(out, *c)
		}
	}
	return out
}

// takesAway is ErrInUse where credentials have what the application before takes and the one after does not: without it
// nobody could give them a next version.
func (v *Vault) takesAway(before, after catalogue.Application) error {
	types := map[credential.AuthType]int{}
	fields := map[string]int{}
	list := v.credentialsOf(after.Name)
	err := v.barrier.View(func(tx *barrier.Tx) error {
		clear(types)
		clear(fields)
		for _, c := range list {
			if slices.Contains(before.AuthTypes, c.AuthType) && !slices.Contains(after.AuthTypes, c.AuthType) {
				types[c.AuthType]++
				continue
			}
			gone := goneFields(before, after, c.AuthType)
			if len(gone) == 0 {
				continue
			}
			version, err := getVersion(tx, c.ID, c.Version)
			if err != nil {
				return err
			}
			for _, f := range gone {
				if _, plain := version.Fields[f.Name]; plain && !f.Secret || f.Secret && slices.Contains(version.Secrets, f.Name) {
					fields[f.Name]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return lost(after.Name, types, fields)
}

// goneFields are those of one auth type that only the application before has, or has as a secret or not.
func goneFields(before, after catalogue.Application, t credential.AuthType) (gone []credential.Field) {
	had, _ := before.Fields(t) // none where it did not take the type
	has, _ := after.Fields(t)
	for _, f := range had {
		if !slices.ContainsFunc(has, func(g credential.Field) bool { return g.Name == f.Name && g.Secret == f.Secret }) {
			gone = append(gone, f)
		}
	}
	return gone
}

func lost(name string, types map[credential.AuthType]int, fields map[string]int) error {
	var what []string
	for t, n := range types {
		what = append(what, fmt.Sprintf("%s the auth type %s", counted(n, "credential has", "credentials have"), t))
	}
	for field, n := range fields {
		what = append(what, fmt.Sprintf("%s the field %s", counted(n, "credential has", "credentials have"), field))
	}
	if len(what) == 0 {
		return nil
	}
	slices.Sort(what)
	return fmt.Errorf("%w: %s, which the application %s would take no more: keep that in the file, or delete those credentials first: strongroom credential list --application %s",
		ErrInUse, strings.Join(what, ", and "), name, name)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func itOr(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}
