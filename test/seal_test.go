package test

import (
	"os"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// A server without its key serves sealed: it says so, opens with the key file, and its agents find it again.
func TestSealedServer(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	host := server.Enroll(t)
	addLogin(t, admin, "crm", "a secret")
	admin.Do(t, "grant", "add", "all", "--credential", "crm", "--any-host")
	password(t, host.Run(t, "get", "crm", "--field", "password"), "a secret")

	server.Stop()
	away := server.KeyFile + ".away"
	if err := os.Rename(server.KeyFile, away); err != nil {
		t.Fatal(err)
	}
	server.Process = kit.Start(t, "strongroom-server", "run", "--data", server.Data, "--key-file", server.KeyFile,
		"--agents", server.Agents, "--console", strings.TrimPrefix(server.Console, "https://"))
	if ready := server.Ready(); ready["agents"] != "-" || ready["sealed"] != "true" {
		t.Fatalf("ready says %v, want sealed", ready)
	}
	sealed := func(want bool) {
		t.Helper()
		var status struct{ Sealed bool }
		admin.Do(t, "status", "--json").JSON(t, &status)
		if status.Sealed != want {
			t.Errorf("status says sealed: %t, want %t", status.Sealed, want)
		}
	}
	sealed(true)
	for _, command := range [][]string{{"credential", "list"}, {"whoami"}, {"audit", "list"}, {"seal"}} {
		admin.Run(t, command...).Want(t, 5)
	}
	// What was leased before goes on: the lease is the host's until its end.
	password(t, host.Run(t, "get", "crm", "--field", "password"), "a secret")

	wrong := kit.File(t, "strongroom-key-v1:"+strings.Repeat("0", 64)+"\n")
	admin.Run(t, "unseal", "--key-file", wrong).Want(t, 3)
	sealed(true)
	admin.Do(t, "unseal", "--key-file", away)
	sealed(false)
	host.Connected(t)
	admin.Do(t, "credential", "list")

	admin.Do(t, "seal")
	sealed(true)
	admin.Run(t, "credential", "list").Want(t, 5)
	admin.Do(t, "unseal", "--key-file", away)
	host.Connected(t)
	admin.Do(t, "grant", "revoke", "all")
	kit.Eventually(t, kit.Patience, "the lease ends", func() bool { return host.Status(t).Leases == 0 })
	var seen []string
	for _, e := range admin.Audit(t) {
		if strings.HasPrefix(e.Action, "vault.") {
			seen = append(seen, e.Action+" "+string(e.Outcome))
		}
	}
	const want = "vault.unseal allowed,vault.seal allowed,vault.unseal allowed,vault.unseal refused,vault.unseal allowed,vault.create allowed"
	if got := strings.Join(seen, ","); got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}
