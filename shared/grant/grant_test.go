package grant

import (
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

var (
	noon   = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	crm    = credential.Metadata{ID: "c1", Kind: credential.App, Application: "salesforce", Tags: map[string]string{"env": "prod"}}
	own    = credential.Metadata{ID: "c2", Kind: credential.Custom, Application: "", Tags: map[string]string{"env": "prod"}}
	runner = Host{ID: "h1", Name: "runner1", Labels: map[string]string{"role": "ci", "site": ""}}
	bob    = Job{User: "bob", UID: "1001"}
)

// decide is what the gate does.
func decide(grants []Grant, c credential.Metadata, h Host, j Job) Decision {
	host := ForHost(grants, c, h, noon)
	if !host.Allowed {
		return host
	}
	return ForJob(host.Grants, j)
}

// Every expectation is typed by hand, reasons included: the log, explain and
// people's scripts see these words.
func TestDecisions(t *testing.T) {
	t.Parallel()
	read := Conditions{Access: Read, TTL: time.Minute}
	with := func(g Grant) Grant {
		g.Name = "ci"
		if g.Access == "" {
			users, until := g.JobUsers, g.Until
			g.Conditions = read
			g.JobUsers, g.Until = users, until
		}
		return g
	}
	tests := []struct {
		name   string
		grant  Grant
		cred   credential.Metadata
		host   Host
		job    Job
		allow  bool
		reason string
	}{
		{"by credential and host", Grant{Credentials: []string{"c1"}, Hosts: []string{"h1"}}, crm, runner, bob, true, "allowed by grant ci"},
		{"by application", Grant{Applications: []string{"salesforce"}, Hosts: []string{"h1"}}, crm, runner, bob, true, "allowed by grant ci"},
		{"by tag", Grant{Tags: []string{"env=prod"}, Hosts: []string{"h1"}}, crm, runner, bob, true, "allowed by grant ci"},
		{"by host label", Grant{Credentials: []string{"c1"}, HostLabels: []string{"role=ci"}}, crm, runner, bob, true, "allowed by grant ci"},
		{"by an empty label value", Grant{Credentials: []string{"c1"}, HostLabels: []string{"site="}}, crm, runner, bob, true, "allowed by grant ci"},
		{"on any host", Grant{Credentials: []string{"c1"}, AnyHost: true}, crm, runner, bob, true, "allowed by grant ci"},
		{"by user name", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Jobs: Jobs{JobUsers: []string{"bob"}}}}, crm, runner, bob, true, "allowed by grant ci"},
		{"by uid", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Jobs: Jobs{JobUsers: []string{"1001"}}}}, crm, runner, bob, true, "allowed by grant ci"},
		{"one label of two", Grant{Credentials: []string{"c1"}, HostLabels: []string{"role=db", "role=ci"}}, crm, runner, bob, true, "allowed by grant ci"},

		{"another credential", Grant{Credentials: []string{"c9"}, AnyHost: true}, crm, runner, bob, false, "no grant names this credential"},
		{"another application", Grant{Applications: []string{"jira"}, AnyHost: true}, crm, runner, bob, false, "no grant names this credential"},
		{"another tag value", Grant{Tags: []string{"env=dev"}, AnyHost: true}, crm, runner, bob, false, "no grant names this credential"},
		{"a tag never reaches a custom one", Grant{Tags: []string{"env=prod"}, AnyHost: true}, own, runner, bob, false, "no grant names this credential"},
		{"an empty application never reaches a custom one", Grant{Applications: []string{""}, AnyHost: true}, own, runner, bob, false, "no grant names this credential"},
		{"another host", Grant{Credentials: []string{"c1"}, Hosts: []string{"h2"}}, crm, runner, bob, false, "no grant of this credential names this host"},
		{"the host's name is not its ID", Grant{Credentials: []string{"c1"}, Hosts: []string{"runner1"}}, crm, runner, bob, false, "no grant of this credential names this host"},
		{"another label", Grant{Credentials: []string{"c1"}, HostLabels: []string{"role=db"}}, crm, runner, bob, false, "no grant of this credential names this host"},
		{"a missing label is not an empty one", Grant{Credentials: []string{"c1"}, HostLabels: []string{"zone="}}, crm, runner, bob, false, "no grant of this credential names this host"},
		{"ended", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Until: noon}}, crm, runner, bob, false, "every grant of this credential for this host has ended"},
		{"another user", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Jobs: Jobs{JobUsers: []string{"alice"}}}}, crm, runner, bob, false, "no grant of this credential for this host names this job's user"},
		{"a nameless user is not the empty user", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Jobs: Jobs{JobUsers: []string{""}}}}, crm, runner, Job{UID: "1001"}, false, "no grant of this credential for this host names this job's user"},
		{"a user who is called like a uid", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Jobs: Jobs{JobUsers: []string{"1001"}}}}, crm, runner, Job{User: "1001", UID: "2000"}, false, "no grant of this credential for this host names this job's user"},
		{"use is not read", Grant{Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Access: Use}}, crm, runner, bob, false, "the grants of this credential for this job allow use, not read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := decide([]Grant{with(tt.grant)}, tt.cred, tt.host, tt.job)
			if d.Allowed != tt.allow || d.Reason != tt.reason {
				t.Errorf("allowed=%t %q, want %t %q", d.Allowed, d.Reason, tt.allow, tt.reason)
			}
		})
	}
}

func TestUnionOfGrants(t *testing.T) {
	t.Parallel()
	grants := []Grant{
		{Name: "z", Credentials: []string{"c1"}, AnyHost: true, Conditions: Conditions{Access: Read}},
		{Name: "a", Credentials: []string{"c1"}, Hosts: []string{"h1"}, Conditions: Conditions{Access: Read, Jobs: Jobs{JobUsers: []string{"alice"}}}},
		{Name: "m", Credentials: []string{"c1"}, Hosts: []string{"h2"}, Conditions: Conditions{Access: Read}},
	}
	host := ForHost(grants, crm, runner, noon)
	if len(host.Grants) != 2 || host.Grants[0].Name != "a" || host.Grants[1].Name != "z" {
		t.Fatalf("the host may hold it by %v, want a and z", host.Grants)
	}
	if d := ForJob(host.Grants, bob); d.Reason != "allowed by grant z" {
		t.Errorf("bob: %q, want: allowed by grant z", d.Reason)
	}
	if d := ForJob(host.Grants, Job{User: "alice", UID: "1000"}); d.Reason != "allowed by grant a" {
		t.Errorf("alice: %q, want: allowed by grant a", d.Reason)
	}
	if grants[0].Name != "z" {
		t.Error("the caller's grants were reordered")
	}
}

func TestNothingIsAllowedWithoutAGrant(t *testing.T) {
	t.Parallel()
	if d := decide(nil, crm, runner, bob); d.Allowed || d.Reason != "no grant names this credential" {
		t.Errorf("got %+v", d)
	}
}
