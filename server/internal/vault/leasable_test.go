package vault_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// TestLeasableNamesEachGrantOnce: a grant that names a credential in several ways is behind it once, those of other hosts
// are not, and neither applications nor tags reach somebody's own credential.
func TestLeasableNamesEachGrantOnce(t *testing.T) {
	t.Parallel()
	f := open(t)
	crm, app := map[string]string{"team": "crm", "env": "prod"}, []string{"generic-rest"}
	add := func(name string, tags map[string]string) {
		t.Helper()
		ch := vault.Change{Value: f.value(map[string]string{"token": "x"}), Tags: tags}
		if name != "alice/own" {
			ch.Application, ch.AuthType = "generic-rest", credential.AccessToken
		}
		if _, err := f.Add(t.Context(), alice, name, ch); err != nil {
			t.Fatal(err)
		}
	}
	add("crm", crm)
	add("erp", map[string]string{"env": "prod"})
	add("wiki", nil)
	add("alice/own", crm)
	here := []string{runner.ID}
	f.grant(grant.Grant{Name: "in-all-ways", Credentials: []string{"crm"}, Applications: app, Tags: []string{"team=crm", "env=prod"}, Hosts: here})
	f.grant(grant.Grant{Name: "by-tag", Tags: []string{"env=prod"}, AnyHost: true})
	f.grant(grant.Grant{Name: "elsewhere", Tags: []string{"env=prod"}, Hosts: []string{"h9"}})
	want := "crm [by-tag in-all-ways], erp [by-tag in-all-ways], wiki [in-all-ways], "
	for range 5 { // the grants come in any order
		got := ""
		for _, o := range f.Leasable(runner) {
			var names []string
			for _, g := range o.Grants {
				names = append(names, g.Name)
			}
			got += fmt.Sprintf("%s %v, ", o.Credential.Name, names)
		}
		if got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	}
	if got := f.Named(alice, grant.Grant{Tags: []string{"env=prod", "team=crm"}}); !slices.Equal(got, []string{"crm", "erp"}) {
		t.Errorf("named: %v", got)
	}
	f.grant(grant.Grant{Name: "own", Credentials: []string{"alice/own"}, Hosts: here})
	if got := f.Leasable(runner); len(got) != 4 || got[0].Credential.Name != "alice/own" || len(got[0].Grants) != 1 {
		t.Errorf("with the own one: %+v", got)
	}
}
