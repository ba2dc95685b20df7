package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
)

// The log says what a join token gives, in as many bytes as an entry has.
func TestJoinTokenIsLoggedWithItsTerms(t *testing.T) {
	t.Parallel()
	f, r, clock := open(t)
	long := map[string]string{}
	for i := range 64 {
		long[fmt.Sprintf("key%02d", i)] = strings.Repeat("é", 128)
	}
	for _, row := range []struct {
		labels map[string]string
		uses   int
		want   string
	}{
		{nil, 1, "labels none; 1 uses; until 2030-01-01T13:00:00Z"},
		{map[string]string{"role": "ci", "env": "prod"}, 5000, "labels env=prod, role=ci; 5000 uses; until 2030-01-01T13:00:00Z"},
		{long, 2, "…, and 63 more; 2 uses; until 2030-01-01T13:00:00Z"},
	} {
		clock.At = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
		if _, _, err := f.NewJoinToken(t.Context(), admin, row.labels, time.Hour, row.uses); err != nil {
			t.Fatal(err)
		}
		e := r.Newest(t, 1)[0]
		if e.Action != "host.join-token" || e.Outcome != audit.Allowed || !strings.HasSuffix(e.Reason, row.want) || len(row.labels) < 64 && e.Reason != row.want {
			t.Errorf("the log has %+v, want %s", e, row.want)
		}
	}
}

// Where nobody was set who judges labels, no host joins, also without labels.
func TestNobodyJoinsUnjudged(t *testing.T) {
	t.Parallel()
	_, r, clock := open(t)
	f, err := fleet.Open(r.Barrier, r.Log, roomtest.Vault, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, labels := range []map[string]string{{"role": "ci"}, nil} {
		token, _, err := f.NewJoinToken(t.Context(), admin, labels, time.Hour, 1)
		if err != nil {
			t.Fatal(err)
		}
		joined, err := join(t, f, token, newKey(t))
		if want := "no host can join: nothing judges the labels of join tokens"; err == nil || err.Error() != want || joined.Host != "" {
			t.Errorf("labels %v: host %q, %v; want %s", labels, joined.Host, err, want)
		}
	}
	if all := reopen(t, r, clock).List(); len(all) != 0 {
		t.Errorf("there are hosts: %+v", all)
	}
}

// What a host calls itself stands in the log so that it cannot pass for another part of the reason, and what the log
// says of leases is true also of those that it does not know.
func TestWhatTheLogHasOfAHost(t *testing.T) {
	t.Parallel()
	f, r, _ := open(t)
	var leases []string
	f.LeasesBy(func(string) []string { return leases })
	for _, row := range []struct {
		name, labels  string
		leases        []string
		host, revoked string
	}{
		{"runner", "ci", nil, `name "runner"; labels role=ci`, ``},
		{"", "", nil, `name ""; labels none`, ``},
		{`x"; labels none`, "a; b, env=c", []string{"crm version 3", "app:x version 1"},
			`name "x\"; labels none"; labels "role=a; b, env=c"`, `; leases of at least crm version 3, app:x version 1`},
		{"a\u202eb", "", nil, `name "a\u202eb"; labels none`, ``},
	} {
		var labels map[string]string
		if leases = row.leases; row.labels != "" {
			labels = map[string]string{"role": row.labels}
		}
		token, _, err := f.NewJoinToken(t.Context(), admin, labels, time.Hour, 1)
		must(t, err)
		id, _, _ := strings.Cut(strings.TrimPrefix(token, "srj_"), "_")
		joined, err := f.Join(t.Context(), fleet.JoinRequest{Token: token, Certificate: request(t, newKey(t)), Name: row.name})
		must(t, err)
		if e, want := r.Newest(t, 1)[0], "join token "+id+"; "+row.host; e.Action != "host.enroll" || e.Reason != want {
			t.Errorf("%s has %s, want %s", e.Action, e.Reason, want)
		}
		must(t, f.Revoke(t.Context(), admin, joined.Host))
		if e, want := r.Newest(t, 1)[0], row.host+row.revoked; e.Action != "host.revoke" || e.Reason != want {
			t.Errorf("%s has %s, want %s", e.Action, e.Reason, want)
		}
	}
}
