package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

const startDir = "AUDIT_TEST_START_DIR"

// nobody owns no file that the test does not give away.
const nobody = 65534

// TestSegmentThatCannotBeStarted runs itself in processes of which the kernel takes, for a while, what a new segment
// needs. That refuses those entries only: nothing of them is in the log, and it goes on by itself afterwards.
func TestSegmentThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(startDir); dir != "" {
		refuseSegments(dir)
		os.Exit(0) // the testing package would look for folders that this user may not see
	}
	l := newLog(t, three)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // whom no mode of a folder keeps out
		for _, name := range []string{".", "log.json"} {
			if err := os.Chown(filepath.Join(l.dir, name), nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSegmentThatCannotBeStarted$", "-test.count=1")
	child.Env = append(os.Environ(), startDir+"="+l.dir)
	if out, err := child.CombinedOutput(); err != nil || string(out) != "went on\n" {
		t.Fatalf("%v: %s", err, out)
	}
	want := []string{"c1", "c2", "c3", "c4", "c5", "c6", "c7"}
	if got := targets(t, l.open(l.dir, three), l.keys); !slices.Equal(got, want) {
		t.Errorf("read %v", got)
	}
}

func refuseSegments(dir string) {
	a, err := secret.NewArena(64 << 10)
	demand(err)
	// A path that does not go through the folders above.
	demand(os.Chdir(dir))
	if os.Getuid() == 0 {
		demand(syscall.Setuid(nobody))
	}
	l, err := open(".", a, three, ticking())
	demand(err)
	appendThree(l)

	var files syscall.Rlimit
	demand(syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	demand(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1, Max: files.Max}))
	demandRefused(l, 3, syscall.EMFILE)
	demand(syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files))
	appendThree(l)

	// The folder can be written, and not opened: the segment gets its name, and then its start fails.
	demand(os.Chmod(".", 0o300))
	demandRefused(l, 6, syscall.EACCES)
	if _, err := os.Lstat(file7); err != nil {
		demand(fmt.Errorf("the start failed before the rename: %w", err))
	}
	demand(os.Chmod(".", 0o700))
	demand(appendOne(l))
	if size, _, err := l.Verify(context.Background()); size != 7 || err != nil {
		demand(fmt.Errorf("verified %d entries: %w", size, err))
	}
	demand(l.Close())
	fmt.Println("went on")
}

// appendOne has entries of the size that three counts with.
func appendOne(l *Log) error {
	e := Entry{Actor: "alice", Action: "credential.read", Target: fmt.Sprintf("c%d", l.Size()+1), Outcome: Allowed}
	_, err := l.Append(context.Background(), e)
	return err
}

func appendThree(l *Log) {
	for range 3 {
		demand(appendOne(l))
	}
}

// demandRefused has several writers refused at a time, twice.
func demandRefused(l *Log, size uint64, why error) {
	for range 2 {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if err := appendOne(l); !errors.Is(err, errNoSegment) || !errors.Is(err, why) || errors.Is(err, ErrFailed) {
					demand(fmt.Errorf("not refused as it must be: %w", err))
				}
			})
		}
		group.Wait()
		if l.Size() != size {
			demand(fmt.Errorf("%d entries are durable", l.Size()))
		}
	}
}

// TestOutcomeThatWasLost: the log goes on after a segment could not be started, so a change whose outcome was to go
// there must not stay under way for ever; and one whose intent was to go there did not happen.
func TestOutcomeThatWasLost(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	want := []string{"n1 allowed"}
	s.demandStory(want)
	s.mu.Lock()
	s.room = 130 // for an intent, and no outcome
	s.mu.Unlock()
	inTheWay := filepath.Join(s.dir, file4)
	if err := os.WriteFile(inTheWay, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.put("n2")
	s.demandStory(append(want, "n2 allowed under way"))
	for range 2 {
		if err := put(t.Context(), s.Log, s.vault, "n3"); !errors.Is(err, errNoSegment) {
			t.Errorf("Change: %v", err)
		}
	}
	if has(t, s.vault, "n3") || s.Size() != 3 {
		t.Errorf("something was stored without a log of %d entries", s.Size())
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	s.put("n3")
	s.demandStory(append(want, "n2 allowed", "n3 allowed"))
	if s.Size() != 6 {
		t.Errorf("%d entries, want an intent and an outcome of each", s.Size())
	}
	if _, _, err := s.reconcile(s.image()); err != nil {
		t.Error(err)
	}
}

func (s *testServer) demandStory(want []string) {
	s.t.Helper()
	if got := story(s.t, s.Log, s.keys); !slices.Equal(got, want) {
		s.t.Errorf("the log reads %q, want %s", got, strings.Join(want, ", "))
	}
}
