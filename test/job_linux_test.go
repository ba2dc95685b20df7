package test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// A job gets what its unit, container, executable and its executable's hash are granted, and the same user elsewhere, or
// with another program of that name, is refused. The control groups are real, the processes too.
func TestJobConditions(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t)
	server := kit.NewServer(t)
	admin, host := server.Admin, server.Enroll(t)
	tag := strings.ToLower(rand.Text())
	unit, id := "nightly-"+tag+".service", hex.EncodeToString([]byte(rand.Text() + rand.Text())[:32])
	inUnit, inOther := controlGroup(t, "/system.slice/"+unit), controlGroup(t, "/system.slice/daily-"+tag+".service")
	inUsers := controlGroup(t, "/user.slice/user-65534.slice/user@65534.service/system.slice/"+unit)
	inContainer := controlGroup(t, "/docker/"+id+"/system.slice/"+unit)

	dir := kit.Dir(t)
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program := func(name string, content []byte) string {
		return kit.Program(t, filepath.Join(dir, name), content)
	}
	job, same, other := program("job", shell), program("same", shell), program("other", append(slices.Clone(shell), 0))
	sum := sha256.Sum256(shell)

	for name, conditions := range map[string][]string{
		"by-unit":      {"--job-user", "nobody", "--job-unit", unit},
		"by-container": {"--job-container", id[:12]},
		"by-exe":       {"--job-user", "nobody", "--job-exe", job},
		"by-hash":      {"--job-user", "nobody", "--job-exe-sha256", hex.EncodeToString(sum[:])},
		"by-any":       nil,
	} {
		addLogin(t, admin, name, "secret of "+name)
		admin.Do(t, append([]string{"grant", "add", name, "--credential", name, "--host", host.Host}, conditions...)...)
	}
	const nobody, root = "65534", "0"
	run := func(ref, uid, group, program, before string) (string, int) {
		t.Helper()
		ask := fmt.Sprintf("%s/strongroom-agent get %s --field password --socket %s; exit $?", kit.Bin(t), ref, host.Socket)
		cmd := exec.Command("unshare", "--mount", "/bin/sh", "-ec", before+"\nexec setpriv --reuid "+uid+" --clear-groups "+program+` -c "$1"`, "sh", ask)
		if before == "" {
			cmd = exec.Command("/bin/sh", "-ec", "exec setpriv --reuid "+uid+" --clear-groups "+program+` -c "$1"`, "sh", ask)
		}
		if group != "" {
			cmd.Args[len(cmd.Args)-3] = "echo $$ >" + group + "\n" + cmd.Args[len(cmd.Args)-3]
		}
		out, err := cmd.Output()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	mounted := "mount --bind " + other + " " + job
	for _, tt := range []struct {
		what, ref, uid, group, program, before string
		given                                  bool
	}{
		{"in its unit", "by-unit", nobody, inUnit, job, "", true},
		{"the same user in another unit", "by-unit", nobody, inOther, job, "", false},
		{"the same user in no unit", "by-unit", nobody, "", job, "", false},
		{"another user in the unit", "by-unit", root, inUnit, job, "", false},
		{"in a user's group called like the unit", "by-unit", nobody, inUsers, job, "", false},
		{"in a unit of a container", "by-unit", nobody, inContainer, job, "", false},
		{"in its container", "by-container", nobody, inContainer, job, "", true},
		{"outside of the container", "by-container", nobody, inUnit, job, "", false},
		{"with its program", "by-exe", nobody, inOther, job, "", true},
		{"with a copy of it", "by-exe", nobody, inOther, same, "", false},
		{"with another program mounted over it", "by-exe", nobody, inOther, job, mounted, false},
		{"with its program's content", "by-hash", nobody, inOther, same, "", true},
		{"with the content again", "by-hash", nobody, inUnit, job, "", true},
		{"with other content", "by-hash", nobody, inOther, other, "", false},
		{"another user with the content", "by-hash", root, inOther, same, "", false},
		{"in another mount namespace", "by-hash", nobody, inOther, job, "true", false},
		{"in another mount namespace, for any job", "by-any", nobody, inOther, job, "true", true},
	} {
		out, code := run(tt.ref, tt.uid, tt.group, tt.program, tt.before)
		if tt.given && (code != 0 || out != "secret of "+tt.ref) || !tt.given && (code != 3 || out != "") {
			t.Errorf("%s: %q, exit code %d", tt.what, out, code)
		}
	}
	// The name that it was granted by is another program now.
	if err := os.Rename(other, job); err != nil {
		t.Fatal(err)
	}
	if out, code := run("by-hash", nobody, inOther, job, ""); code != 3 || out != "" {
		t.Errorf("with a replaced program: %q, exit code %d", out, code)
	}

	admin.Run(t, "explain", "--host", host.Host, "--credential", "by-unit", "--job", "user=nobody,unit="+unit).Want(t, 0)
	admin.Run(t, "explain", "--host", host.Host, "--credential", "by-unit", "--job", "user=nobody,unit=daily.service").Want(t, 3)
	kit.Eventually(t, kit.Patience, "the log has the job with its unit", func() bool {
		return slices.ContainsFunc(admin.Audit(t, "--host", host.Host, "--action", "credential.read"), func(e kit.Entry) bool {
			return e.Target == "by-unit" && e.Outcome == "allowed" && strings.Contains(e.Job, "user=nobody,unit="+unit+",exe="+job)
		})
	})
}

// controlGroup makes one that is like systemd's or a container runtime's, and names the file that processes join it by.
func controlGroup(t *testing.T, path string) (procs string) {
	t.Helper()
	root := "/sys/fs/cgroup/systemd"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	dir := filepath.Join(root, path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		kit.Missing(t, "control groups that can be written: "+err.Error())
	}
	t.Cleanup(func() {
		for ; dir != root; dir = filepath.Dir(dir) {
			_ = syscall.Rmdir(dir) // it stays where another test has something in it
		}
	})
	return filepath.Join(dir, "cgroup.procs")
}
