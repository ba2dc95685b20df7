package audit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What an export leaves out and what it has is what pages have, in segments of any size.
func TestExport(t *testing.T) {
	t.Parallel()
	for _, limit := range []int64{600, 2000, segmentLimit} {
		l := newLog(t, limit)
		for i := range 60 {
			e := Entry{Actor: []string{"alice", "bob"}[i%2], Action: "credential.read", Target: fmt.Sprint(i), Outcome: Allowed}
			if i%5 != 0 {
				l.log(event, 0, e)
				continue
			}
			e.Action = "grant.create"
			seq := l.log(intent, uint64(i), e)
			l.log(committed, seq, Entry{Outcome: Allowed})
		}
		at := func(seq int) time.Time { return testStart.Add(time.Duration(seq) * time.Second) }
		for _, q := range []Query{{}, {Actor: "bob"}, {Action: "grant.create"}, {Since: at(20), Until: at(50)}, {Since: at(1000)}} {
			q.Limit = 1000
			want, _ := l.pages(q)
			slices.Reverse(want)
			if diff := cmp.Diff(want, l.exported(q)); diff != "" {
				t.Errorf("segments of %d, %+v: %s", limit, q, diff)
			}
		}
	}
}

// How changes ended, typed by hand: a refusal is one in the page and in the export.
func TestOutcomesAreAlike(t *testing.T) {
	t.Parallel()
	l := newLog(t, 1<<20)
	for i, end := range []struct {
		kind  kind
		entry Entry
	}{
		{committed, Entry{Outcome: Allowed}},
		{notCommitted, Entry{Outcome: Refused, Reason: "needs user.edit"}},
		{notCommitted, Entry{Outcome: Failed, Reason: reasonFailed}},
	} {
		seq := l.log(intent, uint64(i), Entry{Actor: "alice", Action: "user.role", Outcome: Allowed, Reason: "role admin"})
		l.log(end.kind, seq, end.entry)
	}
	want := []string{"allowed: role admin", "refused: needs user.edit", "failed: the change failed, nothing was stored"}
	page, err := l.Read(t.Context(), l.keys, Query{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(page.Items)
	export := func(q Query) (entries []Entry) {
		if err := l.Export(t.Context(), l.keys, q, func(e Entry) error { entries = append(entries, e); return nil }); err != nil {
			t.Error(err)
		}
		return entries
	}
	for how, entries := range map[string][]Entry{"page": page.Items, "export": export(Query{})} {
		var got []string
		for _, e := range entries {
			got = append(got, string(e.Outcome)+": "+e.Reason)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", how, got, want)
		}
	}
	if refused := export(Query{Outcome: Refused}); len(refused) != 1 || refused[0].Reason != "needs user.edit" {
		t.Errorf("exported as refused: %+v", refused)
	}
}

func TestExportStops(t *testing.T) {
	t.Parallel()
	l := newLog(t, 600)
	l.add(20)
	ctx, cancel := context.WithCancel(t.Context())
	full, seen := errors.New("the client is gone"), 0
	err := l.Export(ctx, l.keys, Query{}, func(Entry) error {
		if seen++; seen == 7 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) || seen != 7 {
		t.Errorf("%v after %d entries", err, seen)
	}
	err = l.Export(ctx, l.keys, Query{}, func(e Entry) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
	if err := l.Export(t.Context(), newLog(t, 600).keys, Query{}, nil); !errors.Is(err, ErrWrongKeys) {
		t.Errorf("with another log's keys: %v", err)
	}
}

// A log of many segments is exported in the memory of two of them. It runs alone, since it counts what all use.
func TestExportIsBounded(t *testing.T) {
	const limit = 256 << 10
	l := newLog(t, limit)
	reason := strings.Repeat("r", 4000)
	for range 40 {
		for range 60 {
			if _, _, err := l.enqueue(event, 0, &Entry{Outcome: Allowed, Reason: reason}, nil); err != nil {
				t.Fatal(err)
			}
		}
		l.add(1)
	}
	if view, err := l.snapshot(t.Context()); err != nil || len(view.segments) < 30 {
		t.Fatalf("%d segments are not many, %v", len(view.segments), err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, seen := heap(), uint64(0), 0
	err := l.Export(t.Context(), l.keys, Query{}, func(Entry) error {
		if seen++; seen%500 == 0 {
			most = max(most, heap())
		}
		return nil
	})
	if err != nil || seen != 2440 {
		t.Fatalf("%d entries, %v", seen, err)
	}
	if most > before+4<<20 {
		t.Errorf("%d bytes, and %d before, of a log of 10 MB", most, before)
	}
}

// Who asked from where is in the entry, and entries of before that was known are read as they are.
func TestFrom(t *testing.T) {
	t.Parallel()
	l := newLog(t, 2000)
	l.add(1)
	ctx := WithFrom(t.Context(), "192.0.2.7")
	for _, e := range []Entry{
		{Action: "a", Outcome: Allowed}, {Action: "b", Outcome: Refused}, {Action: "c", Outcome: Allowed, From: "2001:db8::1"},
	} {
		if _, err := l.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Append(WithFrom(t.Context(), "192.0.2.8"), Entry{Action: "b", Outcome: Refused}); err != nil {
		t.Fatal(err)
	}
	page, err := l.Read(t.Context(), l.keys, Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Items {
		got = append(got, e.Action+" "+e.From)
	}
	want := []string{"b 192.0.2.8", "c 2001:db8::1", "b 192.0.2.7", "a 192.0.2.7", "credential.read "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c := l.promise(l.Log, 1, time.Hour)
	for seq, from := range map[uint64]string{1: "", 2: "192.0.2.7"} {
		proof, err := c.Prove(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(l.LogKey()); err != nil || proof.Entry.From != from {
			t.Errorf("entry %d is proven from %q, %v", seq, proof.Entry.From, err)
		}
	}
	empty, err := appendPlaintext(nil, &Entry{Outcome: Allowed})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"an empty address": append(slices.Clone(empty), 0, 0), "an address cut short": append(slices.Clone(empty), 0, 2, 'x'),
		"more behind it": append(slices.Clone(empty), 0, 1, 'x', 0),
	} {
		if e, err := decodePlaintext(b); err == nil {
			t.Errorf("%s is read as %+v", name, e)
		}
	}
	if len(empty) != 16+1+6*2 {
		t.Errorf("an entry without an address has %d bytes, as many as ever would be 29", len(empty))
	}
}
