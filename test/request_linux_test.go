package test

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// person makes a user and logs them in.
func person(t *testing.T, server *kit.Server, name, role string) kit.Admin {
	t.Helper()
	const password = "correct horse battery staple"
	server.Admin.Do(t, "user", "add", name, "--role", role, "--password", "@"+kit.File(t, password))
	token := filepath.Join(kit.Dir(t), "token")
	p := server.Admin
	p.Env = []string{"STRONGROOM_SERVER=" + server.Console, "STRONGROOM_CA_FINGERPRINT=" + server.CAFingerprint, "STRONGROOM_TOKEN_FILE=" + token}
	p.Do(t, "login", "--user", name, "--password", "@"+kit.File(t, password), "--token-out", token)
	return p
}

// A developer's own credential: nobody else knows of it, admins included; another developer asks for it for a job on a
// host, its owner approves, the job gets it, and no longer has it once the owner takes it back.
func TestRequestOfAColleague(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	admin, dev, bob := server.Admin, person(t, server, "dev", "developer"), person(t, server, "bob", "developer")
	way := kit.Command{PlainArena: true}
	host := server.EnrollInWay(t, way)
	canary := newCanary()
	secret := kit.Text("PIN", canary)
	dev.With(canary).Do(t, "credential", "add", "dev/payroll", "--masked", "PIN=-")

	// To everybody else it is as if it were not there: the same answers as for a name that was never given.
	for who, p := range map[string]kit.Admin{"admin": admin, "bob": bob} {
		for what, command := range map[string][]string{
			"show":    {"credential", "show", "dev/NAME"},
			"reveal":  {"credential", "show", "dev/NAME", "--reveal"},
			"edit":    {"credential", "edit", "dev/NAME", "--description", "x"},
			"delete":  {"credential", "delete", "dev/NAME", "--yes"},
			"grant":   {"grant", "add", "g", "--credential", "dev/NAME", "--any-host"},
			"explain": {"explain", "--host", host.Host, "--credential", "dev/NAME"},
			"request": {"request", "make", "dev/NAME", "--reason", "r", "--access", "read"},
		} {
			there, not := p.Run(t, named(command, "payroll")...), p.Run(t, named(command, "nothing")...)
			if there.Code == 0 || there.Code != not.Code || there.Stdout != not.Stdout || strings.ReplaceAll(there.Stderr, "payroll", "nothing") != not.Stderr {
				t.Errorf("%s, %s: %d %q; for a name that was never given %d %q", who, what, there.Code, there.Stderr, not.Code, not.Stderr)
			}
		}
		if list := p.Do(t, "credential", "list", "--json").Stdout; strings.Contains(list, "payroll") {
			t.Errorf("%s lists it: %s", who, list)
		}
	}
	get := func() kit.Result { return host.Run(t, "get", "dev/payroll", "--field", "PIN") }
	get().Want(t, 3)

	dev.Do(t, "credential", "edit", "dev/payroll", "--requestable")
	bob.Run(t, "credential", "show", "dev/payroll").Want(t, 4)
	var made struct {
		Number int
		Status string
	}
	bob.Do(t, "request", "make", "dev/payroll", "--reason", "year end", "--access", "read", "--host", host.Host, "--job-user", "root", "--json").JSON(t, &made)
	number := strconv.Itoa(made.Number)
	if made.Status != "pending" {
		t.Errorf("made: %+v", made)
	}
	get().Want(t, 3)
	bob.Run(t, "request", "approve", number).Want(t, 3)
	admin.Run(t, "request", "approve", number).Want(t, 4)

	dev.Do(t, "request", "approve", number)
	if got := get().Want(t, 0).Stdout; got != canary {
		t.Errorf("the job is given %d bytes", len(got))
	}
	host.RunAs(t, kit.Nobody, "get", "dev/payroll", "--field", "PIN").Want(t, 3)
	bob.Run(t, "credential", "show", "dev/payroll", "--reveal").Want(t, 4) // it is for the job
	admin.Run(t, "credential", "show", "dev/payroll", "--reveal").Want(t, 4)
	if s := kit.Memory(t, host.Pid(), secret); len(s.Arena) == 0 {
		t.Errorf("control: while it is leased: %v", s)
	}

	dev.Do(t, "request", "revoke", number)
	kit.Eventually(t, kit.Patience, "the lease ends", func() bool { return host.Status(t).Leases == 0 })
	get().Want(t, 3)
	clean(t, "agent after the request was revoked", host.Process, true, secret)

	for _, e := range admin.Audit(t, "--limit", "200") {
		if strings.Contains(e.Target+e.Reason, "payroll") && e.Outcome == "allowed" {
			t.Errorf("the log names it: %+v", e)
		}
	}
	deletedWithWhatIsTheirs(t, admin, dev)
}

// deletedWithWhatIsTheirs: a user who has credentials of their own goes only with them, and neither which nor how many is said.
func deletedWithWhatIsTheirs(t *testing.T, admin, dev kit.Admin) {
	t.Helper()
	refused := admin.Run(t, "user", "delete", "dev", "--yes").Want(t, 1)
	if !strings.Contains(refused.Stderr, "this user has credentials of their own") || strings.Contains(refused.Stderr, "payroll") {
		t.Errorf("it says %q", refused.Stderr)
	}
	dev.Do(t, "credential", "show", "dev/payroll")
	admin.Do(t, "user", "delete", "dev", "--purge", "--yes")
	dev.Run(t, "whoami").Want(t, 3)
	var list struct{ Items []json.RawMessage }
	if admin.Do(t, "grant", "list", "--json").JSON(t, &list); len(list.Items) != 0 {
		t.Errorf("grants are left: %s", list.Items)
	}
}

func named(command []string, name string) []string {
	out := make([]string, len(command))
	for i, word := range command {
		out[i] = strings.ReplaceAll(word, "NAME", name)
	}
	return out
}
