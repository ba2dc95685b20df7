package test

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// An explanation is what `strongroom explain` says.
type explanation struct {
	Allowed bool
	Reason  string
}

// Whatever is refused is refused with exit code 3, is in the log with its reason, and explain says the same. Each
// credential is read first where it may be, so that a refusal cannot come from something else that is broken.
func TestRefusals(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	admin := server.Admin
	here, there := server.Enroll(t), server.Enroll(t)
	get := func(a *kit.Agent, ref string) kit.Result { return a.Run(t, "get", ref, "--field", "password") }
	asNobody := func(a *kit.Agent, ref string) kit.Result {
		return a.RunAs(t, kit.Nobody, "get", ref, "--field", "password")
	}
	for _, name := range []string{"ungranted", "elsewhere", "nobodys", "cached", "taken", "gone", "stays"} {
		addLogin(t, admin, name, "secret of "+name)
	}

	admin.Do(t, "grant", "add", "to-there", "--credential", "elsewhere", "--host", there.Host)
	password(t, get(there, "elsewhere"), "secret of elsewhere")
	admin.Do(t, "grant", "add", "to-nobody", "--credential", "nobodys", "--any-host", "--job-user", "nobody")
	admin.Do(t, "grant", "add", "to-nobody-too", "--credential", "cached", "--any-host", "--job-user", "nobody")
	password(t, asNobody(there, "nobodys"), "secret of nobodys")
	password(t, asNobody(here, "cached"), "secret of cached")
	admin.Do(t, "grant", "add", "for-a-while", "--credential", "taken", "--credential", "gone", "--host", here.Host, "--job-user", "root")
	admin.Do(t, "grant", "add", "for-good", "--credential", "stays", "--host", here.Host)
	password(t, get(here, "taken"), "secret of taken")
	password(t, get(here, "gone"), "secret of gone")
	password(t, get(here, "stays"), "secret of stays")
	admin.Do(t, "credential", "delete", "gone", "--yes")
	admin.Do(t, "grant", "revoke", "for-a-while")

	for _, c := range []struct{ why, ref, reason, logged string }{
		{"never granted", "ungranted", "no grant names this credential", ""},
		{"granted to another host", "elsewhere", "no grant of this credential names this host", ""},
		{"granted to another user", "nobodys", "no grant of this credential for this host names this job's user", ""},
		{"in the agent's memory for another user", "cached", "no grant of this credential for this host names this job's user",
			"no grant of this credential for this host names this job's user (claimed by the host)"},
		{"grant revoked", "taken", "no grant names this credential", ""},
		{"deleted", "gone", "there is no such credential", ""},
		{"never there", "unheard-of", "there is no such credential", ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			refused(t, admin, here, c.ref, c.reason)
			logged(t, admin, here, "credential.read", c.ref, cmp.Or(c.logged, c.reason))
		})
	}

	admin.Do(t, "host", "revoke", here.Host)
	t.Run("host revoked", func(t *testing.T) {
		told := func() bool { return here.Status(t).Health == "revoked" }
		kit.Eventually(t, kit.Patience, "the host is told", told)
		refused(t, admin, here, "stays", "this host is revoked")
		// What its jobs ask reaches the server no more; that it comes back does.
		here.Stop()
		here.Start(t)
		logged(t, admin, here, "host.connect", here.Host, "this host is revoked")
		kit.Eventually(t, kit.Patience, "the host is told again", told)
		refused(t, admin, here, "stays", "this host is revoked")
	})
}

// refused reads a credential on a host as root in each way there is.
func refused(t *testing.T, admin kit.Admin, a *kit.Agent, ref, reason string) {
	t.Helper()
	whole := a.Run(t, "get", ref).Want(t, 3)
	if whole.Stdout != "" {
		t.Errorf("a refused get printed %q", whole.Stdout)
	}
	if one := a.Run(t, "get", ref, "--field", "password").Want(t, 3); one.Stdout != "" {
		t.Errorf("a refused get --field printed %q", one.Stdout)
	}
	a.Run(t, "exec", "--credential", ref, "--", "true").Want(t, 125)
	a.Run(t, "explain", ref).Want(t, 3)

	var said explanation
	admin.Run(t, "explain", "--host", a.Host, "--credential", ref, "--job", "user=root", "--json").Want(t, 3).JSON(t, &said)
	if said.Allowed || said.Reason != reason {
		t.Errorf("explain says %+v, want refused because %q", said, reason)
	}
}

// times is what the agent adds to refusals that repeat themselves, which it reports as one.
var times = regexp.MustCompile(`, [0-9]+ times`)

// logged waits for the refusal to be in the log; what the agent decided by itself it reports a little later.
func logged(t *testing.T, admin kit.Admin, a *kit.Agent, action, target, reason string) {
	t.Helper()
	kit.Eventually(t, kit.Patience, "the log has "+action+" of "+target+" refused because "+reason, func() bool {
		return slices.ContainsFunc(admin.Audit(t, "--host", a.Host, "--action", action), func(e kit.Entry) bool {
			return e.Outcome == "refused" && e.Host == a.Host && e.Target == target && times.ReplaceAllString(e.Reason, "") == reason
		})
	})
}

// To a job, what it may not have and what is not there are the same: the same code and the same words.
func TestRefusedIsNotThere(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	host := server.Enroll(t)
	addLogin(t, server.Admin, "ref-one", "a secret")
	addLogin(t, server.Admin, "granted", "another")
	server.Admin.Do(t, "grant", "add", "some", "--credential", "granted", "--any-host")
	password(t, host.Run(t, "get", "granted", "--field", "password"), "another")
	there, absent := host.Run(t, "get", "ref-one").Want(t, 3), host.Run(t, "get", "ref-two").Want(t, 3)
	if there.Stderr == "" || strings.ReplaceAll(there.Stderr, "ref-one", "ref-two") != absent.Stderr {
		t.Errorf("a job can tell them apart:\n%s%s", there.Stderr, absent.Stderr)
	}
}
