package test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/test/kit"
)

// verify runs strongroom-server verify.
func verify(t *testing.T, args ...string) kit.Result {
	t.Helper()
	return kit.Command{Program: filepath.Join(kit.Bin(t), "strongroom-server")}.Run(t, append([]string{"verify"}, args...)...)
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// seenBy is the checkpoint that a host keeps.
func seenBy(t *testing.T, host *kit.Agent, logKey string) (file string, size uint64) {
	t.Helper()
	file = filepath.Join(host.State, "checkpoint")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Parse(logKey, text)
	if err != nil {
		t.Fatal(err)
	}
	return file, c.Size
}

// Log and vault are both put back to an older copy, which agrees with itself. The host that has seen more finds it out,
// keeps what it holds and says what is wrong; the server learns it from the host.
func TestBothPutBack(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	host := server.Enroll(t)
	addLogin(t, admin, "crm", "a secret")
	admin.Do(t, "grant", "add", "all", "--credential", "crm", "--any-host")
	password(t, host.Run(t, "get", "crm", "--field", "password"), "a secret")
	vault, old, newest := filepath.Join(server.Data, "vault"), filepath.Join(server.Data, "old"), filepath.Join(server.Data, "newest")
	server.Stop()
	copyFolder(t, vault, old)

	server.Start(t)
	for _, name := range []string{"c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"} {
		addLogin(t, admin, name, "another")
	}
	host.Connected(t)
	_, before := seenBy(t, host, server.LogKey)
	server.Stop()
	server.Start(t) // what it signs now has all of it
	kit.Eventually(t, kit.Patience, "the host has seen the whole log", func() bool {
		_, size := seenBy(t, host, server.LogKey)
		return size > before
	})
	host.Connected(t)
	file, _ := seenBy(t, host, server.LogKey)
	verify(t, "--data", server.Data, "--checkpoint", "@"+file).Want(t, 0)

	server.Stop()
	copyFolder(t, vault, newest)
	copyFolder(t, old, vault)
	server.Start(t)
	const words = "this host does not trust the server's audit log: it is older than, or differs from, what this host saw at entry"
	kit.Eventually(t, kit.Patience, "the host says that the log was put back", func() bool {
		return strings.HasPrefix(host.Status(t).Why, words)
	})
	if s := host.Status(t); s.Connected || s.Health != "degraded" || s.Leases != 1 || !strings.Contains(s.Why, "tell an admin") {
		t.Errorf("the host's status: %+v", s)
	}
	password(t, host.Run(t, "get", "crm", "--field", "password"), "a secret")
	admin.Do(t, "audit", "verify")
	verify(t, "--data", server.Data).Want(t, 0)
	if r := verify(t, "--data", server.Data, "--checkpoint", "@"+file).Want(t, 1); !strings.Contains(r.Stderr, "the given checkpoint") {
		t.Errorf("verify --checkpoint says %q", r.Stderr)
	}
	var noted []kit.Entry
	kit.Eventually(t, kit.Patience, "the server has heard of it", func() bool {
		noted = admin.Audit(t, "--action", "log.behind")
		return len(noted) > 0
	})
	if len(noted) != 1 || noted[0].Outcome != "failed" || noted[0].Host != host.Host || !strings.Contains(noted[0].Reason, "put back to an older copy") {
		t.Errorf("the log has %+v", noted)
	}
	var status struct{ Warnings []string }
	admin.Do(t, "status", "--json").JSON(t, &status)
	if !slices.ContainsFunc(status.Warnings, func(w string) bool { return strings.Contains(w, "put back to an older copy") }) {
		t.Errorf("status warns of %q", status.Warnings)
	}

	// The way out that needs nobody: the newest copy.
	server.Stop()
	copyFolder(t, newest, vault)
	server.Start(t)
	host.Stop()
	host.Start(t)
	host.Connected(t)
}

// A log whose end was cut off, beside its own checkpoint.
func TestEndCutOff(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	var found struct {
		Entries  uint64
		Promised *uint64 `json:"promised_entries"`
	}
	for left := 5; ; left-- {
		began := time.Now()
		server.Stop()
		took := time.Since(began)
		verify(t, "--data", server.Data, "--json").Want(t, 0).JSON(t, &found)
		if found.Promised != nil && *found.Promised == found.Entries {
			break
		}
		// The last checkpoint waits no longer for a disk that is slow; then it is tried again.
		if took < 2*time.Second || left == 0 {
			t.Fatalf("a server that was stopped in %v promised %v of %d entries", took, found.Promised, found.Entries)
		}
		server.Start(t)
	}
	log := filepath.Join(server.Data, "vault", "audit")
	segments, err := filepath.Glob(filepath.Join(log, "*.seg")) // sorted
	if err != nil {
		t.Fatal(err)
	}
	segment := segments[len(segments)-1]
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	last := 125
	for next := last; next < len(data); next += 8 + int(binary.BigEndian.Uint32(data[next:])) {
		last = next
	}
	if err := os.Truncate(segment, int64(last)); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, "--data", server.Data).Want(t, 1); !strings.Contains(r.Stderr, "the checkpoint in "+log) {
		t.Errorf("verify says %q", r.Stderr)
	}
	server.Start(t)
	if noted := server.Admin.Audit(t, "--action", "log.behind"); len(noted) != 1 || !strings.HasPrefix(noted[0].Reason, "this server itself") {
		t.Errorf("the log has %+v", noted)
	}
	server.Stop()
	verify(t, "--data", server.Data).Want(t, 1)
	if err := os.Remove(filepath.Join(log, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, "--data", server.Data).Want(t, 0); !strings.Contains(r.Stdout, "none") {
		t.Errorf("without a checkpoint verify says %q", r.Stdout)
	}
}

// An entry is proven to whoever has the log key and nothing else, and each part of the proof counts.
func TestAuditProve(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin := server.Admin
	addLogin(t, admin, "crm", "a secret")
	file := filepath.Join(kit.Dir(t), "proof.json")
	var list struct {
		Items []struct {
			Seq    uint64
			Action string
		}
	}
	admin.Do(t, "audit", "list", "--action", "credential.create", "--json").JSON(t, &list)
	if len(list.Items) != 1 {
		t.Fatalf("the log has %+v", list.Items)
	}
	seq := fmt.Sprint(list.Items[0].Seq)
	shown := admin.Do(t, "audit", "prove", seq, "--log-key", server.LogKey, "--out", file)
	if !strings.Contains(shown.Stdout, "credential.create") || !strings.Contains(shown.Stdout, "how it ended, in entry\t"+fmt.Sprint(list.Items[0].Seq+1)) {
		t.Errorf("prove shows %q", shown.Stdout)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the saved proof: %v, %v", info, err)
	}
	verify(t, "--proof", "@"+file, "--log-key", server.LogKey).Want(t, 0)
	verify(t, "--proof", "@"+file).Want(t, 2)
	other := kit.NewServer(t)
	verify(t, "--proof", "@"+file, "--log-key", other.LogKey).Want(t, 1)
	admin.Run(t, "audit", "prove", seq, "--log-key", other.LogKey).Want(t, 1)
	admin.Run(t, "audit", "prove", "999999").Want(t, 4)
	admin.Run(t, "audit", "prove", "x").Want(t, 2)

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*checkpoint.Proof){
		"log key":    func(p *checkpoint.Proof) { p.LogKey = strings.Replace(p.LogKey, "+", "-", 1) },
		"size":       func(p *checkpoint.Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "\n", "\n1", 1) },
		"epoch":      func(p *checkpoint.Proof) { p.Checkpoint = strings.Replace(p.Checkpoint, "epoch 1", "epoch 2", 1) },
		"header":     func(p *checkpoint.Proof) { p.Header[31] ^= 1 },
		"frame":      func(p *checkpoint.Proof) { p.Frame[len(p.Frame)-1] ^= 1 },
		"checksum":   func(p *checkpoint.Proof) { p.Frame[4] ^= 1 },
		"plaintext":  func(p *checkpoint.Proof) { p.Plaintext[0] ^= 1 },
		"inclusion":  func(p *checkpoint.Proof) { p.Inclusion[0][0] ^= 1 },
		"the entry":  func(p *checkpoint.Proof) { p.Entry.Actor = "Admin" },
		"its number": func(p *checkpoint.Proof) { p.Entry.Seq++ },
	} {
		p, err := checkpoint.ParseProof(text)
		if err != nil {
			t.Fatal(err)
		}
		change(&p)
		altered, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if r := verify(t, "--proof", "@"+kit.File(t, string(altered)), "--log-key", server.LogKey); r.Code != 1 {
			t.Errorf("%s altered: verify ends with %d, want 1", what, r.Code)
		}
	}
	p, err := checkpoint.ParseProof(text)
	if err != nil {
		t.Fatal(err)
	}
	seen := kit.File(t, p.Checkpoint)
	verify(t, "--data", server.Data, "--checkpoint", "@"+seen).Want(t, 0) // beside the server
	for line := range strings.SplitAfterSeq(p.Checkpoint, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		altered := []byte(p.Checkpoint)
		altered[strings.Index(p.Checkpoint, line)+len(line)/2-1] ^= 1
		verify(t, "--data", server.Data, "--checkpoint", "@"+kit.File(t, string(altered))).Want(t, 1)
	}
}
