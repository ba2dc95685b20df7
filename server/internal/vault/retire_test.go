package vault_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// kinds are all kinds of records that any room keeps, read from the rooms' sources.
func kinds(t *testing.T) []barrier.Kind {
	t.Helper()
	files, err := filepath.Glob("../*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`barrier\.Kind\s*=\s*"([a-z-]+)"`)
	var found []barrier.Kind
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			found = append(found, barrier.Kind(m[1]))
		}
	}
	if len(found) < 12 {
		t.Fatalf("only the kinds %v were found", found)
	}
	return found
}

// speakOf lists the records whose ID or content has a text in it.
func (f *fixture) speakOf(text string) (records []string) {
	f.t.Helper()
	err := f.Barrier.View(func(tx *barrier.Tx) error {
		for _, kind := range kinds(f.t) {
			err := tx.Scan(kind, func(id string, content []byte) error {
				if strings.Contains(id, text) || strings.Contains(string(content), text) {
					records = append(records, string(kind)+"/"+id)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return records
}

// spokenOf makes a custom credential of alice's that everything speaks of which can: versions, grants, requests that
// wait and were approved, a transfer.
func (f *fixture) spokenOf() credential.Metadata {
	f.t.Helper()
	yes := true
	c, err := f.Add(f.t.Context(), alice, "alice/payroll", vault.Change{Requestable: &yes, Value: f.value(map[string]string{"PIN": "1"})})
	if err != nil {
		f.t.Fatal(err)
	}
	for range 60 {
		if _, err := f.edit(f.t.Context(), alice, c.Name, vault.Change{Value: f.value(map[string]string{"PIN": "2"})}); err != nil {
			f.t.Fatal(err)
		}
	}
	f.addToken("crm", "t")
	f.grant(grant.Grant{Name: "only", Credentials: []string{c.Name}, AnyHost: true})
	f.grant(grant.Grant{Name: "both", Credentials: []string{"crm", c.Name}, AnyHost: true})
	for n := range 50 {
		f.grant(grant.Grant{Name: fmt.Sprintf("g%d", n), Credentials: []string{c.Name}, Hosts: []string{"h1"}})
	}
	for n, r := range []vault.Request{{Access: grant.Read}, {Access: grant.Use, Host: "h1"}, {Access: grant.Read, Host: "h1"}} {
		r.Reason = "why not"
		made, err := f.MakeRequest(f.t.Context(), bob, c.Name, r)
		if err != nil {
			f.t.Fatal(err)
		}
		if n > 0 {
			if _, err := f.Approve(f.t.Context(), alice, made.Number, time.Time{}); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	if _, err := f.Transfer(f.t.Context(), bob, c.Name, vault.Receiver{ID: bob.ID, Name: bob.Name, OwnerGone: time.Unix(0, 0)}); err != nil {
		f.t.Fatal(err)
	}
	return c
}

// wantNoTrace looks for a credential in every record that there is.
func (f *fixture) wantNoTrace(c credential.Metadata) {
	f.t.Helper()
	if left := append(f.speakOf(c.ID), f.speakOf(c.Name)...); len(left) > 0 {
		f.t.Errorf("still speaking of it: %v", left)
	}
	if d := f.Explain(alice, runner, c.Name, etl); d.Allowed || d.Reason != grant.ReasonNoCredential {
		f.t.Errorf("explained: %+v", d)
	}
	if got := f.Requests(bob); len(got) != 0 {
		f.t.Errorf("requests: %+v", got)
	}
	if got := f.Leasable(runner); len(got) != 1 || got[0].Credential.Name != "crm" {
		f.t.Errorf("the host may have %+v", got)
	}
}

func TestDeletionLeavesNoTrace(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.spokenOf()
	if before := f.speakOf(c.ID); len(before) < 1+2*50+54+3 {
		t.Fatalf("before, only %d records speak of it", len(before))
	}
	_, grants, err := f.Delete(t.Context(), alice, c.Name, 0)
	if err != nil || len(grants) != 54 {
		t.Fatalf("grants %v, %v", grants, err)
	}
	f.wantNoTrace(c)
	f.reopen()
	f.wantNoTrace(c)
	if again, err := f.Add(t.Context(), alice, c.Name, vault.Change{Value: f.value(map[string]string{"PIN": "3"})}); err != nil || again.Version != 1 {
		t.Errorf("the name again: %+v, %v", again, err)
	}
}

// What is left of a deletion that was cut short at any of its steps is removed at the next start.
func TestDeletionThatWasCutShort(t *testing.T) {
	t.Parallel()
	for _, purged := range []bool{false, true} {
		f := open(t)
		c := f.spokenOf()
		_, newest, err := f.Show(alice, c.Name)
		if err != nil {
			t.Fatal(err)
		}
		err = f.Barrier.Update(func(tx *barrier.Tx) error {
			note := map[string]any{"id": c.ID, "name": c.Name, "version": newest.Number}
			err := errors.Join(tx.Release("credential", c.Name), tx.Delete("credential", c.ID), tx.PutJSON("retired", c.ID, note))
			for n := newest.Number; purged && n > newest.Number-40; n-- {
				id := fmt.Sprintf("%s.%d", c.ID, n)
				err = errors.Join(err, tx.Delete("version", id), tx.Delete("value", id))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		f.reopen()
		f.wantNoTrace(c)
	}
}

// A grant that nothing is left in gives nothing. It stays with those who may know of it: where it named somebody's own
// credentials alone, nobody else learns now that it was there.
func TestEmptyGrants(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.spokenOf()
	for _, ref := range []string{"alice/payroll", "crm"} {
		if _, _, err := f.Delete(t.Context(), alice, ref, 0); err != nil {
			t.Fatal(err)
		}
	}
	f.addToken("other", "t")
	manager := bob
	manager.Permissions = grant.PermissionsOf(grant.GrantView, grant.GrantEdit, grant.CredentialView)
	for _, again := range []bool{false, true} {
		if again {
			f.reopen()
		}
		for name, shared := range map[string]bool{"only": false, "both": true} {
			if g, err := f.Grant(alice, name); err != nil || !g.Empty() {
				t.Errorf("%s: %+v, %v", name, g, err)
			}
			if g, err := f.Grant(manager, name); (err == nil) != shared || err == nil && !g.Empty() {
				t.Errorf("%s to somebody else: %+v, %v", name, g, err)
			}
		}
		if _, err := f.Grant(alice, "request-2"); !errors.Is(err, vault.ErrNoGrant) {
			t.Errorf("the grant of a request for what is gone: %v", err)
		}
		if d := f.Explain(alice, runner, "other", etl); d.Allowed {
			t.Errorf("an empty grant allows: %+v", d)
		}
	}
	if err := f.RevokeGrant(t.Context(), manager, "only"); !errors.Is(err, vault.ErrNoGrant) {
		t.Errorf("revoked by another: %v", err)
	}
	if err := f.RevokeGrant(t.Context(), alice, "only"); err != nil {
		t.Error(err)
	}
}

func TestOwnedArePurged(t *testing.T) {
	t.Parallel()
	f := open(t)
	var mine []credential.Metadata
	for _, name := range []string{"alice/a", "alice/b"} {
		c, err := f.Add(t.Context(), alice, name, vault.Change{Value: f.value(map[string]string{"PIN": "1"})})
		if err != nil {
			t.Fatal(err)
		}
		mine = append(mine, c)
	}
	f.addToken("crm", "t") // an app credential stays, whoever owns it
	if n := f.Owned(alice.ID); n != 2 {
		t.Errorf("%d", n)
	}
	if err := f.PurgeOwned(t.Context(), "bob", alice.ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range mine {
		if left := f.speakOf(c.ID); len(left) > 0 {
			t.Errorf("%s: %v", c.Name, left)
		}
	}
	if _, _, err := f.Show(alice, "crm"); err != nil || f.Owned(alice.ID) != 0 {
		t.Error(err)
	}
}
