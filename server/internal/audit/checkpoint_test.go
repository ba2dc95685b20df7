package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/checkpoint/merkletest"
)

// promise makes the checkpoints of a log, which end with the test.
func (l *testLog) promise(log *Log, epoch uint32, interval time.Duration) *Checkpoints {
	l.t.Helper()
	if _, err := log.snapshot(l.t.Context()); err != nil { // what is durable may not be in the tree yet
		l.t.Fatal(err)
	}
	c, err := log.checkpoints(l.t.Context(), l.keys, epoch, interval)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.Close)
	return c
}

func (l *testLog) promised(dir string) checkpoint.Checkpoint {
	l.t.Helper()
	text, err := ReadCheckpoint(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := checkpoint.Parse(l.LogKey(), text)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func TestCheckpoint(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	l.add(5)
	text, err := l.Checkpoint(l.keys, 3)
	if err != nil {
		t.Fatal(err)
	}
	leaves := naiveLeaves(t, l.dir)
	want := checkpoint.Checkpoint{Origin: strings.SplitN(l.LogKey(), "+", 2)[0], Size: 5, Root: merkletest.Root(leaves), Epoch: 3}
	if got, err := checkpoint.Parse(l.LogKey(), text); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	other := newLog(t, 2000)
	if _, err := l.Checkpoint(other.keys, 3); !errors.Is(err, ErrWrongKeys) {
		t.Errorf("with another log's keys: %v", err)
	}
	if _, err := l.Checkpoints(t.Context(), other.keys, 3); !errors.Is(err, ErrWrongKeys) {
		t.Errorf("with another log's keys: %v", err)
	}
}

// TestCheckpointsAsTheLogGrows: one signature an interval, the file with it, and the last when they end.
func TestCheckpointsAsTheLogGrows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, 2000)
		l.add(2)
		c := l.promise(l.Log, 1, time.Minute)
		var grown atomic.Int32
		c.OnGrowth(func() { grown.Add(1) })
		demand := func(when string, size uint64, times int32) {
			t.Helper()
			synctest.Wait()
			if c.Latest().Size != size || l.promised(l.dir).Size != size || grown.Load() != times {
				t.Errorf("%s there are %d entries, in the file %d, told %d times; want %d, %d times",
					when, c.Latest().Size, l.promised(l.dir).Size, grown.Load(), size, times)
			}
		}
		demand("at its beginning", 2, 0)
		time.Sleep(10 * time.Second)
		l.add(3)
		demand("within the interval", 2, 0)
		time.Sleep(time.Minute)
		demand("an interval later", 5, 1)
		text := string(c.Latest().Text)
		time.Sleep(time.Hour)
		demand("as it does not grow", 5, 1)
		if string(c.Latest().Text) != text {
			t.Errorf("a log that does not grow is signed again")
		}
		latest, proof, err := c.From(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		before := checkpoint.Checkpoint{Origin: latest.Origin, Size: 2, Root: merkletest.Root(naiveLeaves(t, l.dir)[:2]), Epoch: 1}
		if err := latest.Extends(before, proof); err != nil {
			t.Errorf("of %d entries: %v", latest.Size, err)
		}
		l.add(4)
		demand("before its end", 5, 1)
		c.Close()
		demand("at its end", 9, 1)
		if _, err := c.signNow(); !errors.Is(err, ErrClosed) {
			t.Errorf("after its end it signs: %v", err)
		}
		c.Close() // again
	})
}

// TestLogThatWasPutBack: what agents and the file have seen finds it out.
func TestLogThatWasPutBack(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	l.add(10)
	old := files(t, l.dir)
	l.add(20)
	newest, err := l.Checkpoint(l.keys, 2)
	if err != nil {
		t.Fatal(err)
	}
	early := l.open(folder(t, old), 2000)
	at10, err := early.Checkpoint(l.keys, 2)
	if err != nil {
		t.Fatal(err)
	}
	other := newLog(t, 2000)
	other.add(50)
	foreign, err := other.Checkpoint(other.keys, 2)
	if err != nil {
		t.Fatal(err)
	}
	higher, err := l.Checkpoint(l.keys, 3)
	if err != nil {
		t.Fatal(err)
	}
	lower, err := l.Checkpoint(l.keys, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		what   string
		grow   int // entries after it was put back
		seen   []byte
		behind string // "": it is not
		proof  bool
	}{
		{"nothing seen", 0, nil, "", false},
		{"what it has", 5, at10, "", true},
		{"more than it has", 5, newest, "a host has seen this log with 30 entries; there are 15: ", false},
		{"as much, other entries", 20, newest, "a host has seen this log with 30 entries, and not the same; there are 30: ", false},
		{"less, other entries", 25, newest, "a host has seen this log with 30 entries, and not the same; there are 35: ", false},
		{"another log", 0, foreign, "", false},
		{"a later epoch", 25, higher, "a host has seen this log with 30 entries in epoch 3; there are 35 in epoch 2: ", false},
		{"before a restore", 0, lower, "", false},
		{"rubbish", 0, []byte("rubbish"), "", false},
	} {
		t.Run(test.what, func(t *testing.T) {
			log := l.open(folder(t, old), 2000)
			for range test.grow {
				add(t, log)
			}
			c := l.promise(log, 2, time.Hour)
			clock := testStart
			c.now = func() time.Time { return clock }
			latest, proof, err := c.Since(t.Context(), "h1", test.seen)
			if err != nil || latest.Size != uint64(10+test.grow) || (proof != nil) != test.proof {
				t.Fatalf("%d entries, a proof of %d hashes, %v", latest.Size, len(proof), err)
			}
			if got := c.Behind(); !strings.HasPrefix(got, test.behind) || (got == "") != (test.behind == "") {
				t.Errorf("behind: %q, want %q", got, test.behind)
			}
			if test.behind == "" {
				if log.Size() != latest.Size || len(c.Warnings()) != 0 {
					t.Errorf("something was logged, or warned of: %q", c.Warnings())
				}
				return
			}
			for _, later := range []time.Duration{0, 59 * time.Second, time.Second} {
				clock = clock.Add(later)
				if _, _, err := c.Since(t.Context(), "h2", test.seen); err != nil {
					t.Fatal(err)
				}
			}
			page, err := log.Read(t.Context(), l.keys, Query{Action: "log.behind"})
			if err != nil || len(page.Items) != 2 {
				t.Fatalf("logged %d times, %v, want twice in a minute and a second", len(page.Items), err)
			}
			if e := page.Items[1]; e.Outcome != Failed || e.Actor != "system" || e.Host != "h1" || !strings.HasPrefix(e.Reason, test.behind) {
				t.Errorf("logged: %+v", e)
			}
			if w := c.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], test.behind) {
				t.Errorf("warnings: %q", w)
			}
		})
	}
}

// TestFileOfALogThatWasCut: the server finds out by itself, and does not write over what shows it.
func TestFileOfALogThatWasCut(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	l.add(10)
	cut := files(t, l.dir)
	l.add(5)
	l.promise(l.Log, 1, time.Hour).Close()
	cut[checkpointFile] = files(t, l.dir)[checkpointFile]

	for epoch, want := range map[uint32]string{1: "this server itself", 2: ""} {
		dir := folder(t, cut)
		log := l.open(dir, 2000)
		c := l.promise(log, epoch, time.Hour)
		if got := c.Behind(); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("epoch %d: behind: %q", epoch, got)
		}
		add(t, log)
		c.Close()
		if kept := l.promised(dir).Size == 15; kept != (want != "") {
			t.Errorf("epoch %d: the file is of %d entries", epoch, l.promised(dir).Size)
		}
	}
	for what, text := range map[string]string{"damaged": "strongroom", "too long": strings.Repeat("x", 5000)} {
		dir := folder(t, files(t, l.dir))
		if err := os.WriteFile(filepath.Join(dir, checkpointFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := l.promise(l.open(dir, 2000), 1, time.Hour)
		if c.Behind() != "" || l.promised(dir).Size != 15 {
			t.Errorf("%s: %q, the file is of %d entries", what, c.Behind(), l.promised(dir).Size)
		}
	}
}

// TestCheckpointThatIsNotWritten is warned of and holds nothing up.
func TestCheckpointThatIsNotWritten(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	l.add(1)
	if err := os.MkdirAll(filepath.Join(l.dir, checkpointFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := l.promise(l.Log, 1, time.Hour)
	if w := c.Warnings(); len(w) != 1 || !strings.Contains(w[0], "cannot be written") || c.Latest().Size != 1 {
		t.Errorf("warnings: %q", w)
	}
}

// TestCheckExtends: offline, as the server wrote it.
func TestCheckExtends(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	l.add(12)
	at12, err := l.Checkpoint(l.keys, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := checkpoint.Parse(l.LogKey(), at12)
	if err != nil {
		t.Fatal(err)
	}
	old := files(t, l.dir)
	l.add(30)
	fork := l.open(folder(t, old), 2000)
	for range 4 {
		add(t, fork)
	}
	empty := seen
	empty.Size, empty.Root = 0, tlog.Hash(merkletest.Root(nil))
	other := seen
	other.Root[3] ^= 1
	now := checkpoint.Checkpoint{Size: 42, Root: merkletest.Root(naiveLeaves(t, l.dir))}
	for _, test := range []struct {
		what string
		dir  string
		c    checkpoint.Checkpoint
		want error
	}{
		{"earlier", l.dir, seen, nil},
		{"of nothing", l.dir, empty, nil},
		{"of now", l.dir, now, nil},
		{"the same", fork.dir, seen, nil},
		{"later", fork.dir, now, checkpoint.ErrNotExtended},
		{"another", l.dir, other, checkpoint.ErrNotExtended},
	} {
		report, err := Check(test.dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := report.Extends(test.c); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", test.what, err, test.want)
		}
	}
}

// TestProve: each kind of entry, and what a change's says of its outcome.
func TestProve(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("n1")
	s.add(1)
	s.put("n2")
	c, err := s.Checkpoints(t.Context(), s.keys, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.add(1) // behind the checkpoint
	size := s.Size()
	kinds := ""
	for seq := uint64(1); seq <= size; seq++ {
		p, err := c.Prove(t.Context(), seq)
		if err != nil {
			t.Fatalf("entry %d: %v", seq, err)
		}
		if _, err := p.Verify(s.LogKey()); err != nil {
			t.Errorf("entry %d: %v", seq, err)
		}
		if p.Entry.Seq != seq || p.Entry.Kind == "intent" != (p.Outcome == seq+1) {
			t.Errorf("entry %d: %+v, outcome %d", seq, p.Entry, p.Outcome)
		}
		if p.Entry.Kind == "committed" && p.Entry.Intent != seq-1 {
			t.Errorf("entry %d is of the change %d", seq, p.Entry.Intent)
		}
		kinds += p.Entry.Kind + " "
	}
	if want := "intent committed event intent committed event "; kinds != want {
		t.Errorf("kinds: %s, want %s", kinds, want)
	}
	if e := mustProve(t, c, 3).Entry; e.Actor != "alice" || e.Action != "credential.read" || !strings.HasPrefix(e.Target, "c") || e.Outcome != "allowed" {
		t.Errorf("entry 3: %+v", e)
	}
	for _, seq := range []uint64{0, size + 1, 1 << 60} {
		if _, err := c.Prove(t.Context(), seq); !errors.Is(err, ErrNoEntry) {
			t.Errorf("entry %d: %v", seq, err)
		}
	}
}

func mustProve(t *testing.T, c *Checkpoints, seq uint64) checkpoint.Proof {
	t.Helper()
	p, err := c.Prove(context.Background(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTextThatIsNotUTF8 is proven as it is, and shown as far as JSON can.
func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	if _, err := l.Append(t.Context(), Entry{Actor: "a\xff\xfeb", Outcome: Refused, Job: "<&>"}); err != nil {
		t.Fatal(err)
	}
	p := mustProve(t, l.promise(l.Log, 1, time.Hour), 1)
	if _, err := p.Verify(l.LogKey()); err != nil || p.Entry.Actor != "a\uFFFDb" {
		t.Errorf("%+v, %v", p.Entry, err)
	}
}
