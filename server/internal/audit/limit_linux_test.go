package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

const limitedDir = "AUDIT_TEST_LIMITED_DIR"

// TestWriteThatEndsHalfWay runs itself in a process whose files may not grow beyond a size, so that the kernel takes
// the first bytes of an entry and refuses the rest: the log takes them back and goes on when there is room again. All
// that was acknowledged is there afterwards, and nothing else.
func TestWriteThatEndsHalfWay(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(limitedDir); dir != "" {
		appendUntilRefused(dir)
		os.Exit(0) // what the testing package writes at its end might not fit either
	}
	l := newLog(t, segmentLimit)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriteThatEndsHalfWay$", "-test.count=1")
	child.Env = append(os.Environ(), limitedDir+"="+l.dir)
	out, err := child.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "acknowledged 30\n") {
		t.Fatalf("%v: %s", err, out)
	}
	report, err := Check(l.dir)
	if err != nil || report.Size != 31 || report.Unfinished != 0 {
		t.Errorf("Check: %+v, %v", report, err)
	}
	got := targets(t, l.open(l.dir, segmentLimit), l.keys)
	if len(got) != 31 || got[29] != "c30" || got[30] != "again" {
		t.Errorf("read %v", got)
	}
	if written := files(t, l.dir); len(written[segmentName(1)]) != 125+30*118+120 || len(written) != 2 {
		t.Errorf("%d files, the segment has %d bytes", len(written), len(written[segmentName(1)]))
	}
}

func appendUntilRefused(dir string) {
	a, err := secret.NewArena(64 << 10)
	demand(err)
	l, err := Open(dir, a)
	demand(err)
	// An entry has 70 + 16 + 1 + 6*2 + 3 + 16 bytes.
	size := uint64(125 + 30*118 + 40)
	var before syscall.Rlimit
	demand(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before))
	demand(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: before.Max}))
	for n := 1; ; n++ {
		_, err := l.Append(context.Background(), Entry{Target: fmt.Sprintf("c%02d", n), Outcome: Allowed})
		if err == nil {
			continue
		}
		for range 2 {
			if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.EFBIG) || errors.Is(err, ErrFailed) {
				demand(fmt.Errorf("not refused as it must be: %w", err))
			}
			_, err = l.Append(context.Background(), Entry{Target: "again", Outcome: Allowed})
		}
		demand(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before))
		seq, err := l.Append(context.Background(), Entry{Target: "again", Outcome: Allowed})
		demand(err)
		// What was taken back takes up no more of the segment than it did before.
		if left := l.limit - (125 + 30*118 + 120); l.room != left {
			demand(fmt.Errorf("the segment has room for %d bytes, want %d", l.room, left))
		}
		if seq != uint64(n) {
			demand(fmt.Errorf("entry %d follows %d", seq, n-1))
		}
		fmt.Printf("acknowledged %d\n", n-1)
		return
	}
}

func demand(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
