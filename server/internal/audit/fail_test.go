package audit

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// breakFile makes the log write to another file. The writer is idle, and the next append makes it see this.
func (l *testLog) breakFile(file *os.File) {
	_ = l.file.Close()
	l.file = file
}

// demandFailed demands that nothing can be appended any more, that what is there can still be read, and that the log
// opens again without what was not acknowledged.
func (l *testLog) demandFailed(want []string) {
	l.t.Helper()
	for range 3 {
		if _, err := l.Append(l.t.Context(), Entry{Target: "later", Outcome: Allowed}); !errors.Is(err, ErrFailed) {
			l.t.Errorf("Append after the failure: %v", err)
		}
	}
	if got := targets(l.t, l.Log, l.keys); strings.Join(got, " ") != strings.Join(want, " ") {
		l.t.Errorf("the failed log reads %v", got)
	}
	if size, _, err := l.Verify(l.t.Context()); err != nil || size != uint64(len(want)) || l.Size() != size {
		l.t.Errorf("Verify: %d, %v", size, err)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) {
		l.t.Errorf("Close: %v", err)
	}
	again := l.open(l.dir, segmentLimit)
	if got := targets(l.t, again, l.keys); strings.Join(got, " ") != strings.Join(want, " ") {
		l.t.Errorf("opened again it reads %v", got)
	}
	add(l.t, again)
}

// unsyncable is a pipe: it takes what is written and cannot be synced.
func unsyncable(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends when the log closes its end
	t.Cleanup(func() { _ = r.Close() })
	return w
}

func TestFailedFsync(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	l.add(2)
	l.breakFile(unsyncable(t))
	if _, err := l.Append(t.Context(), Entry{Target: "lost", Outcome: Allowed}); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "sync") {
		t.Errorf("Append: %v", err)
	}
	l.demandFailed([]string{"c1", "c2"})
}

// TestFullDiskThatCannotBeCut: /dev/full takes nothing, and what a write may have left there cannot be taken back.
func TestFullDiskThatCannotBeCut(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	l.add(2)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	l.breakFile(full)
	if _, err := l.Append(t.Context(), Entry{Target: "lost", Outcome: Allowed}); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Append: %v", err)
	}
	l.demandFailed([]string{"c1", "c2"})
}

// TestFailureReachesEveryWriter: nobody waits for ever, neither those whose batch failed nor those in the queue, and
// nobody is told that an entry is durable.
func TestFailureReachesEveryWriter(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	l.add(1)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Something else is writing more than the pipe takes; the log's write comes after it, and fails with it.
	go func() { _, _ = w.Write(make([]byte, 1<<20)) }()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	l.breakFile(w)

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var group sync.WaitGroup
	write := func() {
		if _, err := l.Append(ctx, Entry{Target: "lost", Outcome: Allowed}); !errors.Is(err, ErrFailed) {
			t.Errorf("Append: %v", err)
		}
	}
	until := func(f func() bool) {
		for done := false; !done && ctx.Err() == nil; runtime.Gosched() {
			l.mu.Lock()
			done = f()
			l.mu.Unlock()
		}
	}
	group.Go(write)
	until(func() bool { return l.next == 3 && len(l.queue) == 0 }) // the writer has it
	for range 50 {
		group.Go(write)
	}
	until(func() bool { return l.next == 53 })
	if l.Size() != 1 {
		t.Error("an entry is durable")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	group.Wait()
	l.demandFailed([]string{"c1"})
}
