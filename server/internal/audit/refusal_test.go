package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// handClock is a clock that stands still until it is set.
type handClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *handClock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newHandLog is a log with such a clock.
func newHandLog(t *testing.T) (*testLog, *handClock) {
	t.Helper()
	l := newLog(t, segmentLimit)
	clock := &handClock{now: testStart}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.Log, err = openWith(l.dir, l.arena, segmentLimit, clock.time, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, clock
}

var turnedAway = Entry{Actor: "host:h1", Action: "host.connect", Target: "h1", Host: "h1", Outcome: Refused, Reason: "revoked"}

// refuse appends a refusal whose entry must have the number seq.
func (l *testLog) refuse(e Entry, seq uint64) {
	l.t.Helper()
	if got, err := l.Append(l.t.Context(), e); err != nil || got != seq {
		l.t.Fatalf("entry %d, %v; want %d", got, err, seq)
	}
}

// lines are the log as "actor action target host job outcome: reason", the oldest first.
func (l *testLog) lines() (all []string) {
	l.t.Helper()
	page, err := l.Read(l.t.Context(), l.keys, Query{Limit: 1000})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, e := range slices.Backward(page.Items) {
		all = append(all, fmt.Sprintf("%s %s %s %s %s %s: %s", e.Actor, e.Action, e.Target, e.Host, e.Job, e.Outcome, e.Reason))
	}
	return all
}

func (l *testLog) demandLines(want ...string) {
	l.t.Helper()
	if got := l.lines(); !slices.Equal(got, want) {
		l.t.Errorf("the log reads\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRepeatedRefusals(t *testing.T) {
	t.Parallel()
	l, clock := newHandLog(t)
	other := turnedAway
	other.Reason = "frozen"
	allowed := turnedAway
	allowed.Outcome = Allowed
	failed := turnedAway
	failed.Outcome = Failed
	l.refuse(turnedAway, 1)
	for i := range 5 {
		again := turnedAway
		again.Job = fmt.Sprintf("pid=%d", i) // who asks again is another process
		l.refuse(again, 1)
	}
	l.refuse(other, 2)
	for i := range uint64(4) {
		l.refuse([]Entry{allowed, failed}[i%2], 3+i) // what is not refused never coalesces
	}
	clock.pass(59 * time.Second)
	l.refuse(turnedAway, 1)
	if l.Size() != 6 {
		t.Errorf("%d entries within the minute", l.Size())
	}
	clock.pass(time.Second)
	l.refuse(turnedAway, 8) // behind the number of those before it
	l.refuse(turnedAway, 8)
	l.refuse(other, 9)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Log = l.open(l.dir, segmentLimit)
	const refused = "host:h1 host.connect h1 h1  refused: revoked"
	l.demandLines(
		refused,
		"host:h1 host.connect h1 h1  refused: frozen",
		"host:h1 host.connect h1 h1  allowed: revoked",
		"host:h1 host.connect h1 h1  failed: revoked",
		"host:h1 host.connect h1 h1  allowed: revoked",
		"host:h1 host.connect h1 h1  failed: revoked",
		refused+" (6 more in the last minute)",
		refused,
		"host:h1 host.connect h1 h1  refused: frozen",
		refused+" (1 more in the last minute)",
	)
}

// Each text of an entry makes another kind, but for the job's.
func TestKindsOfRefusals(t *testing.T) {
	t.Parallel()
	l, _ := newHandLog(t)
	l.refuse(turnedAway, 1)
	seq := uint64(1)
	for _, change := range []func(*Entry){
		func(e *Entry) { e.Actor = "host:h2" },
		func(e *Entry) { e.Action = "credential.read" },
		func(e *Entry) { e.Target = "h2" },
		func(e *Entry) { e.Host = "h2" },
		func(e *Entry) { e.Reason = "frozen" },
	} {
		seq++
		e := turnedAway
		change(&e)
		l.refuse(e, seq)
		l.refuse(e, seq)
	}
}

// The number comes by itself when the minute is over, and no timer outlives the log.
func TestNumberOfRefusalsComesByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, segmentLimit)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		log, err := Open(l.dir, l.arena)
		if err != nil {
			t.Fatal(err)
		}
		l.Log = log
		for range 3 {
			l.refuse(turnedAway, 1)
		}
		time.Sleep(30 * time.Second)
		second := turnedAway
		second.Target = "another"
		l.refuse(second, 2)
		l.refuse(second, 2)
		for _, step := range []struct {
			pass time.Duration
			size uint64
		}{{29 * time.Second, 2}, {2 * time.Second, 3}, {28 * time.Second, 3}, {2 * time.Second, 4}, {time.Hour, 4}} {
			time.Sleep(step.pass)
			synctest.Wait()
			if l.Size() != step.size {
				t.Errorf("%d entries %v later, want %d", l.Size(), step.pass, step.size)
			}
		}
		l.refuse(turnedAway, 5)
		if err := l.Close(); err != nil || l.Log.refusals.timer != nil {
			t.Errorf("closed: %v; a timer is left: %v", err, l.Log.refusals.timer)
		}
	}) // fails if a goroutine is left
}

// FlushRefusals gives the number early, and those that follow still coalesce.
func TestFlushRefusals(t *testing.T) {
	t.Parallel()
	l, clock := newHandLog(t)
	const refused = "host:h1 host.connect h1 h1  refused: revoked"
	l.FlushRefusals()
	l.refuse(turnedAway, 1)
	l.FlushRefusals() // there is nothing to say
	l.refuse(turnedAway, 1)
	l.FlushRefusals()
	l.FlushRefusals()
	clock.pass(59 * time.Second)
	l.refuse(turnedAway, 1)
	l.refuse(turnedAway, 1)
	l.demandLines(refused, refused+" (1 more in the last minute)")
	l.FlushRefusals()
	l.demandLines(refused, refused+" (1 more in the last minute)", refused+" (2 more in the last minute)")
}

// Equal refusals from many sides at once have one entry, and all of them its number.
func TestRefusalsAtOnce(t *testing.T) {
	t.Parallel()
	l, _ := newHandLog(t)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			seq, err := l.Append(t.Context(), turnedAway)
			if err != nil || seq != 1 || l.Size() == 0 {
				t.Errorf("entry %d, %v, while %d are durable", seq, err, l.Size())
			}
		})
	}
	group.Wait()
	l.FlushRefusals()
	const refused = "host:h1 host.connect h1 h1  refused: revoked"
	l.demandLines(refused, refused+" (49 more in the last minute)")
}

// TestRefusalsAreBounded: whatever differs between a hundred thousand refusals, in no minute are there more than 2690
// entries of them, and every one is in an entry or in a number.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	for name, vary := range map[string]func(*Entry, int){
		"target": func(e *Entry, i int) { e.Target = fmt.Sprint(i) },
		"all": func(e *Entry, i int) {
			e.Actor, e.Action, e.Target = fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)
			e.Host, e.Reason = fmt.Sprint("d", i), fmt.Sprint("e", i)
		},
		"host and action, few": func(e *Entry, i int) {
			e.Host, e.Action, e.Target = fmt.Sprint("d", i%200), fmt.Sprint("b", i%7), fmt.Sprint(i)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, clock := newHandLog(t)
			const steps, each = 50, 2000
			for step := range steps { // 200 seconds
				var group sync.WaitGroup
				for part := range 4 {
					group.Go(func() {
						for i := part; i < each; i += 4 {
							e := turnedAway
							vary(&e, step*each+i)
							if _, err := l.Append(t.Context(), e); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
				clock.pass(4 * time.Second)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l.Log = l.open(l.dir, segmentLimit)
			times, told := l.refusals()
			if told != steps*each {
				t.Errorf("the log tells of %d refusals", told)
			}
			most := 0
			for i, from := range times {
				end, _ := slices.BinarySearchFunc(times, from.Add(time.Minute), time.Time.Compare)
				most = max(most, end-i)
			}
			t.Logf("%d entries, at most %d in a minute", len(times), most)
			if most > 2690 || most < 1000 {
				t.Errorf("%d entries in a minute", most)
			}
		})
	}
}

// refusals gives the times of all entries, the oldest first, and how many refusals they tell of.
func (l *testLog) refusals() (times []time.Time, told int) {
	l.t.Helper()
	q := Query{Limit: 1000}
	for more := true; more; more = q.Cursor != "" {
		page, err := l.Read(l.t.Context(), l.keys, q)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, e := range page.Items {
			times = append(times, e.Time)
			told += refusalsIn(e.Reason)
		}
		q.Cursor = page.Next
	}
	slices.SortFunc(times, time.Time.Compare)
	return times, told
}

func refusalsIn(reason string) int {
	n := 0
	if _, number, ok := strings.Cut(reason, "("); ok {
		reason = number
	}
	if _, err := fmt.Sscanf(reason, "%d more in the last minute", &n); err != nil {
		return 1
	}
	return n
}

// TestRefusalThatCannotBeWritten: it is not counted as one that was, and a number waits until it can be.
func TestRefusalThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	l, _ := newHandLog(t)
	block := func(seq uint64) (unblock func()) {
		inTheWay := filepath.Join(l.dir, segmentName(seq))
		if err := os.WriteFile(inTheWay, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := os.Remove(inTheWay); err != nil {
				t.Fatal(err)
			}
		}
	}
	unblock := block(1)
	for range 3 {
		if _, err := l.Append(t.Context(), turnedAway); !errors.Is(err, errNoSegment) {
			t.Errorf("Append: %v", err)
		}
	}
	unblock()
	l.refuse(turnedAway, 1)
	l.refuse(turnedAway, 1)
	l.refuse(turnedAway, 1)

	l.mu.Lock()
	l.room = 0 // so that the next entry begins a segment
	l.mu.Unlock()
	unblock = block(2)
	l.FlushRefusals()
	l.refuse(turnedAway, 1)
	unblock()
	l.FlushRefusals()
	const refused = "host:h1 host.connect h1 h1  refused: revoked"
	l.demandLines(refused, refused+" (3 more in the last minute)")
}

func TestLongReasonOfRefusals(t *testing.T) {
	t.Parallel()
	l, _ := newHandLog(t)
	e := turnedAway
	e.Reason = strings.Repeat("x", MaxText)
	l.refuse(e, 1)
	l.refuse(e, 1)
	l.FlushRefusals()
	if got := l.lines(); len(got) != 2 || !strings.HasSuffix(got[1], "xxx (1 more in the last minute)") {
		t.Errorf("the log has %d lines", len(got))
	}
	e.Reason += "x"
	for range 2 {
		if _, err := l.Append(t.Context(), e); !errors.Is(err, ErrEntry) {
			t.Errorf("Append: %v", err)
		}
	}
}
