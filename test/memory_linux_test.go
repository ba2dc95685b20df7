package test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/test/kit"
)

// What passes through the two daemons is nowhere in their memory but in the arena, which even root cannot read: not
// while it is leased, and not afterwards.
func TestNoCanaryInMemory(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	admin := server.Admin
	host := server.Enroll(t)
	canary := rand.Text()
	const credentials = 30
	for i := range credentials {
		admin.With(canary).Do(t, "credential", "add", fmt.Sprintf("c%d", i), "--application", "generic-rest", "--auth-type", "access_token",
			"--secret", "token=-", "--tag", "set=all")
	}
	clean := func(when string, p *kit.Process) {
		t.Helper()
		// A freed object keeps its bytes until it is collected, which may take a moment.
		var found []kit.Residue
		var unread []string
		for range 20 {
			if found, unread = kit.Memory(t, p.Pid(), canary); len(found) == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("%s: %d pieces; not readable: %q", when, len(found), unread)
		for _, f := range found {
			t.Errorf("%s: %s at %#x in %s", when, f.Form, f.Address, f.Mapping)
		}
	}
	clean("server after credential add", server.Process)

	admin.Do(t, "grant", "add", "all", "--tag", "set=all", "--any-host")
	job := client.New(client.Options{Socket: host.Socket})
	for i := range 1000 {
		got, err := job.Field(t.Context(), fmt.Sprintf("c%d", i%credentials), "token")
		if err != nil || string(got) != canary {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	clean("server after deliveries", server.Process)
	clean("agent while leased", host.Process)

	var shown struct{ Fields map[string]string }
	result := admin.Do(t, "credential", "show", "c0", "--reveal", "--json")
	if err := json.Unmarshal([]byte(result.Stdout), &shown); err != nil || shown.Fields["token"] != canary {
		t.Fatalf("revealed %v, %v", shown, err)
	}
	clean("server after reveal", server.Process)

	admin.Do(t, "grant", "revoke", "all")
	kit.Eventually(t, kit.Patience, "the leases end", func() bool { return host.Status(t).Leases == 0 })
	clean("agent after revocation", host.Process)

	// The control: a process that has it is caught, and so is a piece of it.
	for _, held := range []string{canary, "x" + canary[5:13] + "x"} {
		leak := exec.CommandContext(t.Context(), "sleep", "60")
		leak.Env = []string{"held=" + held}
		if err := leak.Start(); err != nil {
			t.Fatal(err)
		}
		if found, _ := kit.Memory(t, leak.Process.Pid, canary); len(found) == 0 {
			t.Errorf("control: %d bytes of it in a process are not found", len(held)-2)
		}
	}
}
