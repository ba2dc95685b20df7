package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// A job of a database credential has what the database's own tools read, from the catalogue through the lease to exec, with
// the defaults of what nobody gave. It follows the catalogue, and two credentials that would set the same are refused
// before anything runs.
func TestToolVariables(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	for _, name := range []string{"warehouse", "replica"} {
		admin.With("canary-of-"+name).Do(t, "credential", "add", name, "--application", "postgresql", "--auth-type", "basic",
			"--field", "host="+name+".example", "--field", "username=etl", "--secret", "password=-")
	}
	addLogin(t, admin, "crm", "canary-of-crm")
	admin.Do(t, "grant", "add", "all", "--credential", "warehouse", "--credential", "replica", "--credential", "crm", "--any-host")
	host := server.Enroll(t)
	outer := kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-agent"),
		Env: []string{"STRONGROOM_SOCKET=" + host.Socket, "PGHOST=outer", "PGPASSWORD=outer", "PGDATABASE=outer"}}
	ran := filepath.Join(kit.Dir(t), "ran")
	show := func(password string) []string {
		return []string{"--", "sh", "-c", `test "$PGPASSWORD" = ` + password + ` && echo "$PGHOST $PGUSER $PGDATABASE ${PGPORT-none} ${PGSSLMODE-none} $PGPASSWORD $WAREHOUSE_HOST $DB_HOST"; echo >>` + ran}
	}
	for _, c := range []struct {
		credentials []string
		password    string
		want        string
	}{
		{[]string{"--credential", "warehouse"}, "canary-of-warehouse", "warehouse.example etl outer 5432 verify-full *** warehouse.example \n"},
		{[]string{"--credential", "replica=DB"}, "canary-of-replica", "replica.example etl outer 5432 verify-full ***  replica.example\n"},
		{[]string{"--credential", "warehouse", "--credential", "crm"}, "canary-of-warehouse", "warehouse.example etl outer 5432 verify-full *** warehouse.example \n"},
		{[]string{"--credential", "warehouse", "--credential", "replica=DB", "--no-tool-variables"}, "outer",
			"outer  outer none none outer warehouse.example replica.example\n"},
	} {
		if got := outer.Run(t, append(append([]string{"exec"}, c.credentials...), show(c.password)...)...).Want(t, 0).Stdout; got != c.want {
			t.Errorf("%v: %q, want %q", c.credentials, got, c.want)
		}
	}
	if err := os.Remove(ran); err != nil {
		t.Fatal(err)
	}
	refused := host.Run(t, append([]string{"exec", "--credential", "warehouse", "--credential", "replica=DB"}, show("x")...)...).Want(t, 125)
	for _, words := range []string{"PGHOST", "of warehouse", "of replica", "--no-tool-variables"} {
		if !strings.Contains(refused.Stderr, words) {
			t.Errorf("the refusal does not say %q: %s", words, refused.Stderr)
		}
	}
	if _, err := os.Stat(ran); err == nil || strings.Contains(refused.Stderr, "canary") {
		t.Errorf("the command ran, or a value is told: %s", refused.Stderr)
	}

	var shown struct{ Environment map[string]string }
	host.Run(t, "get", "warehouse").Want(t, 0).JSON(t, &shown)
	if shown.Environment["PGPASSWORD"] != "{password}" || shown.Environment["PGUSER"] != "{username}" {
		t.Errorf("get shows %v", shown.Environment)
	}
	followsTheCatalogue(t, admin, host)
	followsTheValue(t, admin, host)
}

func followsTheCatalogue(t *testing.T, admin kit.Admin, host *kit.Agent) {
	t.Helper()
	reads := func(variable string) func() bool {
		return func() bool {
			return host.Run(t, "exec", "--credential", "warehouse", "--", "sh", "-c", `test "$`+variable+`" = canary-of-warehouse`).Code == 0
		}
	}
	if !reads("PGPASSWORD")() || reads("OURS_PASSWORD")() {
		t.Error("the variables are not the built-in ones")
	}
	dir := kit.Dir(t)
	ours := "name: postgresql\ntitle: Ours\ncategory: database\nauth_types: [{type: basic, env: {OURS_PASSWORD: password}}]\n" +
		"fields: [{name: host, required: true, format: host, help: where}, {name: port, help: its port}, {name: sslmode, help: how}]\norigins: [\"postgres://{host}:5432\"]\n"
	if err := os.WriteFile(filepath.Join(dir, "postgresql.yaml"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	admin.Do(t, "application", "import", dir)
	kit.Eventually(t, kit.Patience, "the imported variable is set", reads("OURS_PASSWORD"))
	if reads("PGPASSWORD")() {
		t.Error("the built-in variable is still set")
	}
	admin.Do(t, "application", "delete", "postgresql")
	kit.Eventually(t, kit.Patience, "the built-in variable is set again", reads("PGPASSWORD"))
}

func followsTheValue(t *testing.T, admin kit.Admin, host *kit.Agent) {
	t.Helper()
	starts := filepath.Join(kit.Dir(t), "starts")
	running := job(t, host, "exec", "--credential", "warehouse", "--restart-on-change", "--",
		"sh", "-c", `trap 'exit 9' TERM; echo "$PGPASSWORD" >>`+starts+`; while :; do sleep 0.05; done`)
	holds := func(want string) {
		t.Helper()
		kit.Eventually(t, kit.Patience, "starts are "+want, func() bool {
			got, _ := os.ReadFile(starts)
			return string(got) == want
		})
	}
	holds("canary-of-warehouse\n")
	setPassword(t, admin, "warehouse", "another-canary")
	holds("canary-of-warehouse\nanother-canary\n")
	if err := syscall.Kill(running.Pid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := running.AwaitEnd().ExitCode(); code != 9 {
		t.Errorf("exit code %d, want the command's own 9", code)
	}
}
