package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

type slot struct {
	ID, Kind          string
	Threshold, Shares int
	NewShares         []string `json:"new_shares"`
	ShareFiles        []string `json:"share_files"`
}

func slots(t *testing.T, a kit.Admin) []slot {
	t.Helper()
	var list struct{ Items []slot }
	a.Do(t, "slot", "list", "--json").JSON(t, &list)
	return list.Items
}

// opensWith seals the vault and opens it in one way, each time with one attempt more.
func opensWith(t *testing.T, a kit.Admin, code int, flags ...string) {
	t.Helper()
	a.Do(t, "seal")
	a.Run(t, append([]string{"unseal"}, flags...)...).Want(t, code)
}

func TestSlotsWhileServing(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	dir := kit.Dir(t)
	only := slots(t, s.Admin)
	if len(only) != 1 || only[0].Kind != "key_file" {
		t.Fatalf("at first: %+v", only)
	}
	phraseFile, wrong := "@"+kit.File(t, phrase+"\n"), "@"+kit.File(t, phrase+"s")
	s.Admin.Run(t, "slot", "remove", only[0].ID, "--key-file", s.KeyFile).Want(t, 1)

	var added slot
	s.Admin.Do(t, "slot", "add", "--new-passphrase", phraseFile, "--key-file", s.KeyFile, "--json").JSON(t, &added)
	s.Admin.Run(t, "slot", "add", "--new-shares", "3", "--new-threshold", "2", "--passphrase", wrong).Want(t, 3)
	var shared slot
	out := filepath.Join(dir, "shares")
	s.Admin.Do(t, "slot", "add", "--new-shares", "3", "--new-threshold", "2", "--out", out, "--passphrase", phraseFile, "--json").JSON(t, &shared)
	if len(shared.ShareFiles) != 3 || len(shared.NewShares) != 0 || shared.Threshold != 2 {
		t.Errorf("%+v", shared)
	}
	if info, err := os.Stat(shared.ShareFiles[2]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a share's file: %v, %v", info, err)
	}
	// Two shares are an authority, and the first slot goes.
	gone := s.Admin.Do(t, "slot", "remove", only[0].ID, "--share", "@"+shared.ShareFiles[2], "--share", "@"+shared.ShareFiles[0])
	if !strings.Contains(gone.Stderr, "old copy of seal.json") {
		t.Errorf("it does not say what removing does not do: %s", gone.Stderr)
	}
	s.Admin.Run(t, "slot", "list").Want(t, 0)
	if now := slots(t, s.Admin); len(now) != 2 || now[0].ID != added.ID || now[1].ID != shared.ID {
		t.Errorf("%+v", now)
	}
	var said []string
	for _, e := range s.Admin.Audit(t, "--action", "slot.add") {
		said = append(said, e.Outcome+" "+e.Reason)
	}
	for _, e := range s.Admin.Audit(t, "--action", "slot.remove") {
		said = append(said, e.Outcome+" "+e.Reason)
	}
	const want = "allowed shamir: done|allowed shamir: begun|refused wrong passphrase|allowed passphrase: done|allowed passphrase: begun|" +
		"allowed key_file: done|allowed key_file: begun"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("the log says\n%s, want\n%s", got, want)
	}
	hits := kit.Find(t, []string{phrase}, s.Data)
	if len(hits) > 0 {
		t.Errorf("the passphrase is in %v", hits)
	}
	// The server remembers over a restart, and the key file is of no more use.
	s.Kill()
	refused := kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}.Run(t, "run", "--data", s.Data, "--key-file", s.KeyFile,
		"--agents", "127.0.0.1:0", "--console", "127.0.0.1:0").Want(t, 1)
	if !strings.Contains(refused.Stderr, "not sealed this way") {
		t.Errorf("the old key file: %s", refused.Stderr)
	}
	s.Process = kit.Start(t, "strongroom-server", "run", "--data", s.Data, "--passphrase", phraseFile,
		"--agents", s.Agents, "--console", s.Console[len("https://"):])
	if ready := s.Ready(); ready["sealed"] != "false" {
		t.Errorf("with the passphrase: %v", ready)
	}
	opensWith(t, s.Admin, 0, "--share", "@"+shared.ShareFiles[0])
	s.Admin.Run(t, "slot", "list").Want(t, 5)
	s.Admin.Do(t, "unseal", "--share", "@"+shared.ShareFiles[1])
	// Five attempts a minute are all, also for who has the right one. These take no time, as one with a passphrase does.
	for range 5 {
		s.Admin.Run(t, "slot", "remove", added.ID, "--key-file", s.KeyFile).Want(t, 3)
	}
	late := s.Admin.Run(t, "slot", "remove", added.ID, "--passphrase", phraseFile).Want(t, 3)
	if !strings.Contains(late.Stderr, "too many attempts") {
		t.Errorf("after five attempts: %s", late.Stderr)
	}
	if logged := s.Admin.Audit(t, "--action", "slot.remove"); logged[0].Outcome != "refused" || logged[0].Reason != "too many attempts" {
		t.Errorf("logged last: %+v", logged[0])
	}
	if now := slots(t, s.Admin); len(now) != 2 {
		t.Errorf("%+v", now)
	}
}

// A new key file is on the disk before the server hears of it, is never written over, and says what it is where the
// server refuses.
func TestSlotWithANewKeyFile(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	fresh := filepath.Join(kit.Dir(t), "second.key")
	foreign := kit.File(t, "strongroom-key-v1:"+strings.Repeat("00", 32)+"\n")
	refused := s.Admin.Run(t, "slot", "add", "--new-key-file", fresh, "--key-file", foreign).Want(t, 3)
	if !strings.Contains(refused.Stderr, fresh) {
		t.Errorf("it does not say that %s is there: %s", fresh, refused.Stderr)
	}
	before, err := os.ReadFile(fresh)
	if err != nil {
		t.Fatal(err)
	}
	s.Admin.Run(t, "slot", "add", "--new-key-file", fresh, "--key-file", s.KeyFile).Want(t, 2)
	if after, err := os.ReadFile(fresh); err != nil || string(after) != string(before) {
		t.Errorf("a file that was there: %v", err)
	}
	if err := os.Remove(fresh); err != nil {
		t.Fatal(err)
	}
	var added slot
	s.Admin.Do(t, "slot", "add", "--new-key-file", fresh, "--key-file", s.KeyFile, "--json").JSON(t, &added)
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	opensWith(t, s.Admin, 0, "--key-file", fresh)
	for _, usage := range [][]string{
		{"add", "--key-file", s.KeyFile}, {"add", "--new-key-file", "x"}, {"add", "--new-shares", "3", "--key-file", "x"},
		{"add", "--new-passphrase", "in the clear", "--key-file", s.KeyFile}, {"remove", added.ID, "--passphrase", phrase},
		{"remove", added.ID}, {"add", "--new-key-file", "x", "--out", "y", "--key-file", "z"},
	} {
		r := s.Admin.Run(t, append([]string{"slot"}, usage...)...).Want(t, 2)
		if strings.Contains(r.Stderr, phrase) || strings.Contains(r.Stderr, "clear") {
			t.Errorf("%v: a secret is in %q", usage, r.Stderr)
		}
	}
}

// The server is killed before and after the header is written: it opens with what it had, and with what was added
// exactly where that is in the header.
func TestSlotCrashes(t *testing.T) {
	t.Parallel()
	for point, added := range map[string]bool{"slot.begun": false, "slot.written": true} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			v := newVictimServer(t)
			fresh := filepath.Join(kit.Dir(t), "second.key")
			v.Arm(t, point+":1")
			v.admin.Run(t, "slot", "add", "--new-key-file", fresh, "--key-file", v.keyFile).Want(t, 5)
			<-v.process.Ended()
			v.start(t)
			if n := len(slots(t, v.admin)); n != 1 && !added || n != 2 && added {
				t.Errorf("%d slots", n)
			}
			code := 3
			if added {
				code = 0
			}
			opensWith(t, v.admin, code, "--key-file", fresh)
			v.admin.Do(t, "unseal", "--key-file", v.keyFile)
			v.admin.Do(t, "audit", "verify")
		})
	}
}

// victimServer is a server with crash points, and its admin.
type victimServer struct {
	*kit.Victim
	data, keyFile, fingerprint string
	agents, console            string
	process                    *kit.Process
	admin                      kit.Admin
}

func newVictimServer(t *testing.T) *victimServer {
	t.Helper()
	dir := kit.Dir(t)
	v := &victimServer{Victim: kit.NewVictim(t, kit.CrashBin(t)), data: filepath.Join(dir, "data"), keyFile: filepath.Join(dir, "unseal.key"),
		agents: kit.Address(t), console: kit.Address(t)}
	var made struct {
		CAFingerprint string `json:"ca_fingerprint"`
		AdminPassword string `json:"admin_password"`
	}
	v.Run(t, "", "strongroom-server", "init", "--data", v.data, "--key-file", v.keyFile, "--json").Want(t, 0).JSON(t, &made)
	v.fingerprint = made.CAFingerprint
	token := filepath.Join(dir, "token")
	v.admin = kit.Admin{Command: kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom"), Env: []string{
		"STRONGROOM_SERVER=https://" + v.console, "STRONGROOM_CA_FINGERPRINT=" + v.fingerprint, "STRONGROOM_TOKEN_FILE=" + token,
	}}}
	v.start(t)
	v.admin.Do(t, "login", "--user", "admin", "--password", "@"+kit.File(t, made.AdminPassword), "--token-out", token)
	return v
}

func (v *victimServer) start(t *testing.T) {
	t.Helper()
	v.process = v.Start(t, "", "strongroom-server", "run", "--data", v.data, "--key-file", v.keyFile, "--agents", v.agents, "--console", v.console)
	if !v.process.Serves() {
		t.Fatal("the server was killed too early")
	}
}
