package test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// What is revoked leaves a connected agent's memory within a second of the command's answer. A machine that has no time for
// it takes longer, so it is tried up to five times; that nothing waits on the way is TestRevokedGrantIsToldAtOnce's.
func TestRevokedLeavesMemory(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	addLogin(t, admin, "payroll", "the first secret")
	for _, c := range []struct {
		what   string
		revoke func(a *kit.Agent, grant string) kit.Result
		health string
	}{
		{"grant", func(_ *kit.Agent, grant string) kit.Result { return admin.Do(t, "grant", "revoke", grant) }, "ok"},
		{"host", func(a *kit.Agent, _ string) kit.Result { return admin.Do(t, "host", "revoke", a.Host, "--json") }, "revoked"},
	} {
		t.Run(c.what, func(t *testing.T) {
			for attempt := range 5 {
				host, grant := server.Enroll(t), fmt.Sprintf("%s-%d", c.what, attempt)
				admin.Do(t, "grant", "add", grant, "--credential", "payroll", "--host", host.Host)
				password(t, host.Run(t, "get", "payroll", "--field", "password"), "the first secret")
				if s := host.Status(t); s.Leases != 1 || s.LockedBytes == 0 {
					t.Fatalf("after a read: %+v, want one lease and bytes in locked memory", s)
				}
				answer := c.revoke(host, grant)
				took := wiped(t, host)
				kit.Eventually(t, kit.Patience, "health is "+c.health, func() bool { return host.Status(t).Health == c.health })
				host.Run(t, "get", "payroll", "--field", "password").Want(t, 3)
				if c.what == "host" {
					wantHeld(t, answer, "payroll", 1)
				}
				if took < time.Second {
					return
				}
			}
			t.Error("it took more than a second each time")
		})
	}
}

// wiped waits until an agent has no lease and no locked byte, and gives how long that took.
func wiped(t *testing.T, host *kit.Agent) time.Duration {
	t.Helper()
	began := time.Now()
	kit.Eventually(t, kit.Patience, "no lease and no locked byte", func() bool {
		s := host.Status(t)
		return s.Leases == 0 && s.LockedBytes == 0
	})
	took := time.Since(began)
	t.Logf("wiped %v after the answer", took.Round(time.Millisecond))
	return took
}

// wantHeld: host revoke lists what to change, since a hostile host does not wipe.
func wantHeld(t *testing.T, answer kit.Result, credential string, version uint64) {
	t.Helper()
	type held struct {
		Credential string
		Version    uint64
	}
	var got struct {
		Held []held `json:"versions_held"`
	}
	if err := json.Unmarshal([]byte(answer.Stdout), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Held) != 1 || got.Held[0] != (held{credential, version}) {
		t.Errorf("host revoke lists %+v, want %s version %d", got.Held, credential, version)
	}
}
