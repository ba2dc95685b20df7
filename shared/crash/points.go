//go:build crashpoints

package crash

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The environment of a test: where to die, NAME:N, which is the Nth time that the point is passed, or @FILE for a file
// that will say so once the test has made it, and is counted from then; the file that is told of every point that is
// passed, a line each; and lengths of time, each NAME=DURATION, with commas between them.
//
// Where N is more than 1 the program is killed some milliseconds later, and only who came to the point waits there: what
// others say meanwhile must hold.
const (
	dieAt     = "STRONGROOM_CRASH"
	logTo     = "STRONGROOM_CRASH_LOG"
	durations = "STRONGROOM_CRASH_DURATIONS"
)

var (
	victim = target{later: strings.TrimPrefix(os.Getenv(dieAt), "@")}
	hits   = open(os.Getenv(logTo))
)

func init() {
	if text := os.Getenv(dieAt); !strings.HasPrefix(text, "@") {
		victim = target{}
		victim.set(text)
	}
}

// target is where to die.
type target struct {
	mu    sync.Mutex
	later string // the file that will say where; empty: it is known
	name  string
	left  int  // times to pass the point; 0: nowhere
	late  bool // the rest of the program goes on for a moment
}

func (t *target) set(text string) {
	if text == "" {
		return
	}
	name, nth, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(nth)
	if err != nil || n < 1 {
		panic(dieAt + " is NAME:N")
	}
	t.name, t.left, t.late, t.later = name, n, n > 1, ""
}

// reached says whether this passing of a point is the one to die at.
func (t *target) reached(point string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.later != "" {
		if text, err := os.ReadFile(t.later); err == nil {
			t.set(string(text))
		}
	}
	if point != t.name || t.left == 0 {
		return false
	}
	t.left--
	return t.left == 0
}

func open(path string) *os.File {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	return f
}

// Point notes that it was passed, and kills the program where a test asked for that.
func Point(point string) {
	if hits != nil {
		if _, err := hits.WriteString(point + "\n"); err != nil {
			panic(err)
		}
	}
	if !victim.reached(point) {
		return
	}
	if victim.late {
		time.Sleep(5 * time.Millisecond)
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way: nothing behind the point is done
}

// Duration is what the test gave for name, or else shipped.
func Duration(name string, shipped time.Duration) time.Duration {
	for pair := range strings.SplitSeq(os.Getenv(durations), ",") {
		if text, ok := strings.CutPrefix(pair, name+"="); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				panic(err)
			}
			return d
		}
	}
	return shipped
}
