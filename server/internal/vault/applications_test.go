package vault_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

const acme = "name: acme\ntitle: Acme\ncategory: erp\nauth_types: [{type: basic}, {type: access_token}]\norigins: [\"https://acme.example\"]\n" +
	"fields: [{name: room, help: a room}]\n"

// ourRest overrides what is built in.
const ourRest = "name: generic-rest\ntitle: Ours\ncategory: generic\nauth_types: [{type: access_token}, {type: ssh_key}]\n" +
	"fields: [{name: url, help: where, origin: true}, {name: pin, help: a pin, secret: true}]\n"

func (f *fixture) redefine(name, text string) (vault.Redefinition, error) {
	return f.SetApplication(f.t.Context(), alice, name, text, 0, false)
}

func (f *fixture) mustRedefine(name, text string) vault.Redefinition {
	f.t.Helper()
	r, err := f.redefine(name, text)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *fixture) source(name string) string {
	f.t.Helper()
	app, err := f.Application(name)
	if errors.Is(err, catalogue.ErrUnknown) {
		return "none"
	}
	if err != nil {
		f.t.Fatal(err)
	}
	listed := slices.ContainsFunc(f.Applications(), func(a vault.Application) bool {
		return a.Name == name && a.Source == app.Source && a.Title == app.Title
	})
	return fmt.Sprintf("%s %s %t %t", app.Source, app.Title, listed, app.Broken != nil)
}

func TestApplicationsAreImported(t *testing.T) {
	t.Parallel()
	f := open(t)
	add := func() error {
		_, err := f.Add(t.Context(), alice, "erp", vault.Change{
			Application: "acme", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "tok-1"}),
		})
		return err
	}
	if err := add(); !errors.Is(err, catalogue.ErrUnknown) {
		t.Errorf("before: %v", err)
	}
	if r, err := f.SetApplication(t.Context(), alice, "acme", acme, 0, true); err != nil || r.Outcome() != "added" {
		t.Errorf("tried: %+v, %v", r, err)
	}
	if got := f.source("acme"); got != "none" {
		t.Errorf("a try has imported it: %s", got)
	}
	if r := f.mustRedefine("acme", acme); r.Outcome() != "added" || r.After.Source != "added" || len(r.Differences) == 0 {
		t.Errorf("%+v", r)
	}
	e := f.Newest(t, 1)[0]
	if e.Action != "application.set" || e.Actor != "alice" || e.Target != "acme" || e.Outcome != "allowed" ||
		!strings.HasPrefix(e.Reason, "added; auth types: +[basic] +[access_token]; origins: +[basic: https://acme.example]") {
		t.Errorf("logged %+v", e)
	}
	if r := f.mustRedefine("acme", "# a remark\n"+acme); r.Outcome() != "unchanged" || f.Newest(t, 1)[0] != e {
		t.Errorf("the same again: %+v, logged %+v", r, f.Newest(t, 1)[0])
	}
	if r := f.mustRedefine("generic-rest", ourRest); r.Outcome() != "changed" || r.After.Source != "override" {
		t.Errorf("%+v", r)
	}
	if e := f.Newest(t, 1)[0]; !strings.HasPrefix(e.Reason, "changed, over the built-in one; auth types: -[basic] ") {
		t.Errorf("logged %+v", e)
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if got := f.source("acme"); got != "added Acme true false" {
		t.Errorf("after a start: %s", got)
	}
	if got := f.source("generic-rest"); got != "override Ours true false" {
		t.Errorf("after a start: %s", got)
	}
	f.grant(grant.Grant{Name: "g", Applications: []string{"acme"}, AnyHost: true})
	f.wantAllowed(runner, etl, "erp", "tok-1")

	remove := func(name string) (vault.Redefinition, error) { return f.DeleteApplication(t.Context(), alice, name, 0) }
	if _, err := remove("acme"); !errors.Is(err, vault.ErrInUse) || !strings.Contains(err.Error(), "1 credential is of the application acme") {
		t.Errorf("with a credential: %v", err)
	}
	if _, _, err := f.Delete(t.Context(), alice, "erp", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := remove("acme"); !errors.Is(err, vault.ErrInUse) || !strings.Contains(err.Error(), "1 grant names the application acme") {
		t.Errorf("with a grant: %v", err)
	}
	if err := f.RevokeGrant(t.Context(), alice, "g"); err != nil {
		t.Fatal(err)
	}
	if r, err := remove("acme"); err != nil || r.Outcome() != "deleted" || f.source("acme") != "none" {
		t.Errorf("%s, %v; then %s", r.Outcome(), err, f.source("acme"))
	}
	if e := f.Newest(t, 1)[0]; e.Action != "application.delete" || e.Target != "acme" || !strings.HasPrefix(e.Reason, "deleted; auth types: -[basic]") {
		t.Errorf("logged %+v", e)
	}
	if r, err := remove("generic-rest"); err != nil || r.Outcome() != "changed" || f.source("generic-rest") != "built-in Any HTTP API true false" {
		t.Errorf("%s, %v; then %s", r.Outcome(), err, f.source("generic-rest"))
	}
	if e := f.Newest(t, 1)[0]; !strings.HasPrefix(e.Reason, "changed, the built-in one is back; ") {
		t.Errorf("logged %+v", e)
	}
	if _, err := remove("generic-rest"); !errors.Is(err, vault.ErrRefused) || !strings.Contains(err.Error(), "generic-rest is built in") {
		t.Errorf("what is built in: %v", err)
	}
	if _, err := remove("acme"); !errors.Is(err, catalogue.ErrUnknown) {
		t.Errorf("what is not there: %v", err)
	}
	f.reopen()
	if got := f.source("acme") + ", " + f.source("generic-rest"); got != "none, built-in Any HTTP API true false" {
		t.Errorf("after a start: %s", got)
	}
}

func TestWhoMayRedefine(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.mustRedefine("acme", acme)
	for who, p := range map[string]struct {
		can grant.Permissions
		may bool
	}{
		"settings alone":  {grant.PermissionsOf(grant.SettingEdit), false},
		"grants alone":    {grant.PermissionsOf(grant.GrantEdit), false},
		"all but setting": {grant.AllPermissions.Beyond(grant.PermissionsOf(grant.SettingEdit)), false},
		"all but grant":   {grant.AllPermissions.Beyond(grant.PermissionsOf(grant.GrantEdit)), false},
		"both":            {grant.PermissionsOf(grant.SettingEdit, grant.GrantEdit), true},
	} {
		person := grant.Person{ID: "id", Name: "carol", Permissions: p.can}
		text := strings.Replace(acme, "title: Acme", "title: "+who, 1)
		for _, try := range []bool{true, false} {
			if _, err := f.SetApplication(t.Context(), person, "acme", text, 0, try); errors.Is(err, vault.ErrRefused) == p.may {
				t.Errorf("%s sets, trying: %t: %v", who, try, err)
			}
		}
		if app, err := f.Application("acme"); err != nil || (app.Title == who) != p.may {
			t.Errorf("%s: the title is %s, %v", who, app.Title, err)
		}
	}
	for _, p := range []grant.Permissions{grant.PermissionsOf(grant.SettingEdit), grant.PermissionsOf(grant.GrantEdit)} {
		if _, err := f.DeleteApplication(t.Context(), grant.Person{Name: "carol", Permissions: p}, "acme", 0); !errors.Is(err, vault.ErrRefused) {
			t.Errorf("%s deletes: %v", p, err)
		}
	}
	carol := grant.Person{Name: "carol", Permissions: grant.PermissionsOf(grant.SettingEdit, grant.GrantEdit)}
	if _, err := f.DeleteApplication(t.Context(), carol, "acme", 0); err != nil {
		t.Error(err)
	}
}

func TestApplicationRevisions(t *testing.T) {
	t.Parallel()
	f := open(t)
	other := func(n int) string { return strings.Replace(acme, "title: Acme", fmt.Sprintf("title: T%d", n), 1) }
	first := f.mustRedefine("acme", acme).After.Revision
	second := f.mustRedefine("acme", other(2)).After.Revision
	if app, err := f.Application("acme"); err != nil || app.Revision != second || first == second {
		t.Errorf("revisions %d, %d and %d, %v", first, second, app.Revision, err)
	}
	if _, err := f.SetApplication(t.Context(), alice, "acme", other(3), first, false); !errors.Is(err, vault.ErrChanged) {
		t.Errorf("what was seen before: %v", err)
	}
	if _, err := f.DeleteApplication(t.Context(), alice, "acme", first); !errors.Is(err, vault.ErrChanged) {
		t.Errorf("what was seen before: %v", err)
	}
	if _, err := f.DeleteApplication(t.Context(), alice, "acme", second); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetApplication(t.Context(), alice, "acme", other(3), second, false); !errors.Is(err, vault.ErrChanged) {
		t.Errorf("what is gone: %v", err)
	}
	f.reopen()
	// Nobody who has seen what was there before takes another for it, also across a start.
	if third := f.mustRedefine("acme", other(3)).After.Revision; third <= second {
		t.Errorf("revision %d again, after %d", third, second)
	}
	if _, err := f.SetApplication(t.Context(), alice, "generic-rest", ourRest, 1, false); err != nil {
		t.Errorf("what is built in has revision 1: %v", err)
	}
}

// What credentials have is not taken from them: they could never have a next version.
func TestDefinitionsTakeNothingAway(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.mustRedefine("acme", acme)
	_, err := f.Add(t.Context(), alice, "erp", vault.Change{
		Application: "acme", AuthType: credential.AccessToken, Fields: map[string]string{"room": "1"}, Value: f.value(map[string]string{"token": "t"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for from, v := range map[string]struct{ to, want string }{
		", {type: access_token}": {"", "1 credential has the auth type access_token"},
		"name: room":             {"name: rooms", "1 credential has the field room"},
		"help: a room":           {"help: a room, secret: true", "1 credential has the field room"},
	} {
		for _, try := range []bool{true, false} {
			_, err := f.SetApplication(t.Context(), alice, "acme", strings.Replace(acme, from, v.to, 1), 0, try)
			if !errors.Is(err, vault.ErrInUse) || !strings.Contains(err.Error(), v.want) {
				t.Errorf("%q instead of %q: %v", v.to, from, err)
			}
		}
	}
	f.mustRedefine("acme", strings.Replace(acme, "{type: basic}, ", "", 1)) // which none has

	// What is built in does not take what only the override does.
	f.mustRedefine("generic-rest", ourRest)
	f.addToken("crm", "tok")
	f.addToken("crm2", "tok")
	remove := func() error { _, err := f.DeleteApplication(t.Context(), alice, "generic-rest", 0); return err }
	for _, name := range []string{"crm", "crm2"} {
		if _, err := f.edit(t.Context(), alice, name, vault.Change{Value: f.value(map[string]string{"pin": "1"})}); err != nil {
			t.Fatal(err)
		}
	}
	if err := remove(); !errors.Is(err, vault.ErrInUse) || !strings.Contains(err.Error(), "2 credentials have the field pin") {
		t.Errorf("with its field: %v", err)
	}
	for _, name := range []string{"crm", "crm2"} {
		if _, _, err := f.Delete(t.Context(), alice, name, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.Add(t.Context(), alice, "key", vault.Change{Application: "generic-rest", AuthType: credential.SSHKey, Generate: []string{"private_key"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := remove(); !errors.Is(err, vault.ErrInUse) || !strings.Contains(err.Error(), "1 credential has the auth type ssh_key") {
		t.Errorf("with its auth type: %v", err)
	}
	if _, _, err := f.Delete(t.Context(), alice, "key", 0); err != nil {
		t.Fatal(err)
	}
	f.addToken("plain", "tok")
	if err := remove(); err != nil {
		t.Errorf("with what both take: %v", err)
	}
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	t.Parallel()
	f := open(t)
	for text, want := range map[string]string{
		acme + "colour: red\n":                                                                  "application file: line 7: there is no key colour here",
		strings.Replace(acme, "name: acme", "name: other", 1):                                   "name: it is other, and the file is called after acme",
		acme + "#" + strings.Repeat("x", 64<<10):                                                "at most 65536 bytes",
		strings.Replace(acme, "{type: basic}", "{type: basic, env: {LD_PRELOAD: username}}", 1): "LD_PRELOAD changes how programs run",
		strings.Replace(acme, "https:", "gopher:", 1):                                           "origins[0]",
		"": "the file is empty",
	} {
		if _, err := f.redefine("acme", text); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %s", text, err, want)
		}
	}
	if got := f.source("acme"); got != "none" {
		t.Error(got)
	}
}

// stored puts definitions into the vault as another version of the program may have left them.
func (f *fixture) stored(texts map[string]string) {
	f.t.Helper()
	for part := range slices.Chunk(slices.Sorted(maps.Keys(texts)), 20) {
		entry := audit.Entry{Actor: "system", Action: "application.set", Outcome: audit.Allowed}
		err := f.Log.Change(f.t.Context(), f.Barrier, entry, func(tx *barrier.Tx) (err error) {
			for _, name := range part {
				err = errors.Join(err, tx.Claim("application", name, "id-"+name),
					tx.PutJSON("application", "id-"+name, map[string]any{"id": "id-" + name, "name": name, "text": texts[name], "revision": 7}))
			}
			return err
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// spoil makes an imported definition one that cannot be read any more.
func (f *fixture) spoil(name string) {
	f.t.Helper()
	entry := audit.Entry{Actor: "system", Action: "application.set", Outcome: audit.Allowed}
	err := f.Log.Change(f.t.Context(), f.Barrier, entry, func(tx *barrier.Tx) error {
		id, err := tx.Lookup("application", name)
		if err != nil {
			return err
		}
		return tx.PutJSON("application", id, map[string]any{"id": id, "name": name, "text": "name: [", "revision": 7})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.reopen()
}

// broken are the names of the imported definitions that are not used.
func (f *fixture) broken() (names []string) {
	for _, app := range f.Applications() {
		if app.Broken != nil {
			names = append(names, app.Name)
		}
	}
	return names
}

// A stored definition that this version does not take does not stop the start; what is built in is used.
func TestBrokenDefinitions(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.mustRedefine("slack", "name: slack\ntitle: Our Slack\ncategory: chat\nauth_types: [{type: access_token}]\norigins: [\"https://slack.example\"]\n")
	f.stored(map[string]string{
		"generic-rest": ourRest + "later: true\n",
		"acme":         "name: acme\ntitle: [",
		"renamed":      acme,
	})
	f.reopen()
	if got := f.broken(); !slices.Equal(got, []string{"acme", "generic-rest", "renamed"}) {
		t.Errorf("broken: %v", got)
	}
	for name, want := range map[string]string{
		"generic-rest": "override Any HTTP API true true", "acme": "added  true true", "slack": "override Our Slack true false", "github": "built-in GitHub true false",
	} {
		if got := f.source(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	f.addToken("crm", "tok")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true})
	f.wantAllowed(runner, etl, "crm", "tok")
	if r := f.mustRedefine("acme", acme); r.Outcome() != "changed" || r.After.Source != "added" {
		t.Errorf("mended: %+v", r)
	}
	if r, err := f.DeleteApplication(t.Context(), alice, "generic-rest", 0); err != nil || len(r.Differences) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := f.DeleteApplication(t.Context(), alice, "renamed", 0); err != nil {
		t.Error(err)
	}
	f.reopen()
	if got := f.broken(); len(got) != 0 {
		t.Errorf("broken still: %v", got)
	}
}

func TestApplicationsAreBounded(t *testing.T) {
	t.Parallel()
	f := open(t)
	many := map[string]string{}
	for n := range 999 {
		name := fmt.Sprintf("app%03d", n)
		many[name] = strings.Replace(acme, "name: acme", "name: "+name, 1)
	}
	f.stored(many)
	f.reopen()
	f.mustRedefine("acme", acme)
	if _, err := f.redefine("generic-rest", ourRest); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "1000 are imported already") {
		t.Errorf("one too many: %v", err)
	}
	f.mustRedefine("acme", strings.Replace(acme, "title: Acme", "title: Again", 1)) // which is there
}
