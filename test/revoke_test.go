package test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// What is revoked leaves a connected agent's memory within a second of the command's answer.
func TestRevokedLeavesMemory(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	addLogin(t, admin, "payroll", "the first secret")
	for _, c := range []struct {
		what   string
		revoke func(*kit.Agent) kit.Result
		health string
	}{
		{"grant", func(*kit.Agent) kit.Result { return admin.Do(t, "grant", "revoke", "nightly") }, "ok"},
		{"host", func(a *kit.Agent) kit.Result { return admin.Do(t, "host", "revoke", a.Host, "--json") }, "revoked"},
	} {
		t.Run(c.what, func(t *testing.T) {
			host := server.Enroll(t)
			admin.Do(t, "grant", "add", "nightly", "--credential", "payroll", "--host", host.Host)
			password(t, host.Run(t, "get", "payroll", "--field", "password"), "the first secret")
			if s := host.Status(t); s.Leases != 1 || s.LockedBytes == 0 {
				t.Fatalf("after a read: %+v, want one lease and bytes in locked memory", s)
			}
			answer := c.revoke(host)
			answered := time.Now()
			var last kit.Status
			kit.Eventually(t, time.Second, "no lease and no locked byte", func() bool {
				last = host.Status(t)
				return last.Leases == 0 && last.LockedBytes == 0
			})
			t.Logf("wiped %v after the answer", time.Since(answered).Round(time.Millisecond))
			host.Run(t, "get", "payroll", "--field", "password").Want(t, 3)
			if health := host.Status(t).Health; health != c.health {
				t.Errorf("health is %q, want %q", health, c.health)
			}
			if c.what == "host" {
				wantHeld(t, answer, "payroll", 1)
			}
		})
	}
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
