package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

type restored struct {
	Vault, CAFingerprint string
	Commit               uint64
	Epoch                int
	Sessions             int `json:"sessions_voided"`
	Tokens               int `json:"tokens_voided"`
	JoinTokens           int `json:"join_tokens_voided"`
	Hosts                int
}

func program(t *testing.T, name string) kit.Command {
	t.Helper()
	return kit.Command{Program: filepath.Join(kit.Bin(t), name)}
}

// takeBackup gives the backup's file.
func takeBackup(t *testing.T, a kit.Admin) string {
	t.Helper()
	file := filepath.Join(kit.Dir(t), "vault.backup")
	a.Do(t, "backup", "--out", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	return file
}

// A backup is taken while others write, and makes a vault again in which every value is what it was: with a new epoch,
// without the tokens of then, and with hosts that have certificates it does not know.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	there := addCredentials(t, s.Admin, 0, 4)
	s.Admin.Do(t, "grant", "add", "etl", "--credential", "crm-0", "--any-host")
	agent := s.Enroll(t)
	s.Admin.Do(t, "host", "join-token")
	s.Admin.Do(t, "token", "create", "deploy", "--out", filepath.Join(kit.Dir(t), "token"))
	var writing sync.WaitGroup
	writing.Go(func() { addCredentials(t, s.Admin, 4, 9) })
	file := takeBackup(t, s.Admin)
	writing.Wait()
	s.Admin.Run(t, "backup", "--out", file).Want(t, 2)
	addCredentials(t, s.Admin, 9, 10)
	if e := s.Admin.Audit(t, "--action", "vault.backup"); len(e) != 1 || e[0].Actor != "admin" || !strings.HasPrefix(e[0].Reason, "commit ") {
		t.Errorf("the log says %+v", e)
	}
	if hits := kit.Find(t, []string{"secret of crm-0", "generic-rest", "crm.example.com"}, filepath.Dir(file)); len(hits) > 0 {
		t.Errorf("the backup shows %v", hits)
	}
	s.Kill()

	data := filepath.Join(kit.Dir(t), "data")
	server := program(t, "strongroom-server")
	server.Run(t, "restore", "--data", s.Data, "--from", file, "--key-file", s.KeyFile).Want(t, 2)
	server.Run(t, "restore", "--data", data, "--from", file).Want(t, 2)
	foreign := kit.File(t, "strongroom-key-v1:"+strings.Repeat("00", 32)+"\n")
	server.Run(t, "restore", "--data", data, "--from", file, "--key-file", foreign).Want(t, 1)
	if left, err := filepath.Glob(filepath.Join(data, "*")); err != nil || len(left) > 0 {
		t.Errorf("a refused restore left %v, %v", left, err)
	}
	var out restored
	server.Run(t, "restore", "--data", data, "--from", file, "--key-file", s.KeyFile, "--json").Want(t, 0).JSON(t, &out)
	if out.Epoch != 2 || out.Hosts != 1 || out.JoinTokens != 2 || out.Sessions != 1 || out.Tokens != 1 {
		t.Errorf("%+v", out)
	}
	server.Run(t, "check", "--data", data, "--key-file", s.KeyFile).Want(t, 0)

	s.Data = data
	s.Start(t)
	s.Admin.Run(t, "whoami").Want(t, 3) // the old session
	s.Login(t)
	reveals(t, s.Admin, there)
	s.Admin.Run(t, "credential", "show", "crm-9").Want(t, 4) // it was added afterwards
	if e := s.Admin.Audit(t, "--action", "vault.restore"); len(e) != 4 || e[3].Actor != "system" || !strings.HasPrefix(e[3].Reason, "from a backup of ") {
		t.Errorf("the log says %+v", e)
	}
	agent.Connected(t)
	agent.Run(t, "get", "crm-0", "--field", "password").Want(t, 0)
	s.Admin.Do(t, "audit", "verify")
	takeBackup(t, s.Admin)
}

// A backup that was cut short or altered is refused by name, and leaves nothing behind.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	file := takeBackup(t, s.Admin)
	s.Kill()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	server, dir := program(t, "strongroom-server"), kit.Dir(t)
	head := bytes.IndexByte(whole[22:], '\n') + 22 // of the header
	at := func(i int) []byte {
		changed := bytes.Clone(whole)
		changed[i] ^= 0x20
		return changed
	}
	for what, text := range map[string][]byte{
		"empty": {}, "another file": []byte("SQLite format 3"), "cut in its header": whole[:100], "cut behind it": whole[:head+1],
		"cut by one byte": whole[:len(whole)-1], "cut in the middle": whole[:len(whole)/2], "longer": append(bytes.Clone(whole), 'x'),
		"its first byte": at(0), "the vault": at(60), "in the identity": at(head - 20), "in the age header": at(head + 30),
		"early": at(head + 500), "in the middle": at(len(whole) / 2), "its last byte": at(len(whole) - 1),
	} {
		broken, data := filepath.Join(dir, "broken"), filepath.Join(dir, "data")
		if err := os.WriteFile(broken, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r := server.Run(t, "restore", "--data", data, "--from", broken, "--key-file", s.KeyFile).Want(t, 1)
		if !strings.Contains(r.Stderr, "the backup is damaged") && !strings.Contains(r.Stderr, "this is no backup") {
			t.Errorf("%s: %s", what, r.Stderr)
		}
		if left, err := filepath.Glob(filepath.Join(data, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: it left %v, %v", what, left, err)
		}
	}
	server.Run(t, "restore", "--data", filepath.Join(dir, "data"), "--from", file, "--key-file", s.KeyFile).Want(t, 0)
}

// A restore that is killed leaves no vault, or all of it, and may be run again.
func TestRestoreCrashes(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	file := takeBackup(t, s.Admin)
	s.Kill()
	v, dir := kit.NewVictim(t, kit.CrashBin(t)), kit.Dir(t)
	for point, there := range map[string]bool{"vault.built": false, "vault.placed": true} {
		data := filepath.Join(dir, point)
		args := []string{"restore", "--data", data, "--from", file, "--key-file", s.KeyFile}
		v.Run(t, point+":1", "strongroom-server", args...).Want(t, -1)
		_, err := os.Stat(filepath.Join(data, "vault"))
		if there != (err == nil) {
			t.Errorf("%s: %v", point, err)
		}
		if !there {
			program(t, "strongroom-server").Run(t, args...).Want(t, 0)
		}
		program(t, "strongroom-server").Run(t, "check", "--data", data, "--key-file", s.KeyFile).Want(t, 0)
	}
}

// Shares of then open the backup, and fewer do not.
func TestRestoreWithShares(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	var added slot
	s.Admin.Do(t, "slot", "add", "--new-shares", "3", "--new-threshold", "2", "--key-file", s.KeyFile, "--json").JSON(t, &added)
	file := takeBackup(t, s.Admin)
	s.Kill()
	server, data := program(t, "strongroom-server"), filepath.Join(kit.Dir(t), "data")
	args := []string{"restore", "--data", data, "--from", file}
	one, other := "@"+kit.File(t, added.NewShares[0]), "@"+kit.File(t, added.NewShares[2])
	server.Run(t, append(args, "--share", one)...).Want(t, 1)
	server.Run(t, append(args, "--share", one, "--share", one)...).Want(t, 1)
	server.Run(t, append(args, "--share", one, "--share", other)...).Want(t, 0)
}

func TestCheckNamesTheFault(t *testing.T) {
	t.Parallel()
	s := kit.NewServer(t)
	addCredentials(t, s.Admin, 0, 2)
	server := program(t, "strongroom-server")
	check := func(code int, says string, flags ...string) {
		t.Helper()
		r := server.Run(t, append([]string{"check", "--data", s.Data}, flags...)...).Want(t, code)
		if !strings.Contains(r.Stdout+r.Stderr, says) {
			t.Errorf("it says %q %q, want %q", r.Stdout, r.Stderr, says)
		}
	}
	check(1, "stop the server on this folder first")
	older, err := os.ReadFile(filepath.Join(s.Data, "vault", "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	addCredentials(t, s.Admin, 2, 3)
	s.Stop() // with a checkpoint of all that was logged
	before := listing(t, s.Data)
	check(0, "whole")
	check(0, "commit", "--key-file", s.KeyFile)
	check(1, "does not open this vault", "--key-file", kit.File(t, "strongroom-key-v1:"+strings.Repeat("00", 32)+"\n"))
	if after := listing(t, s.Data); after != before {
		t.Errorf("it changed something:\n%s\n%s", before, after)
	}
	segments, err := filepath.Glob(filepath.Join(s.Data, "vault", "audit", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	all := func(file []byte) []byte { return bytes.Repeat([]byte("x"), len(file)) }
	for _, fault := range []struct {
		name   string
		damage func(file []byte) []byte
		says   string
	}{
		{"seal.json", all, "header is damaged"},
		{"vault.db", all, "file is damaged"},
		{"vault.db", func(file []byte) []byte {
			file[os.Getpagesize()] = 7
			return file
		}, "file is damaged: page 1 calls itself 7: move DIR/vault away and run strongroom-server restore with the last backup"},
		{"audit/log.json", all, "audit log is damaged"},
		{"audit/checkpoint", all, "malformed"},
		{"audit/" + filepath.Base(segments[len(segments)-1]), func(file []byte) []byte { return file[:len(file)-40] },
			"the audit log does not extend the checkpoint: it has "},
		{"console.pem", all, "console.pem: tls: failed to find any PEM data in certificate input: put that file back from any copy of DIR/vault, " +
			"however old, or move DIR/vault away and run strongroom-server restore with the last backup, which makes new ones"},
	} {
		path := filepath.Join(s.Data, "vault", fault.name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, fault.damage(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		check(1, fault.says)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Data, "vault", "vault.db"), older, 0o600); err != nil {
		t.Fatal(err)
	}
	check(0, "whole")
	check(1, "the vault is older than its audit log", "--key-file", s.KeyFile)
}

// listing is every file below a folder with its length.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"*", "vault/*", "vault/audit/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err == nil {
				fmt.Fprintf(&all, "%s %x\n", file, len(text))
			}
		}
	}
	return all.String()
}
