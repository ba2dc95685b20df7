package test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// A command outlives the token of its job: it goes on with what it has while the token in the file has ended, gets what
// has changed once the platform has renewed the file, and no token is in what it prints.
func TestJobTokenIsRenewed(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	claims := map[string]any{"project_path": "group/app"}
	const clocksApart, life = 60, 30 // seconds: what the server allows, and what a test needs to begin
	ci := ca.newIssuer(t, map[string]ciJob{
		"short": {Secret: "s-short", Audience: "strongroom", Algorithm: "ES256", Claims: claims, Ends: life - clocksApart},
		"long":  {Secret: "s-long", Audience: "strongroom", Algorithm: "ES256", Claims: claims},
	})
	server := kit.Command{Env: []string{"SSL_CERT_FILE=" + ca.file}, Args: []string{"--outbound-allow", "127.0.0.0/8"}}.NewServer(t)
	host := server.Enroll(t)
	addLogin(t, server.Admin, "crm", "first-secret")
	server.Admin.Do(t, "grant", "add", "app", "--credential", "crm", "--any-host", "--job-claim", ci.url+":project_path=group/app")
	server.Admin.Do(t, "setting", "set", "job-issuers", ci.url)

	first, second := ci.token(t, "short"), ci.token(t, "long")
	file := kit.File(t, first)
	starts := filepath.Join(kit.Dir(t), "starts")
	running := job(t, host, "exec", "--job-token", "@"+file, "--credential", "crm", "--restart-on-change", "--",
		"sh", "-c", `trap 'exit 9' TERM; echo "shown $(cat `+file+`)"; echo "$CRM_PASSWORD" >>`+starts+`; while :; do sleep 0.05; done`)
	// A command asks again five to ten seconds after it was refused.
	const patience = 10*time.Second + kit.Patience
	holds := func(want string) {
		t.Helper()
		kit.Eventually(t, patience, "starts are "+want, func() bool {
			got, _ := os.ReadFile(starts)
			return string(got) == want
		})
	}
	holds("first-secret\n")
	ended := "refused: the job's token is not taken: it has ended"
	kit.Eventually(t, life*time.Second+kit.Patience, "the token has ended", func() bool {
		got := host.Run(t, "get", "crm", "--field", "password", "--job-token", "@"+file)
		return got.Code == 3 && strings.Contains(got.Stderr, ended)
	})
	setPassword(t, server.Admin, "crm", "second-secret")
	kit.Eventually(t, patience, "the end is told", func() bool {
		return strings.Contains(running.Output(), "crm: "+ended)
	})
	holds("first-secret\n")
	if err := errors.Join(os.WriteFile(file+".new", []byte(second), 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	holds("first-secret\nsecond-secret\n")
	if err := syscall.Kill(running.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := running.AwaitEnd().ExitCode(); code != 9 {
		t.Errorf("exit code %d, want the command's own 9", code)
	}
	out := running.Output()
	withoutToken(t, "the output", out, first)
	withoutToken(t, "the output", out, second)
	if strings.Count(out, "shown ***\n") != 2 || strings.Count(out, ended) != 1 {
		t.Errorf("printed %q, want the token masked twice, and its end told once", out)
	}
}
