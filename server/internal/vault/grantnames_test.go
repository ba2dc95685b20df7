package vault_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/grant"
)

// carol is a developer as well; granter may grant and does not read the log.
var (
	carol   = grant.Person{ID: "id-carol", Name: "carol", Role: "developer", Permissions: dev.Permissions}
	granter = grant.Person{ID: "id-granter", Name: "granter", Permissions: grant.PermissionsOf(
		grant.CredentialView, grant.CredentialOwn, grant.CredentialCreate, grant.GrantView, grant.GrantEdit)}
)

func (f *fixture) grantOver(who grant.Person, name, ref string) (grant.Grant, error) {
	f.t.Helper()
	return f.AddGrant(f.t.Context(), who, grant.Grant{Name: name, Credentials: []string{ref}, AnyHost: true})
}

func (f *fixture) mustGrant(who grant.Person, name, ref string) grant.Grant {
	f.t.Helper()
	g, err := f.grantOver(who, name, ref)
	if err != nil {
		f.t.Fatalf("grant %s over %s by %s: %v", name, ref, who.Name, err)
	}
	return g
}

// wantGrant: the grant that somebody means by a name gives one credential.
func (f *fixture) wantGrant(who grant.Person, name, ref string) {
	f.t.Helper()
	g, err := f.Grant(who, name)
	if err != nil || !slices.Equal(g.Credentials, []string{ref}) {
		f.t.Errorf("grant %s of %s: %v, %v; want it to give %s", name, who.Name, g.Credentials, err, ref)
	}
}

func (f *fixture) wantTaken(who grant.Person, name, ref string) {
	f.t.Helper()
	if _, err := f.grantOver(who, name, ref); !errors.Is(err, vault.ErrTaken) {
		f.t.Errorf("a second grant %s by %s: %v; want the name taken", name, who.Name, err)
	}
}

// The name of a grant over somebody's own credentials is theirs: others can have it as well, and so find nothing out.
func TestGrantNamesOfOthersAreFree(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	f.addPayroll(false)
	if _, err := f.Add(t.Context(), carol, "carol/own", vault.Change{Value: f.value(map[string]string{"pin": "1"})}); err != nil {
		t.Fatal(err)
	}
	f.mustGrant(dev, "mine", payroll)
	f.mustGrant(carol, "mine", "carol/own")
	f.mustGrant(granter, "mine", "crm")
	for name, who := range map[string]grant.Person{payroll: dev, "carol/own": carol, "crm": granter} {
		f.wantTaken(who, "mine", name)
		f.wantGrant(who, "mine", name)
	}
	f.reopen()
	f.wantGrant(dev, "mine", payroll)
	f.wantGrant(carol, "mine", "carol/own")
	f.wantGrant(granter, "mine", "crm")
	if err := f.RevokeGrant(t.Context(), granter, "mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Grant(granter, "mine"); !errors.Is(err, vault.ErrNoGrant) {
		t.Errorf("after it was revoked: %v", err)
	}
	f.wantTaken(alice, "mine", "crm") // she reads the log and sees theirs
	f.wantGrant(dev, "mine", payroll)
	if err := f.RevokeGrant(t.Context(), dev, "mine"); err != nil {
		t.Fatal(err)
	}
	if e := f.Newest(t, 1)[0]; e.Target != "mine" || !strings.HasPrefix(e.Reason, "own credentials ") {
		t.Errorf("the log: %+v", e)
	}
	f.wantGrant(carol, "mine", "carol/own")
	f.mustGrant(dev, "mine", payroll)
}

// A grant that becomes everybody's takes its name among all, and gives it back when it is somebody's own again.
func TestGrantThatBecomesEverybodys(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	f.addPayroll(false)
	if _, err := f.Add(t.Context(), granter, "granter/own", vault.Change{Value: f.value(map[string]string{"pin": "1"})}); err != nil {
		t.Fatal(err)
	}
	f.mustGrant(dev, "mine", payroll)
	f.mustGrant(granter, "mine", "granter/own")
	edit := func(name string, refs ...string) error {
		_, err := f.EditGrant(t.Context(), granter, grant.Grant{Name: name, Credentials: refs, AnyHost: true}, 0)
		return err
	}
	if err := edit("mine", "granter/own", "crm"); err != nil {
		t.Fatal(err)
	}
	if err := f.Barrier.View(func(tx *barrier.Tx) error { _, err := tx.Lookup("grant", "mine"); return err }); err != nil {
		t.Errorf("its name among all: %v", err)
	}
	f.wantTaken(granter, "mine", "crm")
	f.wantGrant(dev, "mine", payroll)
	if err := edit("mine", "granter/own"); err != nil {
		t.Fatal(err)
	}
	f.mustGrant(granter, "other", "crm")
	f.mustGrant(alice, "anew", "crm")
	f.reopen()
	f.wantGrant(granter, "mine", "granter/own")
	f.wantGrant(dev, "mine", payroll)
	if err := f.RevokeGrant(t.Context(), granter, "mine"); err != nil {
		t.Fatal(err)
	}
	f.mustGrant(granter, "mine", "crm")
}

// Earlier versions claimed every name as everybody's.
func TestGrantNamesOfBefore(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	f.addPayroll(false)
	names := []string{"kept", "revoked", "moved"}
	entry := f.Newest(t, 1)[0]
	for _, name := range names {
		g := f.mustGrant(dev, name, payroll)
		if err := f.Log.Change(t.Context(), f.Barrier, entry, func(tx *barrier.Tx) error {
			return errors.Join(tx.Release("grant", dev.ID+"/"+name), tx.Claim("grant", name, g.ID))
		}); err != nil {
			t.Fatal(err)
		}
	}
	f.reopen()
	f.wantTaken(dev, "kept", payroll)
	if err := f.RevokeGrant(t.Context(), dev, "revoked"); err != nil {
		t.Fatal(err)
	}
	f.mustGrant(dev, "revoked", payroll)
	f.mustGrant(granter, "moved", "crm")
	f.reopen()
	f.wantGrant(dev, "kept", payroll)
	f.wantGrant(dev, "moved", payroll)
	f.wantGrant(granter, "moved", "crm")
	for _, name := range names {
		if err := f.RevokeGrant(t.Context(), dev, name); err != nil {
			t.Errorf("revoking %s: %v", name, err)
		}
	}
	f.wantTaken(granter, "moved", "crm")
	err := f.Barrier.View(func(tx *barrier.Tx) error {
		for _, name := range []string{"kept", "revoked", dev.ID + "/kept", dev.ID + "/revoked", dev.ID + "/moved"} {
			if id, err := tx.Lookup("grant", name); !errors.Is(err, barrier.ErrNotFound) {
				t.Errorf("the name %s is left: %s, %v", name, id, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Who has an approval, and whose password somebody else set, is told why it is worth nothing for now.
func TestLockedRequester(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addPayroll(true)
	reset := bob
	reset.LockedUntil = f.clock.At.Add(24 * time.Hour)
	if _, _, err := f.Show(reset, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("without a request: %v", err)
	}
	r, err := f.MakeRequest(t.Context(), bob, payroll, vault.Request{Reason: "r", Access: grant.Read})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Show(reset, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("before the answer: %v", err)
	}
	if _, err := f.Approve(t.Context(), dev, r.Number, f.clock.At.Add(72*time.Hour)); err != nil {
		t.Fatal(err)
	}
	want := "refused: somebody else set the requester's password: locked until 2030-01-02T12:00:00Z"
	if _, _, err := f.Show(reset, payroll); !errors.Is(err, vault.ErrRefused) || err.Error() != want {
		t.Errorf("show: %v; want %s", err, want)
	}
	if _, err := f.reveal(reset, payroll); !errors.Is(err, vault.ErrRefused) || !strings.HasSuffix(err.Error(), "locked until 2030-01-02T12:00:00Z") {
		t.Errorf("reveal: %v", err)
	}
	other := reset
	other.ID, other.Name = "id-other", "other"
	if _, _, err := f.Show(other, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("somebody else: %v", err)
	}
	f.clock.Add(24 * time.Hour)
	if text, err := f.reveal(reset, payroll); err != nil || text != "canary-4711" {
		t.Errorf("a day later: %q, %v", text, err)
	}
}
