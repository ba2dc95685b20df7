package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// job is a command on the host that goes on while the test does other things.
func job(t *testing.T, host *kit.Agent, args ...string) *kit.Process {
	t.Helper()
	return kit.Command{Env: []string{"STRONGROOM_SOCKET=" + host.Socket}}.Start(t, "strongroom-agent", args...)
}

func setPassword(t *testing.T, admin kit.Admin, name, password string) {
	t.Helper()
	admin.With(password).Do(t, "credential", "edit", name, "--secret", "password=-")
}

// A command is started again when a value has really changed: not for a version with the same values, once for several
// credentials that change together, and not anymore once it is refused.
func TestExecRestartsOnChange(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	addLogin(t, admin, "one", "first-one")
	addLogin(t, admin, "two", "first-two")
	admin.Do(t, "grant", "add", "both", "--credential", "one", "--credential", "two", "--any-host")
	host := server.Enroll(t)
	starts := filepath.Join(kit.Dir(t), "starts")
	running := job(t, host, "exec", "--credential", "one", "--credential", "two", "--restart-on-change", "--",
		"sh", "-c", `trap 'exit 9' TERM; echo "told $ONE_PASSWORD first-one"; echo "$ONE_PASSWORD $TWO_PASSWORD" >>`+starts+`; while :; do sleep 0.05; done`)
	holds := func(want string) {
		t.Helper()
		kit.Eventually(t, kit.Patience, "starts are "+want, func() bool {
			got, _ := os.ReadFile(starts)
			return string(got) == want
		})
	}
	holds("first-one first-two\n")
	setPassword(t, admin, "one", "first-one") // a new version, and nothing new
	time.Sleep(2500 * time.Millisecond)
	holds("first-one first-two\n")
	if reads := admin.Audit(t, "--action", "credential.read", "--credential", "two"); len(reads) != 1 {
		t.Errorf("waiting counts as reading: %+v", reads)
	}
	// The agent hears of both at the same time, however long the commands take.
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(host.Pid(), s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	setPassword(t, admin, "one", "second-one")
	setPassword(t, admin, "two", "second-two")
	signal(syscall.SIGCONT)
	holds("first-one first-two\nsecond-one second-two\n")
	admin.Do(t, "grant", "revoke", "both")
	kit.Eventually(t, kit.Patience, "the refusal is told", func() bool {
		return strings.Contains(running.Output(), "the command goes on with the value that it has")
	})
	holds("first-one first-two\nsecond-one second-two\n")
	if err := syscall.Kill(running.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := running.AwaitEnd().ExitCode(); code != 9 {
		t.Errorf("exit code %d, want the command's own 9", code)
	}
	if out := running.Output(); strings.Contains(out, "first-one") || strings.Contains(out, "second-one") || !strings.Contains(out, "told *** ***\ntold *** ***\n") {
		t.Errorf("redaction of old and new values: %q", out)
	}
}

// Files follow a credential too, and are gone with the command that they were for, and so they are once it was killed.
func TestRenderFollows(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	addLogin(t, admin, "crm", "first-secret")
	admin.Do(t, "grant", "add", "all", "--credential", "crm", "--any-host")
	host := server.Enroll(t)
	dir, err := os.MkdirTemp("/dev/shm", "render")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "crm.env")
	template := kit.File(t, `PASSWORD={{ field "crm" "password" | quote }}`) + ":" + file + ":0400"
	render := func() *kit.Process {
		return job(t, host, "render", "--template", template, "--exec", "sh", "--", "-c", `trap 'echo hup' HUP; echo started; while :; do sleep 0.05; done`)
	}
	holds := func(want string) {
		t.Helper()
		kit.Eventually(t, kit.Patience, "the file holds "+want, func() bool {
			got, _ := os.ReadFile(file)
			return string(got) == want
		})
	}
	running := render()
	holds("PASSWORD='first-secret'")
	kit.Eventually(t, kit.Patience, "it runs", func() bool { return strings.Contains(running.Output(), "started") })
	setPassword(t, admin, "crm", "second-secret")
	holds("PASSWORD='second-secret'")
	kit.Eventually(t, kit.Patience, "it was told", func() bool { return strings.Contains(running.Output(), "hup") })
	// An agent that starts again in between loses no change.
	host.Stop()
	setPassword(t, admin, "crm", "third-secret")
	host.Process = nil
	host.Start(t)
	holds("PASSWORD='third-secret'")
	if err := syscall.Kill(running.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if state := running.AwaitEnd(); state.ExitCode() != 143 {
		t.Errorf("ended with %v, want 143", state)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v are left", left, err)
	}
}
