package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// On a full disk a server that is being written to refuses in plain words what it cannot log or store, and does nothing
// of it by half; what takes away works all the same; and once there is room again, so does everything, by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := kit.Disk(t, 40<<20)
	server := kit.NewServer(t)
	moveTo(t, server, filepath.Join(disk, "data"))
	admin := server.Admin
	for _, name := range []string{"payroll", "unread", "doomed"} {
		addLogin(t, admin, name, "secret of "+name)
	}
	admin.Do(t, "token", "create", "spare", "--out", filepath.Join(kit.Dir(t), "token"))
	first, second := server.Enroll(t), server.Enroll(t)
	admin.Do(t, "grant", "add", "nightly", "--credential", "payroll", "--host", first.Host)
	admin.Do(t, "grant", "add", "daily", "--credential", "payroll", "--host", second.Host)
	admin.Do(t, "grant", "add", "later", "--credential", "unread", "--any-host")
	for _, host := range []*kit.Agent{first, second} {
		password(t, host.Run(t, "get", "payroll", "--field", "password"), "secret of payroll")
	}

	adds := &writers{admin: admin, stored: map[string]string{}}
	var filler string
	adds.run(t, func() { filler = kit.Fill(t, disk, 0) })
	if free, reserved := space(t, server); free > 16<<10 || !reserved {
		t.Errorf("%d bytes are free, the reserve is whole: %v; want a full disk with it", free, reserved)
	}

	full(t, admin.With("x").Run(t, "credential", "edit", "payroll", "--secret", "password=-"))
	full(t, admin.Run(t, "grant", "add", "more", "--credential", "payroll", "--any-host"))
	// What fits into the last page of the log's file is still logged, and given out: a read has the shortest of entries.
	for range 50 {
		if admin.Run(t, "credential", "show", "payroll", "--reveal").Code != 0 {
			break
		}
	}
	unavailable(t, first.Run(t, "get", "unread", "--field", "password"))
	for _, step := range []struct {
		what string
		args []string
		host *kit.Agent // that wipes
	}{
		{"grant revoke", []string{"grant", "revoke", "nightly"}, first},
		{"host revoke", []string{"host", "revoke", second.Host}, second},
		{"credential delete", []string{"credential", "delete", "doomed", "--yes"}, nil},
		{"token revoke", []string{"token", "revoke", "spare"}, nil},
	} {
		admin.Do(t, step.args...)
		if _, reserved := space(t, server); reserved {
			t.Errorf("%s: the reserve is whole", step.what)
		}
		if step.host != nil {
			kit.Eventually(t, kit.Patience, step.what+" wipes the lease", func() bool { return step.host.Status(t).Leases == 0 })
			if got := step.host.Run(t, "get", "payroll", "--field", "password"); got.Code == 0 || got.Stdout != "" {
				t.Errorf("after %s a job gets %q, code %d", step.what, got.Stdout, got.Code)
			}
		}
	}
	unavailable(t, first.Run(t, "get", "unread", "--field", "password")) // what was freed is not for this
	adds.refused(t)
	if warning := admin.Do(t, "status").Stdout; !strings.Contains(warning, "the disk of the vault is full") {
		t.Errorf("status does not say it: %s", warning)
	}
	admin.Do(t, "seal")
	admin.Do(t, "unseal", "--key-file", server.KeyFile)
	adds.refused(t)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	kit.Eventually(t, kit.Patience, "credentials can be added again", func() bool { return adds.add(t).Code == 0 })
	first.Connected(t)
	password(t, first.Run(t, "get", "unread", "--field", "password"), "secret of unread")
	if _, reserved := space(t, server); !reserved {
		t.Error("the reserve is not whole again")
	}
	if warning := admin.Do(t, "status").Stdout; strings.Contains(warning, "full") {
		t.Errorf("status still says: %s", warning)
	}
	adds.demandStored(t)
	server.Stop()
	kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}.
		Run(t, "verify", "--data", server.Data, "--log-key", server.LogKey).Want(t, 0)
	server.Start(t) // which reads every record
	adds.demandStored(t)
	admin.Do(t, "audit", "verify")
	admin.Run(t, "credential", "show", "doomed").Want(t, 4)
}

// moveTo has the server go on with its data at another place.
func moveTo(t *testing.T, s *kit.Server, data string) {
	t.Helper()
	s.Stop()
	if out, err := exec.Command("cp", "-a", s.Data, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.Data = data
	s.Start(t)
}

// space is what the server's disk has left, and whether the reserve takes up all it is to.
func space(t *testing.T, s *kit.Server) (free int64, reserved bool) {
	t.Helper()
	free, err := kit.Free(s.Data)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(s.Data, "vault", "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	return free, info.Size() == 8<<20
}

// full demands that a command was refused for want of room, and says so and what to do.
func full(t *testing.T, r kit.Result) {
	t.Helper()
	if !saysFull(r) {
		t.Errorf("%s\nended with %d: %s%s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
	}
}

func saysFull(r kit.Result) bool {
	return r.Code == 1 && r.Stdout == "" && strings.Contains(r.Stderr, "the disk of the vault is full") && strings.Contains(r.Stderr, "free some space")
}

// unavailable demands that a job got nothing because the server cannot log it.
func unavailable(t *testing.T, r kit.Result) {
	t.Helper()
	if r.Code != 5 || r.Stdout != "" || !strings.Contains(r.Stderr, "disk of the server's vault is full") {
		t.Errorf("%s\nended with %d: %s%s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
	}
}

// writers add credentials, each with a value of its own.
type writers struct {
	admin kit.Admin

	mu     sync.Mutex
	n      int
	stored map[string]string // what was acknowledged
	absent []string          // and what was refused
}

func (w *writers) add(t *testing.T) kit.Result {
	t.Helper()
	w.mu.Lock()
	w.n++
	name := fmt.Sprintf("c%d", w.n)
	w.mu.Unlock()
	value := strings.Repeat(name+" ", 1000)
	got := w.admin.With(value).Run(t, "credential", "add", name, "--application", "generic-rest", "--auth-type", "basic",
		"--field", "url=https://api.example.com", "--field", "username=robot", "--secret", "password=-")
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case got.Code == 0:
		w.stored[name] = value
	case saysFull(got):
		w.absent = append(w.absent, name)
	default:
		t.Errorf("credential add ended with %d: %s%s", got.Code, got.Stdout, got.Stderr)
	}
	return got
}

// run adds from several sides while fill fills the disk, until nothing can be added any more.
func (w *writers) run(t *testing.T, fill func()) {
	t.Helper()
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for deadline, inARow := time.Now().Add(kit.Patience), 0; inARow < 5; {
				if w.add(t).Code == 0 {
					inARow = 0
				} else {
					inARow++
				}
				if time.Now().After(deadline) {
					t.Error("the disk does not get full")
					return
				}
			}
		})
	}
	kit.Eventually(t, kit.Patience, "some are stored before the disk is full", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.stored) >= 10
	})
	fill()
	group.Wait()
	if len(w.stored) < 3 || len(w.absent) < 15 {
		t.Errorf("%d credentials were added and %d refused", len(w.stored), len(w.absent))
	}
	t.Logf("%d credentials were added and %d refused", len(w.stored), len(w.absent))
}

// refused demands that no credential can be added.
func (w *writers) refused(t *testing.T) {
	t.Helper()
	for range 3 {
		full(t, w.add(t))
	}
}

// demandStored demands every credential that was acknowledged, with its value, and none that was refused.
func (w *writers) demandStored(t *testing.T) {
	t.Helper()
	var list struct{ Items []struct{ Name string } }
	w.admin.Do(t, "credential", "list", "--json").JSON(t, &list)
	there := map[string]bool{}
	for _, c := range list.Items {
		there[c.Name] = true
	}
	for _, name := range w.absent {
		if there[name] {
			t.Errorf("%s was refused and is there", name)
		}
	}
	for name, value := range w.stored {
		var shown struct{ Fields map[string]string }
		w.admin.Do(t, "credential", "show", name, "--reveal", "--json").JSON(t, &shown)
		if shown.Fields["password"] != value {
			t.Errorf("%s was acknowledged, and has a value of %d bytes, want %d", name, len(shown.Fields["password"]), len(value))
		}
	}
}
