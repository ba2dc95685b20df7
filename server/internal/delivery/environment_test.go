package delivery

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/wire"
)

const ourPostgres = "name: postgresql\ntitle: Ours\ncategory: database\nauth_types: [{type: basic, env: {OURS_USER: username}}]\n" +
	"fields: [{name: host, required: true, format: host, help: where}, {name: port, help: its port}, {name: sslmode, help: how}]\norigins: [\"postgres://{host}:5432\"]\n"

func (f *fixture) addPostgres(name string) credential.Metadata {
	f.t.Helper()
	password, err := f.Arena.From([]byte("canary"))
	f.must(err)
	defer password.Wipe()
	c, err := f.vault.Add(f.t.Context(), alice, name, vault.Change{
		Application: "postgresql", AuthType: credential.Basic, Value: credential.Value{"password": password},
		Fields: map[string]string{"host": "db.example.com", "username": "etl"},
	})
	f.must(err)
	return c
}

// A lease names what the application's own tools read, by templates; a change of that ends the lease, and no other change
// of the catalogue does.
func TestLeaseNamesToolVariables(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	c := f.addPostgres("warehouse")
	f.addToken("crm", "tok")
	f.grantAll("g", "warehouse")
	f.grantAll("other", "crm")
	leased := func(ref string, want map[string]string) *wire.LeaseResponse {
		t.Helper()
		l, err := a.lease(ref)
		f.must(err)
		if !maps.Equal(l.GetEnvironment(), want) {
			t.Errorf("%s comes with %v, want %v", ref, l.GetEnvironment(), want)
		}
		return l
	}
	builtIn := map[string]string{
		"PGHOST": "{host}", "PGPORT": "{port}", "PGDATABASE": "{database}", "PGUSER": "{username}", "PGPASSWORD": "{password}",
		"PGSSLMODE": "{sslmode}", "PGSSLROOTCERT": "{sslrootcert}",
	}
	redefine := func(text string) {
		t.Helper()
		_, err := f.vault.SetApplication(t.Context(), alice, "postgresql", text, 0, false)
		f.must(err)
	}
	dropped := func(what string) {
		t.Helper()
		if e := a.event(); e.GetDrop().GetCredential() != c.ID {
			t.Errorf("%s: pushed %v, want a drop of warehouse", what, e)
		}
	}
	leased("crm", nil)
	leased("warehouse", builtIn)
	redefine(ourPostgres)
	dropped("imported")
	held := leased("warehouse", map[string]string{"OURS_USER": "{username}"})
	redefine(strings.Replace(ourPostgres, "Ours", "Renamed", 1))
	if again := leased("warehouse", map[string]string{"OURS_USER": "{username}"}); !bytes.Equal(again.GetTermsDigest(), held.GetTermsDigest()) {
		t.Error("another title makes other terms")
	}
	redefine(strings.Replace(ourPostgres, "OURS_USER: username", "OURS_USER: password", 1))
	dropped("another field")
	leased("warehouse", map[string]string{"OURS_USER": "{password}"})
	_, err := f.vault.DeleteApplication(t.Context(), alice, "postgresql", 0)
	f.must(err)
	dropped("deleted")
	if l := leased("warehouse", builtIn); l.GetVersion() != 1 {
		t.Errorf("version %d of what nobody edited", l.GetVersion())
	}
	// What a host held when the variables changed is not confirmed when it comes back.
	f.must(a.conn.Close())
	b := f.dial(a.own)
	b.id = a.id
	stale := &wire.Held{Credential: held.GetCredential(), Version: held.GetVersion(), Terms: held.GetTermsDigest()}
	if welcome := b.open(stale); len(welcome.GetConfirmed()) != 0 {
		t.Errorf("confirmed %v", welcome.GetConfirmed())
	}
}
