package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

func TestRollback(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	url := map[string]string{"url": "https://elsewhere.example.com"}
	if _, err := f.edit(t.Context(), alice, "crm", vault.Change{Fields: url, Value: f.value(map[string]string{"token": "tok-2"})}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []uint64{0, 2, 3} {
		if _, err := f.Rollback(t.Context(), alice, "crm", to, 0); !errors.Is(err, credential.ErrInvalid) {
			t.Errorf("to %d: %v", to, err)
		}
	}
	c, err := f.Rollback(t.Context(), alice, "crm", 1, 0)
	if err != nil || c.Version != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	if text, err := f.reveal(alice, "crm"); err != nil || text != "tok-1" {
		t.Errorf("the value is %q, %v", text, err)
	}
	versions, err := f.Versions(alice, "crm")
	if err != nil || len(versions) != 3 || versions[0].Origins[0].String() != "https://api.example.com:443" || versions[1].Origins[0].String() != "https://elsewhere.example.com:443" {
		t.Errorf("%+v, %v", versions, err)
	}
}

// The newest fifty versions are kept.
func TestVersionsAreBounded(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	for range 59 {
		if _, err := f.edit(t.Context(), alice, "crm", vault.Change{Generate: []string{"token"}}); err != nil {
			t.Fatal(err)
		}
	}
	versions, err := f.Versions(alice, "crm")
	if err != nil || len(versions) != 50 || versions[0].Number != 60 || versions[49].Number != 11 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	if _, err := f.Rollback(t.Context(), alice, "crm", 10, 0); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("to one that is gone: %v", err)
	}
	if _, err := f.Rollback(t.Context(), alice, "crm", 11, 0); err != nil {
		t.Errorf("to the oldest: %v", err)
	}
	f.reopen() // Tidy finds nothing to do
	if _, err := f.Versions(alice, "crm"); err != nil {
		t.Error(err)
	}
}

func TestDisconnect(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	if _, err := f.AddGrant(t.Context(), alice, grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true}); err != nil {
		t.Fatal(err)
	}
	told := 0
	f.OnChange(func() { told++ })
	c, err := f.Disconnect(t.Context(), alice, "crm", 0)
	if err != nil || c.Disconnected.IsZero() || told != 1 {
		t.Fatalf("%+v, %v, told %d times", c, err, told)
	}
	if d := f.Explain(alice, runner, "crm", etl); d.Allowed || d.Reason != "this credential is disconnected" {
		t.Errorf("%+v", d)
	}
	if _, err := f.Open(t.Context(), grant.Caller{Host: &runner, Job: etl}, "crm"); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("the gate: %v", err)
	}
	if len(f.Leasable(runner)) != 0 {
		t.Error("it can be leased")
	}
	if _, version, err := f.Show(alice, "crm"); err != nil || version.Fields["url"] != "https://api.example.com" {
		t.Errorf("its settings: %+v, %v", version, err)
	}
	if _, err := f.Disconnect(t.Context(), alice, "crm", 0); err != nil || told != 1 {
		t.Errorf("again: %v, told %d times", err, told)
	}
	text := "still"
	if c, err := f.edit(t.Context(), alice, "crm", vault.Change{Description: &text}); err != nil || c.Disconnected.IsZero() {
		t.Errorf("a description connected it: %v", err)
	}
	if c, err = f.Connect(t.Context(), alice, "crm", 0); err != nil || !c.Disconnected.IsZero() || !f.Explain(alice, runner, "crm", etl).Allowed {
		t.Errorf("connected: %+v, %v", c, err)
	}
	if _, err := f.Disconnect(t.Context(), alice, "crm", 0); err != nil {
		t.Fatal(err)
	}
	if c, err := f.edit(t.Context(), alice, "crm", vault.Change{Value: f.value(map[string]string{"token": "tok-2"})}); err != nil || !c.Disconnected.IsZero() {
		t.Errorf("a new value: %+v, %v", c, err)
	}
}

// Whoever changes what has changed since it was looked at is told so.
func TestRevisions(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.addToken("crm", "tok-1")
	text := "x"
	if _, _, err := f.Edit(t.Context(), bob, "crm", vault.Change{Description: &text, Revision: c.Revision}); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"edit":       third(f.Edit(t.Context(), alice, "crm", vault.Change{Description: &text, Revision: c.Revision})),
		"rollback":   second(f.Rollback(t.Context(), alice, "crm", 1, c.Revision)),
		"disconnect": second(f.Disconnect(t.Context(), alice, "crm", c.Revision)),
		"delete":     third(f.Delete(t.Context(), alice, "crm", c.Revision)),
	} {
		if !errors.Is(err, vault.ErrChanged) {
			t.Errorf("%s: %v, want ErrChanged", what, err)
		}
	}
	g, err := f.AddGrant(t.Context(), alice, grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true})
	if err != nil {
		t.Fatal(err)
	}
	rule := grant.Grant{Name: "g", Credentials: []string{"crm"}, Hosts: []string{"h1"}}
	edited, err := f.EditGrant(t.Context(), alice, rule, g.Revision)
	if err != nil || edited.ID != g.ID || edited.AnyHost {
		t.Fatalf("%+v, %v", edited, err)
	}
	if _, err := f.EditGrant(t.Context(), bob, rule, g.Revision); !errors.Is(err, vault.ErrChanged) {
		t.Errorf("a grant: %v", err)
	}
	if d := f.Permits(another, f.get("crm")); d.Allowed {
		t.Error("the edited grant reaches where the first did")
	}
}

func second[A any](_ A, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

func TestPages(t *testing.T) {
	t.Parallel()
	f := open(t)
	for i := range 25 {
		f.addToken(fmt.Sprintf("c%02d", i), "tok")
	}
	f.addPayroll(false)
	var got []string
	for after := ""; ; {
		page, more := f.List(alice, vault.Filter{After: after, Limit: 10})
		for _, c := range page {
			got = append(got, c.Name)
		}
		if !more {
			break
		}
		after = page[len(page)-1].Name
	}
	if len(got) != 25 || !slices.IsSorted(got) {
		t.Errorf("%d in pages: %v", len(got), got)
	}
	if page, more := f.List(alice, vault.Filter{Search: "c2", Limit: 5}); len(page) != 5 || more {
		t.Errorf("a search: %d, %v", len(page), more)
	}
	if page, _ := f.List(alice, vault.Filter{After: "c1x", Limit: 2}); len(page) != 2 || page[0].Name != "c20" {
		t.Errorf("behind a name that is not there: %v", page)
	}
}

// Editors who look, change and send what they looked at lose nothing of each other's, however they come between.
func TestEditorsAtOnce(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok-1")
	const editors, lines = 8, 12
	var all sync.WaitGroup
	var again atomic.Int64
	for n := range editors {
		all.Go(func() {
			for k := range lines {
				for {
					seen, _, err := f.Show(alice, "crm")
					if err != nil {
						t.Error(err)
						return
					}
					text := seen.Description + fmt.Sprintf("%d.%d ", n, k)
					_, _, err = f.Edit(t.Context(), alice, "crm", vault.Change{Description: &text, Revision: seen.Revision})
					if err == nil {
						break
					}
					if again.Add(1); !errors.Is(err, vault.ErrChanged) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	c, _, err := f.Show(alice, "crm")
	if err != nil || len(strings.Fields(c.Description)) != editors*lines || c.Revision != 1+editors*lines {
		t.Errorf("%d of %d lines are there, revision %d, %v", len(strings.Fields(c.Description)), editors*lines, c.Revision, err)
	}
	if again.Load() == 0 {
		t.Error("nobody came between anybody")
	}
}
