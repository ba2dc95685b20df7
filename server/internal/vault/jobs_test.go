package vault_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// everyKind is a grant's conditions of all kinds, and nightly the job that meets them.
var (
	everyKind = grant.Jobs{
		JobUsers: []string{"etl"}, JobUnits: []string{"nightly.service"}, JobContainers: []string{"4f5cc6a1cbd8"},
		JobExes: []string{"/usr/bin/etl"}, JobExeHashes: []string{strings.Repeat("ab", 32)},
		JobClaims: []string{"https://gitlab.example.com:project_path=group/app"},
	}
	nightly = grant.Job{
		User: "etl", UID: "1001", PID: 7, Unit: "nightly.service", Container: "4f5cc6a1cbd8" + strings.Repeat("0", 52),
		Exe: "/usr/bin/etl", ExeSHA256: strings.Repeat("ab", 32),
		Claims: []string{"https://gitlab.example.com:sub=main", "https://gitlab.example.com:project_path=group/app"},
	}
)

func TestTheGateByJob(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok")
	f.grant(grant.Grant{Name: "g", Credentials: []string{"crm"}, Hosts: []string{"h1"}, Conditions: grant.Conditions{Jobs: everyKind}})
	for range 2 {
		f.wantAllowed(runner, nightly, "crm", "tok")
		if got := f.Newest(t, 1)[0].Job; got != "user=etl,unit=nightly.service,container=4f5cc6a1cbd8"+strings.Repeat("0", 52)+
			",exe=/usr/bin/etl,pid=7,subject=https://gitlab.example.com:main" {
			t.Errorf("logged for %s", got)
		}
		for _, tt := range []struct {
			change func(*grant.Job)
			reason string
		}{
			{func(j *grant.Job) { j.User = "bob" }, "no grant of this credential for this host names this job's user"},
			{func(j *grant.Job) { j.Unit = "daily.service" }, "no grant of this credential for this host and user names this job's unit"},
			{func(j *grant.Job) { j.Unit = "" }, "no grant of this credential for this host and user names this job's unit"},
			{func(j *grant.Job) { j.Container = "" }, "no grant of this credential for this host and user names this job's container"},
			{func(j *grant.Job) { j.Exe = "/tmp/etl" }, "no grant of this credential for this host and user names this job's executable"},
			{func(j *grant.Job) { j.ExeSHA256 = grant.NoHash }, "no grant of this credential for this host and user names the SHA-256 of this job's executable"},
			{func(j *grant.Job) { j.Claims = j.Claims[:1] }, "no grant of this credential for this host and user names a claim of this job"},
		} {
			other := nightly
			tt.change(&other)
			f.wantRefused(runner, other, "crm", tt.reason)
		}
		other := nightly
		other.ExeSHA256 = ""
		seq := f.Newest(t, 1)[0].Seq
		if _, err := f.read(runner, other, "crm"); !errors.Is(err, grant.ErrHashWanted) || f.Newest(t, 1)[0].Seq != seq {
			t.Errorf("before its hash was looked for: %v", err)
		}
		f.reopen()
	}
}

// What is not right is refused with its kind, in a new grant, in a changed one and in a request alike.
func TestConditionsOnJobsAreChecked(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addToken("crm", "tok")
	f.addPayroll(true)
	whole := grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true}
	f.grant(whole)
	for _, tt := range []struct {
		jobs grant.Jobs
		want string
	}{
		{grant.Jobs{JobUsers: []string{""}}, "job user"},
		{grant.Jobs{JobUnits: []string{"nightly"}}, "job unit"},
		{grant.Jobs{JobContainers: []string{"web"}}, "job container"},
		{grant.Jobs{JobExes: []string{"/usr/bin/etl"}}, "name the job's user or unit as well"},
		{grant.Jobs{JobContainers: []string{"4f5cc6a1cbd8"}, JobExeHashes: everyKind.JobExeHashes}, "name the job's user or unit as well"},
		{grant.Jobs{JobUsers: []string{"etl"}, JobExes: []string{"etl"}}, "job exe"},
		{grant.Jobs{JobUsers: []string{"etl"}, JobExeHashes: []string{"ab"}}, "job exe sha256"},
		{grant.Jobs{JobClaims: []string{"project_path=group/app"}}, "job claim"},
		{grant.Jobs{JobUnits: slices.Repeat([]string{"a.service"}, 1000)}, "at most"},
	} {
		g := whole
		g.Jobs = tt.jobs
		_, edit := f.EditGrant(t.Context(), alice, g, 0)
		g.Name = "other"
		_, add := f.AddGrant(t.Context(), alice, g)
		_, ask := f.MakeRequest(t.Context(), bob, payroll, vault.Request{Reason: "r", Access: grant.Read, Host: "h1", Jobs: tt.jobs})
		for what, err := range map[string]error{"edit": edit, "add": add, "ask": ask} {
			if !errors.Is(err, credential.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s %+v: %.200v, want %s", what, tt.jobs, err, tt.want)
			}
		}
	}
	if g, err := f.Grant(alice, "g"); err != nil || g.Revision != 1 || len(f.Grants(alice)) != 1 || len(f.Requests(bob)) != 0 {
		t.Errorf("something was kept of it: %+v, %v", g, err)
	}
}

// A request says which jobs it is for, and its approval gives it to no others.
func TestRequestForAUnit(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.addPayroll(true)
	if _, err := f.MakeRequest(t.Context(), bob, payroll, vault.Request{Reason: "r", Access: grant.Read, Jobs: grant.Jobs{JobUnits: []string{"a.service"}}}); !errors.Is(err, credential.ErrInvalid) {
		t.Errorf("a unit without a host: %v", err)
	}
	if _, err := f.MakeRequest(t.Context(), bob, payroll, vault.Request{Reason: "r", Access: grant.Read, Host: "h1", Jobs: everyKind}); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if rs := f.Requests(dev); len(rs) != 1 || !reflect.DeepEqual(rs[0].Jobs, everyKind) {
		t.Fatalf("the owner sees %+v", rs)
	}
	if _, err := f.Approve(t.Context(), dev, 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	other := nightly
	other.Unit = "daily.service"
	if yes, no := f.Explain(dev, runner, payroll, nightly), f.Explain(dev, runner, payroll, other); !yes.Allowed || no.Allowed {
		t.Errorf("%+v; another unit: %+v", yes, no)
	}
}
