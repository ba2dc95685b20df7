package vault_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

var (
	alice   = grant.Person{ID: "id-alice", Name: "alice", Role: "admin", Permissions: grant.AllPermissions}
	bob     = grant.Person{ID: "id-bob", Name: "bob", Role: "admin", Permissions: grant.AllPermissions}
	runner  = grant.Host{ID: "h1", Name: "runner1", Labels: map[string]string{"role": "ci"}}
	another = grant.Host{ID: "h2", Name: "runner2"}
	etl     = grant.Job{User: "etl", UID: "1001"}
)

type fixture struct {
	*vault.Vault
	*roomtest.Rooms
	settings *setting.Settings
	clock    *roomtest.Clock
	t        *testing.T
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Rooms: roomtest.Open(t), clock: roomtest.NewClock(), t: t}
	f.reopen()
	return f
}

func (f *fixture) reopen() {
	f.t.Helper()
	c, err := catalogue.Load(configs.Applications)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.settings, err = setting.Open(f.Barrier, f.Log); err != nil {
		f.t.Fatal(err)
	}
	f.Vault, err = vault.Open(f.Barrier, f.Log, f.Arena, c, f.settings, f.clock.Now)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.Tidy(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) edit(ctx context.Context, who grant.Person, ref string, ch vault.Change) (credential.Metadata, error) {
	c, _, err := f.Edit(ctx, who, ref, ch)
	return c, err
}

func (f *fixture) list(who grant.Person, filter vault.Filter) []credential.Metadata {
	list, _ := f.List(who, filter)
	return list
}

func (f *fixture) value(fields map[string]string) credential.Value {
	f.t.Helper()
	v := credential.Value{}
	for name, text := range fields {
		b, err := f.Arena.From([]byte(text))
		if err != nil {
			f.t.Fatal(err)
		}
		v[name] = b
	}
	f.t.Cleanup(v.Wipe)
	return v
}

// addToken stores crm, an app credential with a token.
func (f *fixture) addToken(name, token string) credential.Metadata {
	f.t.Helper()
	c, err := f.Add(f.t.Context(), alice, name, vault.Change{
		Application: "generic-rest", AuthType: credential.AccessToken,
		Fields: map[string]string{"url": "https://api.example.com"}, Value: f.value(map[string]string{"token": token}),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) grant(g grant.Grant) {
	f.t.Helper()
	if _, err := f.AddGrant(f.t.Context(), alice, g); err != nil {
		f.t.Fatal(err)
	}
}

// read asks at the gate for a job and returns the token.
func (f *fixture) read(h grant.Host, j grant.Job, ref string) (string, error) {
	f.t.Helper()
	o, err := f.Vault.Open(f.t.Context(), grant.Caller{Host: &h, Job: j}, ref)
	if err != nil {
		return "", err
	}
	defer o.Value.Wipe()
	return string(o.Value["token"].Reveal()), nil
}

func (f *fixture) wantRefused(h grant.Host, j grant.Job, ref, reason string) {
	f.t.Helper()
	got, err := f.read(h, j, ref)
	if !errors.Is(err, vault.ErrRefused) || got != "" {
		f.t.Errorf("%s on %s: %q, %v; want ErrRefused", ref, h.Name, got, err)
	}
	e := f.Newest(f.t, 1)[0]
	if e.Action != "credential.read" || e.Outcome != "refused" || e.Reason != reason || e.Host != h.ID {
		f.t.Errorf("%s on %s: logged %+v, want refused: %s", ref, h.Name, e, reason)
	}
	if d := f.Explain(alice, h, ref, j); d.Allowed || d.Reason != reason {
		f.t.Errorf("%s on %s: explain says %t %q; want %q", ref, h.Name, d.Allowed, d.Reason, reason)
	}
}

func (f *fixture) wantAllowed(h grant.Host, j grant.Job, ref, token string) {
	f.t.Helper()
	if got, err := f.read(h, j, ref); err != nil || got != token {
		f.t.Errorf("%s on %s: %q, %v; want %q", ref, h.Name, got, err, token)
	}
	e := f.Newest(f.t, 1)[0]
	if e.Action != "credential.read" || e.Outcome != "allowed" || e.Host != h.ID || e.Actor != "host:"+h.ID {
		f.t.Errorf("%s on %s: logged %+v", ref, h.Name, e)
	}
}

func TestTheGate(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.wantRefused(runner, etl, "crm", "there is no such credential")
	f.addToken("crm", "tok-1")
	f.wantRefused(runner, etl, "crm", "no grant names this credential")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"crm"}, Hosts: []string{"h1"}, Conditions: grant.Conditions{Jobs: grant.Jobs{JobUsers: []string{"etl"}}}})
	f.wantAllowed(runner, etl, "crm", "tok-1")
	f.wantRefused(another, etl, "crm", "no grant of this credential names this host")
	f.wantRefused(runner, grant.Job{User: "root", UID: "0"}, "crm", "no grant of this credential for this host names this job's user")
	f.reopen()
	f.wantAllowed(runner, etl, "crm", "tok-1")
	if err := f.RevokeGrant(t.Context(), alice, "g"); err != nil {
		t.Fatal(err)
	}
	f.wantRefused(runner, etl, "crm", "no grant names this credential")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true, Conditions: grant.Conditions{Until: f.clock.At.Add(time.Minute)}})
	f.wantAllowed(runner, etl, "crm", "tok-1")
	f.clock.Add(time.Minute)
	f.wantRefused(runner, etl, "crm", "every grant of this credential for this host has ended")
	if _, changed, err := f.Delete(t.Context(), alice, "crm", 0); err != nil || !slices.Equal(changed, []string{"g"}) {
		t.Errorf("deleted: %v, %v; want the grant g changed", changed, err)
	}
	f.wantRefused(runner, etl, "crm", "there is no such credential")
	f.reopen()
	f.wantRefused(runner, etl, "crm", "there is no such credential")
	f.addToken("crm", "tok-2")
	f.wantRefused(runner, etl, "crm", "no grant names this credential") // the name's new owner inherits nothing
}

// If the log cannot be written, nothing is delivered, and nothing changes.
func TestNothingWithoutTheLog(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true})
	f.wantAllowed(runner, etl, "crm", "tok-1")
	if err := f.Log.Close(); err != nil {
		t.Fatal(err)
	}
	before := f.Arena.InUse()
	if got, err := f.read(runner, etl, "crm"); err == nil || got != "" {
		t.Errorf("delivered %q without an entry", got)
	}
	if _, err := f.Vault.Open(t.Context(), grant.Caller{Person: &alice}, "crm"); err == nil {
		t.Error("revealed without an entry")
	}
	if err := f.RevokeGrant(t.Context(), alice, "g"); err == nil {
		t.Error("revoked without an entry")
	}
	if used := f.Arena.InUse(); used != before {
		t.Errorf("%d bytes in the arena, %d before", used, before)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.addToken("crm", "tok-1")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true})
	text := "the CRM"
	c, err := f.edit(t.Context(), alice, "crm", vault.Change{Description: &text, Tags: map[string]string{"env": "prod"}})
	if err != nil || c.Version != 1 || c.Description != "the CRM" {
		t.Errorf("%+v, %v; want version 1 still", c, err)
	}
	f.wantAllowed(runner, etl, "crm", "tok-1")
	if c, err = f.edit(t.Context(), alice, "crm", vault.Change{Value: f.value(map[string]string{"token": "tok-2"})}); err != nil || c.Version != 2 {
		t.Errorf("%+v, %v; want version 2", c, err)
	}
	f.wantAllowed(runner, etl, "crm", "tok-2")
	f.reopen()
	f.wantAllowed(runner, etl, "crm", "tok-2")
	all, err := f.Versions(alice, "crm")
	if err != nil || len(all) != 2 || all[0].Number != 2 || all[1].Number != 1 {
		t.Fatalf("%+v, %v; want 2 and 1", all, err)
	}
	if o := all[0].Origins; len(o) != 1 || o[0].String() != "https://api.example.com:443" {
		t.Errorf("origins %v", o)
	}
	if all[0].Fields["token"] != "" || !slices.Equal(all[0].Secrets, []string{"token"}) {
		t.Errorf("fields %v, secrets %v", all[0].Fields, all[0].Secrets)
	}
}

// A secret never follows a changed URL.
func TestChangedOriginWantsTheSecretAgain(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	to := func(url string, v credential.Value) error {
		_, err := f.edit(t.Context(), alice, "crm", vault.Change{Fields: map[string]string{"url": url}, Value: v})
		return err
	}
	if err := to("https://api.example.com/v2", nil); err != nil {
		t.Errorf("another path: %v", err)
	}
	for _, url := range []string{"https://evil.example.com", "http://api.example.com", "https://api.example.com:444", ""} {
		if err := to(url, nil); !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), "token") {
			t.Errorf("%q: %v, want ErrInvalid naming the field", url, err)
		}
	}
	if err := to("https://other.example.com", f.value(map[string]string{"token": "tok-2"})); err != nil {
		t.Errorf("with the secret: %v", err)
	}
}

func TestCustomCredentialsAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	f := open(t)
	_, err := f.Add(t.Context(), alice, "alice/payroll", vault.Change{
		Fields: map[string]string{"user": "a"}, Value: f.value(map[string]string{"pin": "1234"}),
		Describe: map[string]string{"pin": "of the card"}, Tags: map[string]string{"env": "prod"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Show(bob, "alice/payroll"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("bob's show: %v", err)
	}
	if list := f.list(bob, vault.Filter{}); len(list) != 0 {
		t.Errorf("bob's list: %v", list)
	}
	if list := f.list(alice, vault.Filter{Tag: "env=prod"}); len(list) != 1 {
		t.Errorf("alice's list: %v", list)
	}
	_, err = f.Vault.Open(t.Context(), grant.Caller{Person: &bob}, "alice/payroll")
	if !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("bob's reveal: %v", err)
	}
	if e := f.Newest(t, 1)[0]; e.Outcome != "refused" || e.Target != "alice/…" || e.Actor != "bob" {
		t.Errorf("logged %+v, want what is logged for a name that is not there", e)
	}
	if _, err := f.AddGrant(t.Context(), bob, grant.Grant{Name: "mine", Credentials: []string{"alice/payroll"}, AnyHost: true}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("bob's grant: %v", err)
	}
	f.grant(grant.Grant{Name: "by-tag", Tags: []string{"env=prod"}, AnyHost: true})
	f.wantRefused(runner, etl, "alice/payroll", "no grant names this credential")
	if d := f.Explain(bob, runner, "alice/payroll", etl); d.Reason != "there is no such credential" {
		t.Errorf("bob's explain: %q", d.Reason)
	}
	if _, err := f.Add(t.Context(), bob, "alice/other", vault.Change{Fields: map[string]string{"a": "b"}}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("in another's name: %v", err)
	}
	o, err := f.Vault.Open(t.Context(), grant.Caller{Person: &alice}, "alice/payroll")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Value.Wipe()
	if !bytes.Equal(o.Value["pin"].Reveal(), []byte("1234")) {
		t.Error("alice got another value")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	f := open(t)
	yes := true
	f.addToken("one", "tok-1")
	f.addToken("two", "tok-2")
	f.grant(grant.Grant{Name: "g", Applications: []string{"generic-rest"}, AnyHost: true})
	f.wantRefused(runner, etl, "app:generic-rest", "there is no such credential")
	for name, token := range map[string]string{"one": "tok-1", "two": "tok-2"} {
		if _, err := f.edit(t.Context(), alice, name, vault.Change{Default: &yes}); err != nil {
			t.Fatal(err)
		}
		f.wantAllowed(runner, etl, "app:generic-rest", token)
		f.reopen()
		f.wantAllowed(runner, etl, "app:generic-rest", token)
	}
	defaults := 0
	for _, c := range f.list(alice, vault.Filter{}) {
		if c.Default {
			defaults++
		}
	}
	if defaults != 1 {
		t.Errorf("%d defaults, want one", defaults)
	}
}

func TestBadInputNamesTheField(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("taken", "tok")
	const canary = "canary-5f2d"
	add := func(name string, ch vault.Change) error {
		_, err := f.Add(t.Context(), alice, name, ch)
		return err
	}
	app := func(t credential.AuthType, fields map[string]string, v credential.Value) vault.Change {
		return vault.Change{Application: "generic-rest", AuthType: t, Fields: fields, Value: v}
	}
	secretToken := f.value(map[string]string{"token": canary})
	for _, tt := range []struct {
		name string
		ref  string
		ch   vault.Change
		want string
	}{
		{"bad name", "Bad Name", app("access_token", nil, secretToken), "credential name"},
		{"the name of a default", "app:generic-rest", app("access_token", nil, secretToken), "credential name"},
		{"no application", "a", vault.Change{Value: secretToken}, "application"},
		{"unknown application", "a", vault.Change{Application: "nope", AuthType: "basic", Value: secretToken}, "generic-rest"},
		{"unknown auth type", "a", app("telepathy", nil, secretToken), "auth type"},
		{"missing secret", "a", app("access_token", nil, nil), "token"},
		{"missing field", "a", app("basic", nil, f.value(map[string]string{"password": canary})), "username"},
		{"secret as a plain field", "a", app("access_token", map[string]string{"token": canary}, nil), "token"},
		{"plain field as a secret", "a", app("access_token", nil, f.value(map[string]string{"token": "t", "url": canary})), "url"},
		{"unknown field", "a", app("access_token", map[string]string{"colour": canary}, secretToken), "colour"},
		{"URL with a password", "a", app("access_token", map[string]string{"url": "https://u:" + canary + "@x"}, secretToken), "url"},
		{"not text", "a", app("access_token", map[string]string{"url": canary + "\xff"}, secretToken), "url"},
		{"nothing", "alice/a", vault.Change{}, "variable"},
		{"taken", "taken", app("access_token", nil, secretToken), "taken"},
	} {
		err := add(tt.ref, tt.ch)
		if !errors.Is(err, credential.ErrInvalid) && !errors.Is(err, vault.ErrTaken) {
			t.Errorf("%s: %v, want ErrInvalid or ErrTaken", tt.name, err)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v; want %q in it and no value", tt.name, err, tt.want)
		}
	}
	if n := len(f.list(alice, vault.Filter{})); n != 1 {
		t.Errorf("%d credentials, want the first alone", n)
	}
}

// A deletion that was cut short is finished at the next start.
func TestManyVersionsAreDeleted(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-0")
	for range 100 {
		if _, err := f.edit(t.Context(), alice, "crm", vault.Change{Generate: []string{"token"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := f.Delete(t.Context(), alice, "crm", 0); err != nil {
		t.Fatal(err)
	}
	purged := 0
	for _, e := range f.Newest(t, 10) {
		if e.Action == "credential.purge" {
			purged++
		}
	}
	if purged != 2 {
		t.Errorf("the 50 versions that are kept went in %d steps, want 2 of 40 at most", purged)
	}
}

// An edit lays fields, tags and descriptions over what is there; an empty text
// removes its key, and what is not named stays.
func TestEditMerges(t *testing.T) {
	t.Parallel()
	f := open(t)
	_, err := f.Add(t.Context(), alice, "alice/own", vault.Change{
		Fields: map[string]string{"a": "1", "b": "2"}, Value: f.value(map[string]string{"pin": "1234"}),
		Tags: map[string]string{"x": "1", "y": "2"}, Describe: map[string]string{"a": "one", "b": "two"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.edit(t.Context(), alice, "alice/own", vault.Change{
		Fields: map[string]string{"b": "", "c": "3"}, Tags: map[string]string{"y": "", "z": "3"}, Describe: map[string]string{"b": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, version, err := f.Show(alice, "alice/own")
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string]struct{ have, want map[string]string }{
		"fields":   {version.Fields, map[string]string{"a": "1", "c": "3"}},
		"tags":     {c.Tags, map[string]string{"x": "1", "z": "3"}},
		"describe": {c.Describe, map[string]string{"a": "one"}},
	} {
		if !maps.Equal(got.have, got.want) {
			t.Errorf("%s: %v, want %v", what, got.have, got.want)
		}
	}
	if !slices.Equal(version.Secrets, []string{"pin"}) {
		t.Errorf("secrets %v, want pin still", version.Secrets)
	}
}
