package vault_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/httpauth"
)

// erp is an application at a place, which wants its token in a header.
func erp(origin, header string) string {
	return fmt.Sprintf(`
name: erp
title: An ERP
category: test
auth_types: [{type: api_key, inject: {header: %s}}]
origins: [%s]
fields: [{name: room, help: a room}]
`, header, origin)
}

// carries gives the header in which a request to the place carries the credential's key, and the key.
func (f *fixture) carries(ref, place string) (header, key string) {
	f.t.Helper()
	o, err := f.Vault.Open(f.t.Context(), grant.Caller{Person: &alice}, ref)
	if err != nil {
		f.t.Fatal(err)
	}
	defer o.Value.Wipe()
	if o.Version.Injection == nil {
		f.t.Fatalf("%s: version %d does not say how it is carried", ref, o.Version.Number)
	}
	r, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, place+"/x", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	err = httpauth.Credential{
		Type: o.Credential.AuthType, Plain: o.Version.Fields, Secrets: o.Value, Origins: o.Version.Origins, Injection: *o.Version.Injection,
	}.Authenticate(r)
	if errors.Is(err, httpauth.ErrOrigin) {
		return "refused", ""
	}
	if err != nil {
		f.t.Fatal(err)
	}
	for _, name := range []string{"X-A", "X-B"} {
		if r.Header.Get(name) != "" {
			return name, r.Header.Get(name)
		}
	}
	f.t.Fatalf("%s: no header: %v", ref, r.Header)
	return "", ""
}

// A credential that was made while the catalogue said A goes to A, as A wants it, whatever the catalogue says since: by
// itself, edited, made default, connected again, rolled back, after a start. Only a key that is given again goes to B.
func TestImportedDefinitionsMoveNothing(t *testing.T) {
	t.Parallel()
	const a, b = "https://a.example", "https://b.example"
	f := open(t)
	f.mustRedefine("erp", erp(a, "X-A"))
	_, err := f.Add(t.Context(), alice, "p", vault.Change{Application: "erp", AuthType: credential.APIKey, Value: f.value(map[string]string{"key": "old"})})
	if err != nil {
		t.Fatal(err)
	}
	want := func(what, atA, atB string) {
		t.Helper()
		for place, want := range map[string]string{a: atA, b: atB} {
			if header, key := f.carries("p", place); header+" "+key != want {
				t.Errorf("%s: at %s it is carried by %s %s, want %s", what, place, header, key, want)
			}
		}
	}
	want("new", "X-A old", "refused ")
	f.mustRedefine("erp", erp(b, "X-B"))
	want("the catalogue has changed", "X-A old", "refused ")
	yes, text := true, "edited"
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Default: &yes, Description: &text, Tags: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	want("edited", "X-A old", "refused ")
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Fields: map[string]string{"room": "2"}}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("another field without the key: %v", err)
	}
	for _, do := range []func() error{
		func() error { _, err := f.Disconnect(t.Context(), alice, "p", 0); return err },
		func() error { _, err := f.Connect(t.Context(), alice, "p", 0); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	want("connected again", "X-A old", "refused ")
	f.reopen()
	want("after a start", "X-A old", "refused ")
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Value: f.value(map[string]string{"key": "new"})}); err != nil {
		t.Fatal(err)
	}
	want("with the key again", "refused ", "X-B new")
	if _, err := f.Rollback(t.Context(), alice, "p", 1, 0); err != nil {
		t.Fatal(err)
	}
	want("rolled back", "X-A old", "refused ")

	// Where only the way changes, an edit by the way keeps it, and a key that is given again follows.
	f.mustRedefine("erp", erp(a, "X-B"))
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Fields: map[string]string{"room": "3"}}); err != nil {
		t.Fatal(err)
	}
	want("another field, at the same place", "X-A old", "refused ")
	if _, err := f.edit(t.Context(), alice, "p", vault.Change{Value: f.value(map[string]string{"key": "third"})}); err != nil {
		t.Fatal(err)
	}
	want("with the key again, at the same place", "X-B third", "refused ")
}

const guarded = `
name: guarded
title: Guarded
category: test
auth_types: [{type: access_token}]
fields:
  - {name: pin, help: a pin, secret: true, server_only: true}
  - {name: room, help: a room}
`

// What was stored as staying on the server stays there, whatever the application says since.
func TestImportedDefinitionsLetNothingOut(t *testing.T) {
	t.Parallel()
	const open1 = "\nname: guarded\ntitle: Guarded\ncategory: test\nauth_types: [{type: access_token}]\nfields:\n" +
		"  - {name: pin, help: a pin, secret: true}\n  - {name: room, help: a room}\n"
	f := open(t)
	f.mustRedefine("guarded", guarded)
	_, err := f.Add(t.Context(), alice, "g", vault.Change{
		Application: "guarded", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "t", "pin": "1"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.grant(grant.Grant{Name: "g", Credentials: []string{"g"}, AnyHost: true})
	want := func(what string, names ...string) {
		t.Helper()
		o, err := f.Vault.Open(t.Context(), grant.Caller{Host: &runner, Job: etl}, "g")
		if err != nil {
			t.Fatal(err)
		}
		defer o.Value.Wipe()
		if got := o.Value.Names(); !slices.Equal(got, names) {
			t.Errorf("%s: the host gets %v, want %v", what, got, names)
		}
	}
	want("new", "token")
	f.mustRedefine("guarded", open1)
	want("the catalogue has changed", "token")
	if _, err := f.edit(t.Context(), alice, "g", vault.Change{Fields: map[string]string{"room": "2"}}); err != nil {
		t.Fatal(err)
	}
	want("edited by the way", "token")
	if _, err := f.Rollback(t.Context(), alice, "g", 1, 0); err != nil {
		t.Fatal(err)
	}
	want("rolled back", "token")
	if _, err := f.edit(t.Context(), alice, "g", vault.Change{Value: f.value(map[string]string{"pin": "2"})}); err != nil {
		t.Fatal(err)
	}
	want("given again", "pin", "token")
	f.mustRedefine("guarded", guarded)
	want("the catalogue has it stay again", "token")
	if _, err := f.edit(t.Context(), alice, "g", vault.Change{Value: f.value(map[string]string{"pin": "3"})}); err != nil {
		t.Fatal(err)
	}
	// Also where the definition can no longer be read.
	f.spoil("guarded")
	if _, err := f.Application("guarded"); err != nil || !slices.Contains(f.broken(), "guarded") {
		t.Fatalf("%v, broken %v", err, f.broken())
	}
	want("the definition is broken", "token")
}

// What the application says itself, or never does, is no field of its credentials; what it needs is asked for.
func TestApplicationsTakeTheirOwnFields(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, v := range []struct {
		application string
		fields      map[string]string
		want        string
	}{
		{"aws", map[string]string{"access_key_id": "A", "region": "eu-central-1", "header": "X-Foo"}, "invalid field header: there is no such field; there is: key, access_key_id, session_token, region"},
		{"aws", map[string]string{"access_key_id": "A"}, "invalid field region: it is missing (the region that signatures are for, such as eu-central-1)"},
		{"aws", map[string]string{"access_key_id": "A", "region": "eu-central-1"}, ""},
		{"stripe", map[string]string{"prefix": "Basic "}, "invalid field prefix: there is no such field; there is: key"},
		{"generic-rest", map[string]string{"url": "https://a.example", "header": "X-Foo"}, ""},
	} {
		_, err := f.Add(t.Context(), alice, v.application, vault.Change{
			Application: v.application, AuthType: credential.APIKey, Fields: v.fields, Value: f.value(map[string]string{"key": "k"}),
		})
		if v.want == "" && err != nil || v.want != "" && (err == nil || err.Error() != v.want) {
			t.Errorf("%s with %v: %v, want %q", v.application, v.fields, err, v.want)
		}
	}
}
