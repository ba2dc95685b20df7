package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/strongroom/strongroom/shared/secret"
)

const testVault = "00112233445566778899aabbccddeeff"

var testStart = time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)

// testLog is a log on disk with its keys. Its clock is a second later at each reading.
type testLog struct {
	*Log
	t     *testing.T
	arena *secret.Arena
	dir   string
	keys  Keys
}

func newArena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func newLog(t *testing.T, limit int64) *testLog {
	t.Helper()
	l := &testLog{t: t, arena: newArena(t), dir: filepath.Join(t.TempDir(), "audit")}
	var err error
	if l.keys, _, err = Create(l.dir, l.arena, testVault); err != nil {
		t.Fatal(err)
	}
	l.Log = l.open(l.dir, limit)
	return l
}

// open opens the log in dir, which may be a copy, and closes it when the test ends.
func (l *testLog) open(dir string, limit int64) *Log {
	l.t.Helper()
	log, err := open(dir, l.arena, limit, ticking())
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = log.Close() })
	return log
}

func ticking() func() time.Time {
	now := testStart
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

// add appends entries whose targets are numbered, and waits until they are in the tree, as what signs it does not.
func (l *testLog) add(n int) {
	l.t.Helper()
	for range n {
		add(l.t, l.Log)
	}
}

func add(t testing.TB, l *Log) {
	t.Helper()
	e := Entry{Actor: "alice", Action: "credential.read", Target: fmt.Sprintf("c%d", l.Size()+1), Outcome: Allowed}
	if _, err := l.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if _, err := l.snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// targets are the targets in the log, oldest first; an entry without one shows its reason.
func targets(t testing.TB, l *Log, keys Keys) []string {
	t.Helper()
	page, err := l.Read(t.Context(), keys, Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range slices.Backward(page.Items) {
		if e.Target == "" {
			e.Target = e.Reason
		}
		all = append(all, e.Target)
	}
	return all
}

// files are the files of a folder, by name.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, file := range list {
		if all[file.Name()], err = os.ReadFile(filepath.Join(dir, file.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// folder makes a folder of files. Some tests make a thousand, so it is in memory where that is to be had: nothing that
// they ask depends on the disk.
func folder(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "audit")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func changed(files map[string][]byte, name string, data []byte) map[string][]byte {
	c := maps.Clone(files)
	c[name] = data
	return c
}

func badSeq(err error) uint64 {
	var bad *BadEntry
	if !errors.As(err, &bad) || !errors.Is(err, ErrCorrupt) {
		return 0
	}
	return bad.Seq
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	want := []Entry{
		{Actor: "alice", Action: "credential.read", Target: "salesforce-prod", Host: "5f1c", Job: "user=ci pid=7", Outcome: Allowed},
		{Actor: "mallory", Action: "user.login", Outcome: Refused, Reason: "wrong name or password"},
		{Actor: "system", Action: "vault.unseal", Target: strings.Repeat("ü", MaxText/2), Outcome: Failed, Reason: "\x00\xff"},
	}
	for i := range want {
		given := want[i]
		given.Seq, given.Time = 99, time.Unix(1, 0) // what the caller sets here does not count
		seq, err := l.Append(t.Context(), given)
		if err != nil || seq != uint64(i+1) {
			t.Fatalf("Append: %d, %v", seq, err)
		}
		// For a refusal the clock is read once more.
		want[i].Seq, want[i].Time = seq, testStart.Add([]time.Duration{1, 3, 4}[i]*time.Second)
	}
	slices.Reverse(want)
	again := l.open(folder(t, files(t, l.dir)), segmentLimit)
	for _, log := range []*Log{l.Log, again} {
		page, err := log.Read(t.Context(), l.keys, Query{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Page{Items: want}, page); diff != "" {
			t.Error(diff)
		}
		if log.Size() != 3 {
			t.Errorf("Size is %d", log.Size())
		}
	}
}

func TestEntriesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	for _, test := range []struct {
		entry Entry
		want  string
	}{
		{Entry{Outcome: "done"}, `audit entry: outcome "done" is none of allowed, refused, failed`},
		{Entry{}, `audit entry: outcome "" is none of allowed, refused, failed`},
		{Entry{Outcome: Allowed, Job: strings.Repeat("x", 4097)}, "audit entry: job has 4097 bytes, at most 4096 fit"},
	} {
		_, err := l.Append(t.Context(), test.entry)
		if !errors.Is(err, ErrEntry) || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	l.add(1) // none of them stopped the log
	if l.Size() != 1 {
		t.Errorf("Size is %d", l.Size())
	}
}

func TestCancelledCallers(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, Entry{Outcome: Allowed}); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	l.add(1)
	if _, err := l.Read(ctx, l.keys, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	if _, _, err := l.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v", err)
	}
	if l.Size() != 1 {
		t.Errorf("Size is %d", l.Size())
	}
}

func TestClosedLog(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	l.add(1)
	held := l.arena.InUse()
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	if l.arena.InUse() >= held {
		t.Error("the segment's key is still in the arena")
	}
	if _, err := l.Append(t.Context(), Entry{Outcome: Allowed}); !errors.Is(err, ErrClosed) {
		t.Errorf("Append: %v", err)
	}
}

func TestSegmentsEndAtTheirLimit(t *testing.T) {
	t.Parallel()
	l := newLog(t, 600)
	l.add(40)
	held := l.arena.InUse()
	l.add(40)
	if now := l.arena.InUse(); now != held {
		t.Errorf("%d bytes in the arena, %d before: keys of full segments stay", now, held)
	}
	segments := 0
	for name, data := range files(t, l.dir) {
		if strings.HasSuffix(name, ".seg") {
			segments++
			if len(data) > 600 || len(data) < 300 {
				t.Errorf("%s has %d bytes", name, len(data))
			}
		}
	}
	if segments < 20 {
		t.Errorf("%d segments", segments)
	}
	again := l.open(folder(t, files(t, l.dir)), 600)
	got := targets(t, again, l.keys)
	if len(got) != 80 || got[0] != "c1" || got[79] != "c80" {
		t.Errorf("read %v", got)
	}
}

func TestManyWriters(t *testing.T) {
	t.Parallel()
	l := newLog(t, 4000)
	const writers, each = 16, 40
	var group sync.WaitGroup
	var mu sync.Mutex
	seqs := map[uint64]string{}
	for w := range writers {
		group.Go(func() {
			for i := range each {
				target := fmt.Sprintf("w%d-%d", w, i)
				seq, err := l.Append(t.Context(), Entry{Target: target, Outcome: Allowed})
				if err != nil {
					t.Error(err)
					return
				}
				if l.Size() < seq {
					t.Errorf("entry %d was acknowledged while %d are durable", seq, l.Size())
				}
				mu.Lock()
				seqs[seq] = target
				mu.Unlock()
			}
		})
	}
	group.Go(func() {
		for l.Size() < writers*each/2 && !t.Failed() {
			if _, _, err := l.Verify(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := l.Read(t.Context(), l.keys, Query{Limit: 10}); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	page, err := l.open(folder(t, files(t, l.dir)), 4000).Read(t.Context(), l.keys, Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	for _, e := range page.Items {
		got[e.Seq] = e.Target
	}
	if diff := cmp.Diff(seqs, got); diff != "" || len(got) != writers*each {
		t.Errorf("%d entries: %s", len(got), diff)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	dir := filepath.Join(t.TempDir(), "audit")
	_, logKey, err := Create(dir, a, testVault)
	if err != nil {
		t.Fatal(err)
	}
	if verifier, err := note.NewVerifier(logKey); err != nil || !strings.HasPrefix(verifier.Name(), "strongroom-audit/") {
		t.Errorf("the log key %q: %v", logKey, err)
	}
	report, err := Check(dir)
	if err != nil || report.LogKey != logKey || report.Size != 0 {
		t.Errorf("Check: %+v, %v", report, err)
	}
	held := a.InUse()
	if _, _, err := Create(dir, a, testVault); !errors.Is(err, ErrExists) {
		t.Errorf("Create again: %v", err)
	}
	if _, _, err := Create(t.TempDir(), a, "00112233-4455"); err == nil || !strings.Contains(err.Error(), "vault: not 32 lower-case hex") {
		t.Errorf("Create with a bad vault: %v", err)
	}
	if a.InUse() != held {
		t.Error("keys of logs that were not made stay in the arena")
	}
	for name := range files(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
