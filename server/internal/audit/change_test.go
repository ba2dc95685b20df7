package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/store/storetest"
	"github.com/strongroom/strongroom/shared/secret"
)

const noteKind barrier.Kind = "note"

// testServer is a log and a vault that belong together, in one folder.
type testServer struct {
	*testLog
	folder string
	root   *secret.Buffer
	vault  *barrier.Barrier
}

func newServer(t *testing.T) *testServer {
	t.Helper()
	s := &testServer{testLog: newLog(t, 2000)}
	s.folder = filepath.Dir(s.dir)
	var err error
	if s.root, err = s.arena.Random(32); err != nil {
		t.Fatal(err)
	}
	db := openStore(t, s.folder, store.Create)
	if s.vault, err = barrier.Create(storetest.Rerun(t, db), s.arena, s.root, testVault); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.vault.Close)
	return s
}

func openStore(t *testing.T, folder string, open func(string) (*store.DB, error)) *store.DB {
	t.Helper()
	db, err := open(filepath.Join(folder, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// image is a copy of what is on the disk, as a crash would leave it.
type image struct{ log, store map[string][]byte }

func (s *testServer) image() image {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.folder, "vault.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	return image{files(s.t, s.dir), map[string][]byte{"vault.db": data}}
}

// without the last n entries of the log.
func (i image) without(n int) image {
	names := segments(i.log)
	log := changed(i.log, names[len(names)-1], nil)
	data := i.log[names[len(names)-1]]
	at := ends(data)
	log[names[len(names)-1]] = data[:at[len(at)-1-n]]
	return image{log, i.store}
}

func segments(files map[string][]byte) (names []string) {
	for n := range 1000 {
		if name := segmentName(uint64(n)); files[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

// reconcile starts a server from an image and reconciles it.
func (s *testServer) reconcile(i image) (*Log, *barrier.Barrier, error) {
	s.t.Helper()
	db := openStore(s.t, folder(s.t, i.store), store.Open)
	vault, err := barrier.Open(storetest.Rerun(s.t, db), s.arena, s.root, testVault)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(vault.Close)
	log := s.open(folder(s.t, i.log), 2000)
	return log, vault, log.Reconcile(s.t.Context(), vault)
}

func (s *testServer) put(id string) {
	s.t.Helper()
	if err := put(s.t.Context(), s.Log, s.vault, id); err != nil {
		s.t.Fatal(err)
	}
}

func put(ctx context.Context, l *Log, b *barrier.Barrier, id string) error {
	e := Entry{Action: "note.create", Target: id, Outcome: Allowed}
	return l.Change(ctx, b, e, func(tx *barrier.Tx) error { return tx.Put(noteKind, id, []byte("text")) })
}

func has(t *testing.T, b *barrier.Barrier, id string) bool {
	t.Helper()
	err := b.View(func(tx *barrier.Tx) error {
		_, err := tx.Get(noteKind, id)
		return err
	})
	if err != nil && !errors.Is(err, barrier.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// story is the log, oldest first, as "target outcome reason".
func story(t *testing.T, l *Log, keys Keys) (all []string) {
	t.Helper()
	page, err := l.Read(t.Context(), keys, Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Items {
		line := strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Target, e.Outcome, e.Reason))
		all = append([]string{line}, all...)
	}
	return all
}

func TestChange(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	refused := errors.New("no, because of s3cret")
	err := s.Change(t.Context(), s.vault, Entry{Target: "n2", Outcome: Allowed}, func(tx *barrier.Tx) error {
		if err := tx.Put(noteKind, "n2", []byte("text")); err != nil {
			return err
		}
		return refused
	})
	if err != refused {
		t.Errorf("the error became %v", err)
	}
	s.put("n3")
	want := []string{"n1 allowed", "n2 failed the change failed, nothing was stored", "n3 allowed"}
	if diff := cmp.Diff(want, story(t, s.Log, s.keys)); diff != "" {
		t.Error(diff)
	}
	if !has(t, s.vault, "n1") || has(t, s.vault, "n2") || !has(t, s.vault, "n3") {
		t.Error("the vault does not hold what the log says")
	}
	size, root := s.vault.LogState()
	if have, err := s.rootAt(t.Context(), size); size != 5 || err != nil || have != root {
		t.Errorf("the vault has seen %d entries: %v", size, err)
	}
	log, vault, err := s.reconcile(s.image())
	if err != nil || !has(t, vault, "n3") {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, story(t, log, s.keys)); diff != "" {
		t.Error(diff)
	}
	if err := put(t.Context(), log, vault, "n4"); err != nil {
		t.Error(err)
	}
}

// TestIntentFirst: what is not logged does not happen, and what happens was logged before.
func TestIntentFirst(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	err := s.Change(t.Context(), s.vault, Entry{Target: "n2", Outcome: Allowed}, func(tx *barrier.Tx) error {
		if got := story(t, s.Log, s.keys); len(got) != 2 || got[1] != "n2 allowed under way" {
			t.Errorf("while storing, the log reads %q", got)
		}
		if report, err := Check(s.dir); err != nil || report.Size != 3 {
			t.Errorf("while storing, the disk has %+v, %v", report, err)
		}
		return tx.Put(noteKind, "n2", []byte("text"))
	})
	if err != nil {
		t.Fatal(err)
	}
	story(t, s.Log, s.keys) // waits for the outcome
	s.breakFile(unsyncable(t))
	commit := s.vault.Commit()
	if err := put(t.Context(), s.Log, s.vault, "n3"); !errors.Is(err, ErrFailed) {
		t.Errorf("Change without a log: %v", err)
	}
	if has(t, s.vault, "n3") || s.vault.Commit() != commit {
		t.Error("something was stored without a log")
	}
}

func TestChangeThatIsCancelledOrPanics(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.changing <- struct{}{} // another change is under way
	if err := put(ctx, s.Log, s.vault, "n1"); !errors.Is(err, context.Canceled) {
		t.Errorf("Change: %v", err)
	}
	<-s.changing
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Change(t.Context(), s.vault, Entry{Target: "n2", Outcome: Allowed}, func(*barrier.Tx) error { panic("oh") })
	}()
	s.put("n3")
	want := []string{"n2 failed the change failed, nothing was stored", "n3 allowed"}
	if diff := cmp.Diff(want, story(t, s.Log, s.keys)); diff != "" {
		t.Error(diff)
	}
}

func TestManyChanges(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	before := s.vault.Commit()
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := put(t.Context(), s.Log, s.vault, fmt.Sprintf("n%d", i)); err != nil {
				t.Error(err)
			}
			if _, err := s.Append(t.Context(), Entry{Action: "credential.read", Outcome: Allowed}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := s.vault.Commit(); got != before+20 {
		t.Errorf("commit %d", got)
	}
	for _, line := range story(t, s.Log, s.keys) {
		if !strings.HasSuffix(line, "allowed") {
			t.Errorf("the log says %q", line)
		}
	}
	if _, _, err := s.reconcile(s.image()); err != nil {
		t.Error(err)
	}
}

// TestCrashBetweenIntentAndCommit: the change was not stored, and the log says so from the next unsealing on.
func TestCrashBetweenIntentAndCommit(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	var crash image
	err := s.Change(t.Context(), s.vault, Entry{Target: "n2", Outcome: Allowed}, func(tx *barrier.Tx) error {
		crash = s.image()
		return tx.Put(noteKind, "n2", []byte("text"))
	})
	if err != nil {
		t.Fatal(err)
	}
	log, vault, err := s.reconcile(crash)
	if err != nil || has(t, vault, "n2") {
		t.Fatal(err)
	}
	want := []string{"n1 allowed", "n2 failed found not stored when the vault was unsealed"}
	if diff := cmp.Diff(want, story(t, log, s.keys)); diff != "" {
		t.Error(diff)
	}
	size := log.Size()
	if err := log.Reconcile(t.Context(), vault); err != nil || log.Size() != size {
		t.Errorf("reconciled again: %v, %d entries more", err, log.Size()-size)
	}
	if err := put(t.Context(), log, vault, "n3"); err != nil {
		t.Error(err)
	}
}

// TestCrashBetweenCommitAndOutcome: the change was stored, and the log says so from the next unsealing on.
func TestCrashBetweenCommitAndOutcome(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	s.put("n2")
	story(t, s.Log, s.keys) // waits for the outcome
	log, vault, err := s.reconcile(s.image().without(1))
	if err != nil || !has(t, vault, "n2") {
		t.Fatal(err)
	}
	want := []string{"n1 allowed", "n2 allowed found stored when the vault was unsealed"}
	if diff := cmp.Diff(want, story(t, log, s.keys)); diff != "" {
		t.Error(diff)
	}
	size := log.Size()
	if err := log.Reconcile(t.Context(), vault); err != nil || log.Size() != size {
		t.Errorf("reconciled again: %v, %d entries more", err, log.Size()-size)
	}
}

// TestStoreThatFailedAndStored: an outcome that says failed gives way to what the vault holds.
func TestStoreThatFailedAndStored(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	story(t, s.Log, s.keys)
	cut := s.image().without(1)
	failed := s.open(folder(t, cut.log), 2000)
	_, b, err := failed.enqueue(notCommitted, 1, &Entry{Outcome: Failed, Reason: reasonStore}, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-b.hashed
	log, _, err := s.reconcile(image{files(t, failed.dir), cut.store})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"n1 allowed found stored when the vault was unsealed"}
	if diff := cmp.Diff(want, story(t, log, s.keys)); diff != "" {
		t.Error(diff)
	}
}
