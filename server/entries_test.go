package server

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

const everyCanary = "canary-7f3a9c51"

// Why an entry may say nothing of something.
var (
	mayHaveNoReason = map[string]string{"vault.seal": "there is one way to seal, and who did it is the actor"}
	// Of an entry of the system nobody asked for anything.
	mayHaveNoFrom = map[string]string{"vault.rekey": "the work goes on behind the request, whose entry, new keys, has it"}
)

// notHere are the actions that take what this test does not have.
var notHere = map[string]string{
	"credential.renew": "a certificate that has aged", "transfer.ask": "people who have been here for a day",
	"vault.restore": "a backup", "host.return": "a restored vault", "log.behind": "a log that was put back",
	"log.prune": "old entries", "log.reconcile": "a vault that was put back", "log.recover": "a crash",
}

// TestEveryEntrySaysAll does everything that is logged, through the server's own listeners.
func TestEveryEntrySaysAll(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	e := newEvery(t, Init{Seal: SealKeyFile})
	e.everything()
	all := e.entries()
	shared := newEvery(t, Init{Seal: SealShamir, Shares: 3, Threshold: 2})
	all = append(all, shared.entries()...)
	for _, e := range all {
		seen[e.Action] = true
		switch {
		case e.Actor == "" || e.Outcome == "",
			e.Reason == "" && mayHaveNoReason[e.Action] == "",
			e.From == "" && e.Actor != "system" && mayHaveNoFrom[e.Action] == "":
			t.Errorf("the entry says too little: %+v", e)
		case e.From != "" && e.From != "127.0.0.1":
			t.Errorf("asked from 127.0.0.1: %+v", e)
		case len(e.Reason) > audit.MaxText || strings.Contains(e.Actor+e.Target+e.Job+e.Reason, everyCanary) || strings.Contains(e.Target+e.Reason, "payroll"):
			t.Errorf("what the log may not have: %+v", e)
		case e.Outcome == audit.Failed:
			t.Errorf("nothing failed here: %+v", e)
		}
	}
	for _, action := range actions(t) {
		if seen[action] == (notHere[action] != "") {
			t.Errorf("%s: logged here %t; want it so, or in notHere the test that does it", action, seen[action])
		}
	}
	e.wantReasons(all)
}

// wantReasons are typed by hand. {} stands for an ID, or a time of these years.
func (e *every) wantReasons(all []audit.Entry) {
	e.t.Helper()
	ids := regexp.MustCompile(`[a-z2-7]{26}|20[2-8][0-9-]+T[0-9:]+Z`)
	for _, want := range []struct{ action, target, outcome, reason string }{
		{"credential.create", "crm", "allowed", "generic-rest basic; version 1; with password, url, username, description; tags team; expires 2099-01-02T03:04:05Z"},
		{"credential.create", "crm", "refused", "the name is taken"},
		{"credential.edit", "crm", "allowed", "version 2; changed password, url, description; tags -team, tier; expires never; the default of generic-rest"},
		{"credential.disconnect", "crm", "allowed", "version 3; given to nobody"},
		{"credential.delete", "crm", "allowed", "with its versions up to 3"},
		{"credential.create", "{}", "allowed", "version 1; with 2 of its variables; 1 of its tags; requestable"},
		{"grant.create", "nightly", "allowed", "credentials crm; hosts h1; host labels role=prod; job users etl, root; access read; leases of 15m0s; ends 2099-01-02T03:04:05Z"},
		{"grant.edit", "nightly", "allowed", "credentials crm; tags tier=1; any host; any job; access read; leases of 1h0m0s; 2h0m0s offline; ends never"},
		{"grant.revoke", "nightly", "allowed", "credentials crm; tags tier=1; any host; any job; access read; leases of 1h0m0s; 2h0m0s offline; ends never"},
		{"grant.create", "mine", "allowed", "own credentials {}; any host; any job; access read; leases of 15m0s; ends never"},
		{"request.make", "{}", "allowed", "request 1 of olga, access read; job users etl"},
		{"request.approve", "{}", "allowed", "request 1 of olga, access read; job users etl; ends {}"},
		{"host.label", "{}", "allowed", "-env, role=prod"},
		{"host.enroll", "{}", "allowed", `join token {}; name "runner"; labels env=test`},
		{"host.revoke", "{}", "allowed", `name "runner"; labels role=prod; leases of at least crm version 3`},
		{"setting.set", "secret-min", "allowed", "to 8; before 0"},
		{"token.create", "deploy", "allowed", "scopes host.view; until 2099-01-02T03:04:05Z"},
	} {
		var had []string
		found := slices.ContainsFunc(all, func(e audit.Entry) bool {
			if e.Action != want.action {
				return false
			}
			target, reason := ids.ReplaceAllString(e.Target, "{}"), ids.ReplaceAllString(e.Reason, "{}")
			had = append(had, target+": "+reason)
			return target == want.target && string(e.Outcome) == want.outcome && reason == want.reason
		})
		if !found {
			e.t.Errorf("%s of %s, %s, because\n%s\nis not in the log, which has\n%s", want.action, want.target, want.outcome, want.reason, strings.Join(had, "\n"))
		}
	}
}

// actions are all that the server's sources name.
func actions(t *testing.T) (names []string) {
	t.Helper()
	literal := regexp.MustCompile(`"((?:api|application|audit|credential|factor|grant|host|job|log|request|role|setting|share|slot|token|transfer|user|vault)\.[a-z-]+)"`)
	check := func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() && d.Name() == "cmd" {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for line := range strings.Lines(string(must(os.ReadFile(path))(t))) {
			for _, found := range literal.FindAllStringSubmatch(line, -1) {
				// Crash points and files have names of the same form.
				if !strings.Contains(line, "crash.Point(") && !strings.HasSuffix(found[1], ".db") && !strings.HasSuffix(found[1], ".json") && !strings.HasSuffix(found[1], ".partial") {
					names = append(names, found[1])
				}
			}
		}
		return nil
	}
	if err := filepath.WalkDir(".", check); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// every is a server with its console, and admin signed in.
type every struct {
	t       *testing.T
	server  *Server
	made    Initialised
	arena   *secret.Arena
	address string
	admin   *api.Client
}

func newEvery(t *testing.T, c Init) *every {
	t.Helper()
	e := &every{t: t, arena: newTestArena(t, 1<<20)}
	e.server, e.made = sealedWith(t, c)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	e.address = "https://" + listener.Addr().String()
	console := e.server.consoleServer()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = console.ServeTLS(listener, "", "")
	}()
	t.Cleanup(func() {
		_ = console.Close()
		<-served
	})
	e.unseal()
	e.admin = e.login("admin", "Anvil-cobalt-drift-77")
	return e
}

// unseal opens it as it opens, and is refused once before.
func (e *every) unseal() {
	e.t.Helper()
	c := e.client(nil)
	give := func(with api.Unsealing) { must(c.Unseal(e.t.Context(), with))(e.t) }
	if len(e.made.UnsealShares) == 0 {
		other := strings.Repeat("5", 64)
		if _, err := c.Unseal(e.t.Context(), api.Unsealing{KeyFile: e.text("strongroom-key-v1:" + other + "\n")}); err == nil {
			e.t.Error("a wrong key file opens it")
		}
		give(api.Unsealing{KeyFile: must(e.arena.ReadFile(e.made.KeyFile, 1<<10))(e.t)})
		return
	}
	give(api.Unsealing{Share: e.text(e.made.UnsealShares[0])})
	give(api.Unsealing{Reset: true, Share: e.text(e.made.UnsealShares[1])})
	give(api.Unsealing{Share: e.text(e.made.UnsealShares[2])})
}

func (e *every) text(s string) *secret.Buffer { return must(e.arena.From([]byte(s)))(e.t) }

func (e *every) client(token *secret.Buffer) *api.Client {
	e.t.Helper()
	c := must(api.New(api.Config{Server: e.address, CAFingerprint: e.made.CAFingerprint, Arena: e.arena, Token: token}))(e.t)
	e.t.Cleanup(c.Close)
	return c
}

func (e *every) login(name, password string) *api.Client {
	e.t.Helper()
	return e.client(must(e.client(nil).Login(e.t.Context(), name, e.text(password), ""))(e.t).Token)
}

func (e *every) entries() []audit.Entry {
	e.t.Helper()
	e.server.log.FlushRefusals()
	return must(e.server.log.Read(e.t.Context(), e.server.rooms.keys, audit.Query{Limit: 1000}))(e.t).Items
}

var farEnd = time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC)
