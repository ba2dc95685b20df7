package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

func TestRequestForAHost(t *testing.T) {
	t.Parallel()
	f := open(t)
	c := f.addPayroll(true)
	r, err := f.MakeRequest(t.Context(), bob, payroll, vault.Request{
		Reason: "year end", Access: grant.Read, Host: "h1", Jobs: grant.Jobs{JobUsers: []string{"etl"}},
	})
	if err != nil || r.Number != 1 || r.Status != vault.Pending || r.Name != payroll {
		t.Fatalf("%+v, %v", r, err)
	}
	job := func() grant.Decision { return f.Explain(dev, runner, payroll, etl) }
	if job().Allowed {
		t.Error("it works before anybody answered")
	}
	if _, err := f.Approve(t.Context(), bob, 1, time.Time{}); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("the requester approves: %v", err)
	}
	for _, stranger := range []grant.Person{alice, auditor} {
		if _, err := f.Approve(t.Context(), stranger, 1, time.Time{}); !errors.Is(err, vault.ErrNoRequest) {
			t.Errorf("%s approves: %v", stranger.Name, err)
		}
		if len(f.Requests(stranger)) != 0 {
			t.Errorf("%s sees it", stranger.Name)
		}
	}
	if _, err := f.Approve(t.Context(), dev, 1, f.clock.At.Add(31*24*time.Hour)); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("for 31 days: %v", err)
	}
	end := f.clock.At.Add(8 * time.Hour)
	if r, err = f.Approve(t.Context(), dev, 1, end); err != nil || r.Status != vault.Approved {
		t.Fatalf("%+v, %v", r, err)
	}
	if d := job(); !d.Allowed || d.Reason != "allowed by grant request-1" {
		t.Errorf("approved: %+v", d)
	}
	for what, d := range map[string]grant.Decision{
		"another host": f.Explain(dev, another, payroll, etl),
		"another user": f.Explain(dev, runner, payroll, grant.Job{User: "root", UID: "0"}),
	} {
		if d.Allowed {
			t.Errorf("%s has it too", what)
		}
	}
	if _, err := f.reveal(bob, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("the requester may see it himself: %v", err)
	}
	f.reopen() // it is stored
	f.clock.Add(8*time.Hour - time.Second)
	if !job().Allowed {
		t.Error("a second before its end")
	}
	f.clock.Add(time.Second)
	if d := job(); d.Allowed {
		t.Errorf("at its end: %+v", d)
	}
	if list := f.Requests(bob); len(list) != 1 || list[0].Status != vault.Expired {
		t.Errorf("at its end: %+v", list)
	}
	for _, e := range f.Newest(t, 20) {
		if strings.HasPrefix(e.Action, "request.") && e.Target != c.ID {
			t.Errorf("logged with %q, want the ID", e.Target)
		}
	}
}

func TestRequestToSee(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addPayroll(true)
	make := func() uint64 {
		t.Helper()
		r, err := f.MakeRequest(t.Context(), bob, payroll, vault.Request{Reason: "audit", Access: grant.Read})
		if err != nil {
			t.Fatal(err)
		}
		return r.Number
	}
	n := make()
	if _, err := f.reveal(bob, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("pending: %v", err)
	}
	if _, err := f.Approve(t.Context(), dev, n, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if text, err := f.reveal(bob, payroll); err != nil || text != "canary-4711" {
		t.Errorf("approved: %q, %v", text, err)
	}
	if e := f.Newest(t, 1)[0]; e.Actor != "bob" || e.Action != "credential.reveal" || e.Outcome != audit.Allowed || e.Reason != "request 1, approved by its owner" {
		t.Errorf("logged: %+v", e)
	}
	if _, err := f.edit(t.Context(), bob, payroll, vault.Change{Generate: []string{"pin"}}); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("he changes it: %v", err)
	}
	if list, _ := f.List(bob, vault.Filter{}); len(list) != 0 {
		t.Error("he finds it in a list")
	}
	if _, err := f.RevokeRequest(t.Context(), dev, n); err != nil {
		t.Fatal(err)
	}
	if _, err := f.reveal(bob, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("revoked: %v", err)
	}
	// A day later by itself.
	n = make()
	if _, err := f.Approve(t.Context(), dev, n, time.Time{}); err != nil {
		t.Fatal(err)
	}
	f.clock.Add(24 * time.Hour)
	if _, err := f.reveal(bob, payroll); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("a day later: %v", err)
	}
	n = make()
	if _, err := f.Deny(t.Context(), dev, n); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Approve(t.Context(), dev, n, time.Time{}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("approved after it was denied: %v", err)
	}
	n = make()
	f.clock.Add(7 * 24 * time.Hour)
	if _, err := f.Approve(t.Context(), dev, n, time.Time{}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("approved after a week: %v", err)
	}
}

func TestRequestsThatCannotBeMade(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addPayroll(true)
	f.addToken("crm", "tok-1")
	ok := vault.Request{Reason: "r", Access: grant.Read, Host: "h1"}
	for what, c := range map[string]struct {
		who  grant.Person
		ref  string
		r    vault.Request
		want error
	}{
		"one's own":         {dev, payroll, ok, credential.ErrInvalid},
		"an app credential": {bob, "crm", ok, vault.ErrNotFound},
		"no reason":         {bob, payroll, vault.Request{Access: grant.Read}, credential.ErrInvalid},
		"no access":         {bob, payroll, vault.Request{Reason: "r"}, credential.ErrInvalid},
		"use for oneself":   {bob, payroll, vault.Request{Reason: "r", Access: grant.Use}, credential.ErrInvalid},
		"users, no host":    {bob, payroll, vault.Request{Reason: "r", Access: grant.Read, Jobs: grant.Jobs{JobUsers: []string{"x"}}}, credential.ErrInvalid},
		"an empty user":     {bob, payroll, vault.Request{Reason: "r", Access: grant.Read, Host: "h1", Jobs: grant.Jobs{JobUsers: []string{""}}}, credential.ErrInvalid},
		"a long reason":     {bob, payroll, vault.Request{Reason: strings.Repeat("x", 5000), Access: grant.Read}, credential.ErrInvalid},
	} {
		if _, err := f.MakeRequest(t.Context(), c.who, c.ref, c.r); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	for range 50 {
		if _, err := f.MakeRequest(t.Context(), bob, payroll, ok); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.MakeRequest(t.Context(), bob, payroll, ok); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("the 51st that waits: %v", err)
	}
	if _, err := f.settings.Set(t.Context(), alice, setting.Requests, "off"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.MakeRequest(t.Context(), alice, payroll, ok); !errors.Is(err, vault.ErrRefused) {
		t.Errorf("switched off: %v", err)
	}
}
