package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/store/storetest"
	"github.com/strongroom/strongroom/test/kit"
)

// fullServer is a log and a vault on a small disk of their own.
type fullServer struct {
	*testServer
	disk, ballast string
	db            *store.DB
}

func newFullServer(t *testing.T, bytes int64) *fullServer {
	t.Helper()
	disk := kit.Disk(t, bytes)
	s := &fullServer{testServer: &testServer{folder: disk}, disk: disk, ballast: filepath.Join(disk, "reserve")}
	s.testLog = &testLog{t: t, arena: newArena(t), dir: filepath.Join(disk, "audit")}
	var err error
	if s.keys, _, err = Create(s.dir, s.arena, testVault); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	if s.root, err = s.arena.Random(32); err != nil {
		t.Fatal(err)
	}
	s.db = openStore(t, disk, store.Create)
	if s.vault, err = barrier.Create(storetest.Rerun(t, s.db), s.arena, s.root, testVault); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.vault.Close)
	return s
}

// reopen opens the log in the disk's folder with its reserve. Its clock stands still: no minute of a refusal is over.
func (s *fullServer) reopen() {
	s.t.Helper()
	log, err := openWith(s.dir, s.arena, segmentLimit, (&handClock{now: testStart}).time, s.ballast)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = log.Close() })
	s.Log = log
}

func (s *fullServer) append(action string) error {
	_, err := s.Append(s.t.Context(), Entry{Actor: "alice", Action: action, Target: "crm", Outcome: Allowed})
	return err
}

// store changes the vault with a record and so many bytes in others.
func (s *fullServer) store(action, id string, size int) error {
	e := Entry{Actor: "alice", Action: action, Target: id, Outcome: Allowed}
	return s.Change(s.t.Context(), s.vault, e, func(tx *barrier.Tx) error {
		err := tx.Put(noteKind, id, []byte("text"))
		for i := 0; i < size; i += 20_000 {
			err = errors.Join(err, tx.Put(noteKind, fmt.Sprintf("%s-%d", id, i), make([]byte, min(size-i, 20_000))))
		}
		return err
	})
}

// exhaust takes what room the disk and the files' last blocks have, until nothing ordinary is written any more.
func (s *fullServer) exhaust() (filler string) {
	s.t.Helper()
	filler = kit.Fill(s.t, s.disk, 0)
	for range 1000 {
		if err := s.append("credential.read"); errors.Is(err, ErrNoSpace) {
			return filler
		} else if err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("the disk is not full")
	return ""
}

// takes is how much room the file at path takes up, in bytes, and when that was last changed.
func takes(t *testing.T, path string) (bytes int64, changed time.Time) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Blocks * 512, time.Unix(stat.Ctim.Unix())
}

func (s *fullServer) demandReserve(want int64) {
	s.t.Helper()
	if got, _ := takes(s.t, s.ballast); got != want {
		s.t.Errorf("the reserve takes up %d bytes, want %d", got, want)
	}
}

// whole waits for the reserve to be made whole by itself.
func (s *fullServer) whole() {
	s.t.Helper()
	kit.Eventually(s.t, kit.Patience, "the reserve is whole", func() bool { return s.Reserved() == nil })
	s.demandReserve(reserveSize)
}

// TestBatchOnAFullDisk: of many writers whose batch meets the end of the disk in its middle, each is told the truth, and
// nothing of a refused entry stays behind: not in the file, and not in the numbers.
func TestBatchOnAFullDisk(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 32<<20)
	var acknowledged []string
	for round := range 4 {
		filler := kit.Fill(t, s.disk, int64(round)*16<<10)
		var group sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		for i := range 200 {
			group.Go(func() {
				e := Entry{Target: fmt.Sprintf("r%d-%d", round, i), Reason: strings.Repeat("x", 3000), Outcome: Allowed}
				_, err := s.Append(t.Context(), e)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					acknowledged = append(acknowledged, e.Target)
				case errors.Is(err, ErrNoSpace):
					refused++
				default:
					t.Errorf("Append: %v", err)
				}
			})
		}
		group.Wait()
		if refused < 150 {
			t.Errorf("only %d of 200 were refused", refused)
		}
		if report, err := Check(s.dir); err != nil || report.Size != uint64(len(acknowledged)) || report.Unfinished != 0 {
			t.Errorf("with a full disk: %+v, %v; %d were acknowledged", report, err, len(acknowledged))
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		seq, err := s.Append(t.Context(), Entry{Target: "again", Outcome: Allowed})
		acknowledged = append(acknowledged, "again")
		if err != nil || seq != uint64(len(acknowledged)) {
			t.Fatalf("with room again: %d, %v; %d are there", seq, err, len(acknowledged))
		}
	}
	s.demandReserve(reserveSize)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	got := targets(t, s.Log, s.keys)
	slices.Sort(got)
	slices.Sort(acknowledged)
	if !slices.Equal(got, acknowledged) {
		t.Errorf("%d entries are there, %d were acknowledged", len(got), len(acknowledged))
	}
}

// TestReserve: on a full disk what takes away is done with the reserve, from many sides at once, and gives it up once;
// the rest is refused before anything is written until the reserve is whole, which it becomes by itself.
func TestReserve(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 32<<20)
	s.demandReserve(reserveSize)
	s.refuse(turnedAway, 1)
	filler := s.exhaust()
	s.demandReserve(reserveSize) // ordinary entries do not get it
	if err := s.store("credential.create", "ordinary", 100); !errors.Is(err, ErrNoSpace) {
		t.Errorf("an ordinary change: %v", err)
	}
	if _, err := s.Append(t.Context(), Entry{Action: "grant.revoke", Outcome: Refused}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a refused revocation: %v", err)
	}
	s.demandReserve(reserveSize)

	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := s.store("grant.revoke", fmt.Sprintf("n%d", i), 20_000); err != nil {
				t.Errorf("an essential change: %v", err)
			}
			if err := s.append("vault.seal"); err != nil {
				t.Errorf("an essential entry: %v", err)
			}
		})
	}
	group.Wait()
	s.demandReserve(0)
	_, given := takes(t, s.ballast)
	rest := kit.Fill(t, s.disk, 0)
	for s.append("vault.seal") == nil { // until the last block of its file is full
	}
	if err := s.append("vault.seal"); !errors.Is(err, ErrNoSpace) {
		t.Errorf("an essential entry with nothing left: %v", err)
	}
	if _, changed := takes(t, s.ballast); changed != given {
		t.Error("the reserve was given up again")
	}
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(s.Reserved(), ErrNoSpace) {
		t.Errorf("Reserved: %v", s.Reserved())
	}

	story(t, s.Log, s.keys) // waits for the last outcome
	size, commit := s.Size(), s.vault.Commit()
	for range 3 {
		if err := s.append("credential.read"); !errors.Is(err, ErrNoSpace) {
			t.Errorf("an ordinary entry: %v", err)
		}
		if err := s.store("credential.create", "ordinary", 100); !errors.Is(err, ErrNoSpace) {
			t.Errorf("an ordinary change: %v", err)
		}
	}
	other := turnedAway
	other.Target = "another"
	if _, err := s.Append(t.Context(), other); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a refusal of another kind: %v", err)
	}
	s.refuse(turnedAway, 1) // the first of its kind is there
	s.FlushRefusals()
	if s.Size() != size || s.vault.Commit() != commit {
		t.Error("ordinary entries take the room that was freed for others")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.whole()
	s.FlushRefusals()
	if lines := s.lines(); lines[len(lines)-1] != "host:h1 host.connect h1 h1  refused: revoked (1 more in the last minute)" {
		t.Errorf("the log ends with %q", lines[len(lines)-1])
	}
	if err := errors.Join(s.append("credential.read"), s.store("credential.create", "ordinary", 100), s.db.Check()); err != nil {
		t.Error(err)
	}
	for i := range 20 {
		if !has(t, s.vault, fmt.Sprintf("n%d", i)) {
			t.Errorf("n%d is not stored", i)
		}
	}
	if _, _, err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// The reserve is for what takes away and for what that needs, and for nobody who was refused or failed.
func TestEssential(t *testing.T) {
	t.Parallel()
	for action, want := range map[string]bool{
		"grant.revoke": true, "host.revoke": true, "vault.seal": true, "token.revoke": true, "credential.delete": true, "user.disable": true,
		"grant.prune": true, "request.drop": true, "credential.purge": true, "vault.unseal": true, "log.recover": true,
		"grant.create": false, "credential.create": false, "credential.read": false, "credential.reveal": false, "user.login": false,
		"host.enroll": false, "host.renew": false, "share.add": false, "token.create": false, "": false,
	} {
		for outcome, counts := range map[Outcome]bool{Allowed: true, Refused: false, Failed: false} {
			if e := (Entry{Action: action, Outcome: outcome}); e.essential() != (want && counts) {
				t.Errorf("%s, %s: %t", action, outcome, e.essential())
			}
		}
	}
}

// TestStoreWithoutRoom: the log has room for the intent and the store none for the change. An ordinary change fails and
// the log says that nothing was stored; an essential one is stored with the reserve.
func TestStoreWithoutRoom(t *testing.T) {
	t.Parallel()
	s := newFullServer(t, 32<<20)
	if err := s.store("note.create", "n1", 100); err != nil {
		t.Fatal(err)
	}
	kit.Fill(t, s.disk, 64<<10)
	commit := s.vault.Commit()
	if err := s.store("note.create", "n2", 500_000); !errors.Is(err, ErrNoSpace) {
		t.Fatalf("a change without room: %v", err)
	}
	if s.vault.Commit() != commit || has(t, s.vault, "n2") {
		t.Error("something was stored")
	}
	s.demandReserve(reserveSize)
	if err := s.store("credential.delete", "n3", 500_000); err != nil {
		t.Fatal(err)
	}
	s.demandReserve(0)
	want := []string{"n1 allowed", "n2 failed the change failed, nothing was stored", "n3 allowed"}
	s.demandStory(want)
	if err := s.db.Check(); err != nil {
		t.Error(err)
	}
	if !has(t, s.vault, "n1") || has(t, s.vault, "n2") || !has(t, s.vault, "n3") {
		t.Error("the vault does not hold what the log says")
	}
	if _, _, err := s.testServer.reconcile(s.image()); err != nil {
		t.Error(err)
	}
}
