package vault_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// The people of these tests, with permissions as their roles have them.
var (
	dev = grant.Person{ID: "id-dev", Name: "dev", Role: "developer", Permissions: grant.PermissionsOf(
		grant.CredentialView, grant.CredentialOwn, grant.RequestMake, grant.GrantView, grant.HostView)}
	auditor = grant.Person{ID: "id-auditor", Name: "auditor", Role: "auditor", Permissions: grant.PermissionsOf(
		grant.CredentialView, grant.GrantView, grant.HostView, grant.UserView, grant.SettingView, grant.AuditView)}
	labeller = grant.Person{ID: "id-labeller", Name: "labeller", Role: "fleet-manager", Permissions: grant.PermissionsOf(
		grant.HostView, grant.HostJoin, grant.HostLabel, grant.HostRevoke, grant.GrantView, grant.CredentialView)}
	tagger = grant.Person{ID: "id-tagger", Name: "tagger", Role: "tagger", Permissions: grant.PermissionsOf(
		grant.CredentialView, grant.CredentialCreate, grant.CredentialEdit)}
)

const payroll = "dev/payroll"

// addPayroll stores a custom credential of dev's with one masked variable.
func (f *fixture) addPayroll(requestable bool) credential.Metadata {
	f.t.Helper()
	c, err := f.Add(f.t.Context(), dev, payroll, vault.Change{
		Value: f.value(map[string]string{"pin": "canary-4711"}), Requestable: &requestable,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) reveal(who grant.Person, ref string) (string, error) {
	f.t.Helper()
	opened, err := f.Open(f.t.Context(), grant.Caller{Person: &who}, ref)
	if err != nil {
		return "", err
	}
	defer opened.Value.Wipe()
	text := ""
	for _, name := range opened.Value.Names() {
		text += string(opened.Value[name].Reveal())
	}
	return text, nil
}

// Every answer about somebody else's custom credential is the one for a name
// that is not there, for an admin as well.
func TestCustomIsNotThere(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.addPayroll(false)
	own, err := f.AddGrant(t.Context(), dev, grant.Grant{Name: "dev-pay", Credentials: []string{payroll}, Hosts: []string{"h1"}})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := f.reveal(dev, payroll); err != nil || text != "canary-4711" {
		t.Fatalf("the owner gets %q, %v", text, err)
	}
	text := "x"
	for _, who := range []grant.Person{alice, auditor, labeller} {
		for what, do := range map[string]func(ref string) error{
			"show":     func(ref string) error { _, _, err := f.Show(who, ref); return err },
			"versions": func(ref string) error { _, err := f.Versions(who, ref); return err },
			"reveal":   func(ref string) error { _, err := f.reveal(who, ref); return err },
			"edit": func(ref string) error {
				_, err := f.edit(t.Context(), who, ref, vault.Change{Description: &text})
				return err
			},
			"delete":     func(ref string) error { _, _, err := f.Delete(t.Context(), who, ref, 0); return err },
			"rollback":   func(ref string) error { _, err := f.Rollback(t.Context(), who, ref, 1, 0); return err },
			"disconnect": func(ref string) error { _, err := f.Disconnect(t.Context(), who, ref, 0); return err },
			"connect":    func(ref string) error { _, err := f.Connect(t.Context(), who, ref, 0); return err },
			"request": func(ref string) error {
				_, err := f.MakeRequest(t.Context(), who, ref, vault.Request{Reason: "r", Access: grant.Read})
				return err
			},
		} {
			there, absent := do(payroll), do("dev/nothing")
			if !errors.Is(there, vault.ErrNotFound) || there.Error() != absent.Error() {
				t.Errorf("%s, %s: %v, and for a name that is not there %v", who.Name, what, there, absent)
			}
		}
		_, there := f.AddGrant(t.Context(), alice, grant.Grant{Name: "x", Credentials: []string{payroll}, AnyHost: true})
		if !errors.Is(there, vault.ErrNotFound) {
			t.Errorf("%s grants it: %v", who.Name, there)
		}
		if d := f.Explain(who, runner, payroll, etl); d.Allowed || d.Reason != "there is no such credential" {
			t.Errorf("%s is explained %+v", who.Name, d)
		}
		if list, more := f.List(who, vault.Filter{Search: "payroll", Limit: 1}); len(list) != 0 || more {
			t.Errorf("%s lists %v", who.Name, list)
		}
	}
	// Grants: others do not see it, auditors see an ID.
	if _, err := f.Grant(labeller, "dev-pay"); !errors.Is(err, vault.ErrNoGrant) {
		t.Errorf("a grant that names it alone: %v", err)
	}
	if len(f.Grants(labeller)) != 0 {
		t.Errorf("grants: %+v", f.Grants(labeller))
	}
	if g, err := f.Grant(auditor, "dev-pay"); err != nil || !slices.Equal(g.Credentials, []string{c.ID}) {
		t.Errorf("the auditor sees %+v, %v", g, err)
	}
	if g, err := f.Grant(dev, "dev-pay"); err != nil || !slices.Equal(g.Credentials, []string{payroll}) {
		t.Errorf("the owner sees %+v, %v", g, err)
	}
	if err := f.RevokeGrant(t.Context(), labeller, "dev-pay"); !errors.Is(err, vault.ErrNoGrant) {
		t.Errorf("another revokes: %v", err)
	}
	for _, e := range f.Newest(t, 1000) {
		if strings.Contains(e.Target+e.Reason, "payroll") || strings.Contains(e.Target+e.Reason, "canary") {
			t.Errorf("the log has its name: %+v", e)
		}
	}
	// By its grant a host has it, and by no tag or application.
	if d := f.Permits(runner, c); !d.Allowed || d.Grants[0].ID != own.ID {
		t.Errorf("on the host: %+v", d)
	}
}

// Without the permission nothing happens, and the log says so.
func TestPermissionsOfPeople(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	text := "x"
	app := vault.Change{Application: "generic-rest", AuthType: credential.AccessToken,
		Fields: map[string]string{"url": "https://api.example.com"}, Value: f.value(map[string]string{"token": "t"})}
	for what, c := range map[string]struct {
		do   func(who grant.Person) error
		need grant.Permission
	}{
		"add": {func(who grant.Person) error { _, err := f.Add(t.Context(), who, "new-"+who.Name, app); return err }, grant.CredentialCreate},
		"edit": {func(who grant.Person) error {
			_, err := f.edit(t.Context(), who, "crm", vault.Change{Description: &text})
			return err
		}, grant.CredentialEdit},
		"reveal": {func(who grant.Person) error { _, err := f.reveal(who, "crm"); return err }, grant.CredentialReveal},
		"grant": {func(who grant.Person) error {
			_, err := f.AddGrant(t.Context(), who, grant.Grant{Name: "g-" + who.Name, Credentials: []string{"crm"}, AnyHost: true})
			return err
		}, grant.GrantEdit},
		"grant by tag": {func(who grant.Person) error {
			_, err := f.AddGrant(t.Context(), who, grant.Grant{Name: "t-" + who.Name, Tags: []string{"a=b"}, AnyHost: true})
			return err
		}, grant.GrantEdit},
		"disconnect": {func(who grant.Person) error { _, err := f.Disconnect(t.Context(), who, "crm", 0); return err }, grant.CredentialEdit},
		"hand over": {func(who grant.Person) error {
			_, err := f.Transfer(t.Context(), who, "crm", vault.Receiver{ID: "id-bob", Name: "bob"})
			return err
		}, grant.CredentialEdit},
	} {
		without := grant.Person{ID: "id-w", Name: "without", Permissions: grant.AllPermissions &^ grant.PermissionsOf(c.need)}
		if err := c.do(without); !errors.Is(err, vault.ErrRefused) || !strings.Contains(err.Error(), c.need.String()) {
			t.Errorf("%s without %s: %v", what, c.need, err)
		}
		with := grant.Person{ID: "id-w2", Name: "with", Permissions: grant.PermissionsOf(c.need, grant.CredentialView)}
		if err := c.do(with); err != nil {
			t.Errorf("%s with %s: %v", what, c.need, err)
		}
	}
	blind := grant.Person{ID: "id-b", Name: "blind", Permissions: grant.AllPermissions &^ grant.PermissionsOf(grant.CredentialView)}
	if _, _, err := f.Show(blind, "crm"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("without credential.view: %v", err)
	}
	if list, _ := f.List(blind, vault.Filter{}); len(list) != 0 {
		t.Errorf("without credential.view: %d are listed", len(list))
	}
}

// What widens access needs the permission to grant.
func TestWidening(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	f.addToken("erp", "tok-2")
	for _, g := range []grant.Grant{
		{Name: "by-tag", Tags: []string{"env=prod"}, AnyHost: true},
		{Name: "by-label", Credentials: []string{"erp"}, HostLabels: []string{"role=ci"}},
		{Name: "over", Tags: []string{"env=old"}, AnyHost: true, Conditions: grant.Conditions{Until: f.clock.At.Add(time.Minute)}},
	} {
		if _, err := f.AddGrant(t.Context(), alice, g); err != nil {
			t.Fatal(err)
		}
	}
	f.clock.Add(time.Hour)
	tag := func(who grant.Person, key, value string) ([]grant.Grant, error) {
		_, gained, err := f.Edit(t.Context(), who, "crm", vault.Change{Tags: map[string]string{key: value}})
		return gained, err
	}
	if _, err := tag(tagger, "env", "prod"); !errors.Is(err, vault.ErrRefused) || strings.Contains(err.Error(), "by-tag") {
		t.Errorf("a tag that a grant goes by: %v", err)
	}
	if d := f.Permits(another, f.get("crm")); d.Allowed {
		t.Error("it worked nevertheless")
	}
	for _, ok := range [][2]string{{"team", "x"}, {"env", "old"}, {"env", "test"}} {
		if gained, err := tag(tagger, ok[0], ok[1]); err != nil || len(gained) != 0 {
			t.Errorf("tag %s=%s, which widens nothing: %v, %v", ok[0], ok[1], gained, err)
		}
	}
	add := func(who grant.Person, name string, tags map[string]string) error {
		_, err := f.Add(t.Context(), who, name, vault.Change{
			Application: "generic-rest", AuthType: credential.AccessToken, Value: f.value(map[string]string{"token": "tok"}), Tags: tags,
		})
		return err
	}
	if err := add(tagger, "new", map[string]string{"env": "prod"}); !errors.Is(err, vault.ErrRefused) || strings.Contains(err.Error(), "by-tag") {
		t.Errorf("a new one with a tag that a grant goes by: %v", err)
	}
	if err := errors.Join(add(tagger, "new", map[string]string{"env": "old"}), add(alice, "newer", map[string]string{"env": "prod"})); err != nil {
		t.Errorf("new ones whose tags widen nothing, or by who may grant: %v", err)
	}
	gained, err := tag(alice, "env", "prod")
	if err != nil || len(gained) != 1 || gained[0].Name != "by-tag" {
		t.Errorf("by who may grant: %v, %v", gained, err)
	}
	if _, err := tag(tagger, "team", "y"); err != nil {
		t.Errorf("another tag of what is reached already: %v", err)
	}
	if _, err := tag(tagger, "env", ""); err != nil {
		t.Errorf("taking the tag away: %v", err)
	}
	plain := grant.Host{ID: "h9"}
	if _, err := f.WidensHost(labeller, plain, grant.Host{ID: "h9", Labels: map[string]string{"role": "ci"}}); !errors.Is(err, vault.ErrRefused) || !strings.Contains(err.Error(), "by-label") {
		t.Errorf("a label that a grant goes by: %v", err)
	}
	if _, err := f.WidensHost(labeller, plain, grant.Host{ID: "h9", Labels: map[string]string{"role": "db"}}); err != nil {
		t.Errorf("a label that none goes by: %v", err)
	}
	if gained, err := f.WidensHost(alice, plain, grant.Host{ID: "h9", Labels: map[string]string{"role": "ci"}}); err != nil || len(gained) != 1 {
		t.Errorf("by who may grant: %v, %v", gained, err)
	}
	yes := true
	if _, err := f.edit(t.Context(), tagger, "crm", vault.Change{Default: &yes}); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("a first default: %v", err)
	}
	if _, err := f.edit(t.Context(), alice, "crm", vault.Change{Default: &yes}); err != nil {
		t.Errorf("a first default, by who may grant: %v", err)
	}
	if _, err := f.edit(t.Context(), tagger, "erp", vault.Change{Default: &yes}); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("another default: %v", err)
	}
	if c, err := f.edit(t.Context(), alice, "erp", vault.Change{Default: &yes}); err != nil || !c.Default || f.get("crm").Default {
		t.Errorf("by who may grant: %+v, %v", c, err)
	}
}

func (f *fixture) get(name string) credential.Metadata {
	f.t.Helper()
	c, _, err := f.Show(alice, name)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// After somebody else set the owner's password, the owner's own credentials
// rest, while hosts go on.
func TestLockAfterReset(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.addPayroll(true)
	if _, err := f.AddGrant(t.Context(), dev, grant.Grant{Name: "g", Credentials: []string{payroll}, Hosts: []string{"h1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.MakeRequest(t.Context(), bob, payroll, vault.Request{Reason: "r", Access: grant.Read}); err != nil {
		t.Fatal(err)
	}
	reset := dev
	reset.LockedUntil = f.clock.At.Add(24 * time.Hour)
	text := "x"
	tries := map[string]func() error{
		"show":     func() error { _, _, err := f.Show(reset, payroll); return err },
		"versions": func() error { _, err := f.Versions(reset, payroll); return err },
		"reveal":   func() error { _, err := f.reveal(reset, payroll); return err },
		"edit": func() error {
			_, err := f.edit(t.Context(), reset, payroll, vault.Change{Description: &text})
			return err
		},
		"grant": func() error {
			_, err := f.AddGrant(t.Context(), reset, grant.Grant{Name: "g2", Credentials: []string{payroll}, AnyHost: true})
			return err
		},
		"approve": func() error { _, err := f.Approve(t.Context(), reset, 1, time.Time{}); return err },
		"transfer": func() error {
			_, err := f.Transfer(t.Context(), reset, payroll, vault.Receiver{ID: bob.ID, Name: "bob"})
			return err
		},
		"delete": func() error { _, _, err := f.Delete(t.Context(), reset, payroll, 0); return err },
	}
	f.clock.Add(24*time.Hour - time.Second)
	for what, do := range tries {
		if err := do(); !errors.Is(err, vault.ErrRefused) || !strings.Contains(err.Error(), "locked until 2030-01-02T12:00:00Z") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if d := f.Permits(runner, c); !d.Allowed {
		t.Errorf("the host has lost it: %+v", d)
	}
	f.clock.Add(time.Second)
	if text, err := f.reveal(reset, payroll); err != nil || text != "canary-4711" {
		t.Errorf("a day later: %q, %v", text, err)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addPayroll(true)
	if _, err := f.AddGrant(t.Context(), dev, grant.Grant{Name: "g", Credentials: []string{payroll}, Hosts: []string{"h1"}}); err != nil {
		t.Fatal(err)
	}
	to := vault.Receiver{ID: bob.ID, Name: "bob"}
	done, err := f.Transfer(t.Context(), dev, payroll, to)
	if err != nil || !slices.Equal(done.Grants, []string{"g"}) {
		t.Fatalf("%+v, %v", done, err)
	}
	if text, err := f.reveal(bob, "bob/payroll"); err != nil || text != "canary-4711" {
		t.Errorf("the receiver gets %q, %v", text, err)
	}
	if _, err := f.reveal(dev, "bob/payroll"); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("the giver: %v", err)
	}
	if g, err := f.Grant(alice, "g"); err != nil || !g.Empty() {
		t.Errorf("the grant: %+v, %v", g, err)
	}
	for _, name := range []string{"bob/payroll-2", "bob/payroll-3"} { // whether bob has one of that name is not dev's to know
		f.addPayroll(false)
		if done, err := f.Transfer(t.Context(), dev, payroll, to); err != nil || done.Waiting {
			t.Fatalf("to who has one of that name: %+v, %v", done, err)
		}
		if text, err := f.reveal(bob, name); err != nil || text != "canary-4711" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	f.reopen()
	if _, err := f.reveal(bob, "bob/payroll"); err != nil {
		t.Errorf("after a start: %v", err)
	}
}

// What somebody who is gone leaves behind takes two people, and neither learns
// whether it is there before both asked.
func TestTransferByTwo(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addPayroll(false)
	gone := vault.Receiver{ID: "id-eve", Name: "eve", OwnerGone: f.clock.At.Add(-time.Minute)}
	for _, ref := range []string{payroll, "dev/nothing"} {
		for range 2 { // the same person twice is one
			if done, err := f.Transfer(t.Context(), alice, ref, gone); err != nil || !done.Waiting {
				t.Fatalf("%s: %+v, %v", ref, done, err)
			}
		}
	}
	here := gone
	here.OwnerGone = time.Time{}
	if _, err := f.Transfer(t.Context(), bob, payroll, here); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("while the owner is there: %v", err)
	}
	if _, err := f.Transfer(t.Context(), bob, "dev/nothing", gone); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := f.Transfer(t.Context(), labeller, payroll, gone); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("by who may not edit users: %v", err)
	}
	other := vault.Receiver{ID: "id-mallory", Name: "mallory", OwnerGone: f.clock.At.Add(-time.Minute)}
	if done, err := f.Transfer(t.Context(), bob, payroll, other); err != nil || !done.Waiting {
		t.Errorf("to somebody else than the first said: %+v, %v", done, err)
	}
	done, err := f.Transfer(t.Context(), bob, payroll, gone)
	if err != nil || done.Waiting {
		t.Fatalf("the second: %+v, %v", done, err)
	}
	for _, e := range f.Newest(t, 50) {
		if strings.Contains(e.Target+e.Reason, "payroll") {
			t.Errorf("the log has its name: %+v", e)
		}
	}
	f.addPayroll(false)
	if done, err := f.Transfer(t.Context(), alice, payroll, other); err != nil || done.Waiting {
		t.Errorf("bob asked for mallory before: %+v, %v", done, err)
	}
	f.addPayroll(false)
	if _, err := f.Transfer(t.Context(), alice, payroll, gone); err != nil {
		t.Fatal(err)
	}
	f.clock.Add(24 * time.Hour)
	if done, err := f.Transfer(t.Context(), bob, payroll, gone); err != nil || !done.Waiting {
		t.Errorf("a day after the first: %+v, %v", done, err)
	}
}
