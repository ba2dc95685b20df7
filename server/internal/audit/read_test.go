package audit

import (
	stdcmp "cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// log writes one entry of a kind and waits until it is in the tree.
func (l *testLog) log(k kind, ref uint64, e Entry) uint64 {
	l.t.Helper()
	seq, b, err := l.enqueue(k, ref, &e, nil)
	if err == nil {
		err = b.wait(l.t.Context(), b.hashed)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return seq
}

// pages reads the log page by page and shows each entry as "seq action outcome reason".
func (l *testLog) pages(q Query) (all []string, sizes []int) {
	l.t.Helper()
	for {
		page, err := l.Read(l.t.Context(), l.keys, q)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, e := range page.Items {
			all = append(all, fmt.Sprintf("%d %s %s %s", e.Seq, e.Action, e.Outcome, e.Reason))
		}
		sizes = append(sizes, len(page.Items))
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, sizes
		}
	}
}

func TestChangesAreOneEntry(t *testing.T) {
	t.Parallel()
	l := newLog(t, 600)
	create := Entry{Action: "grant.create", Outcome: Allowed, Reason: "asked by bob"}
	read := Entry{Action: "credential.read", Outcome: Allowed}
	l.log(intent, 1, create)                                                             // 1
	l.log(committed, 1, Entry{Outcome: Allowed})                                         // 2
	l.log(event, 0, read)                                                                // 3
	l.log(intent, 2, create)                                                             // 4
	l.log(event, 0, read)                                                                // 5
	l.log(notCommitted, 4, Entry{Outcome: Failed, Reason: "nothing was stored"})         // 6
	l.log(intent, 2, create)                                                             // 7
	l.log(notCommitted, 7, Entry{Outcome: Failed, Reason: "the store failed"})           // 8
	l.log(event, 0, read)                                                                // 9
	l.log(committed, 7, Entry{Outcome: Allowed, Reason: "found stored"})                 // 10
	l.log(intent, 3, Entry{Action: "user.lock", Outcome: Refused, Reason: "five times"}) // 11
	l.log(committed, 11, Entry{Outcome: Allowed})                                        // 12
	l.log(intent, 4, create)                                                             // 13
	want := []string{
		"13 grant.create allowed under way",
		"11 user.lock refused five times",
		"9 credential.read allowed ",
		"7 grant.create allowed found stored",
		"5 credential.read allowed ",
		"4 grant.create failed nothing was stored",
		"3 credential.read allowed ",
		"1 grant.create allowed asked by bob",
	}
	// Whatever the pages' size, no intent loses its outcome on the way from one to the next.
	for limit := 1; limit <= 9; limit++ {
		got, sizes := l.pages(Query{Limit: limit})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d: %s", limit, diff)
		}
		if slices.Max(sizes) > limit {
			t.Errorf("pages of %d: sizes %v", limit, sizes)
		}
	}
	slices.Reverse(want)
	if diff := cmp.Diff(want, l.exported(Query{})); diff != "" {
		t.Errorf("exported: %s", diff)
	}
}

// exported shows the log as pages does, oldest first.
func (l *testLog) exported(q Query) (all []string) {
	l.t.Helper()
	err := l.Export(l.t.Context(), l.keys, q, func(e Entry) error {
		all = append(all, fmt.Sprintf("%d %s %s %s", e.Seq, e.Action, e.Outcome, e.Reason))
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

func TestQuery(t *testing.T) {
	t.Parallel()
	l := newLog(t, 600)
	for _, e := range []Entry{
		{Action: "credential.read", Target: "crm", Host: "h1"},
		{Action: "credential.read", Target: "crm", Host: "h2", Actor: "bob", Outcome: Failed},
		{Action: "credential.create", Target: "crm"},
		{Action: "credential.read", Target: "crm-2", Host: "h1"},
		{Action: "host.enroll", Host: "h1"},
	} {
		e.Outcome = stdcmp.Or(e.Outcome, Allowed)
		l.log(event, 0, e)
	}
	at := func(seq int) time.Time { return testStart.Add(time.Duration(seq) * time.Second) }
	for _, test := range []struct {
		name  string
		query Query
		want  []uint64
	}{
		{"all", Query{}, []uint64{5, 4, 3, 2, 1}},
		{"action", Query{Action: "credential.read"}, []uint64{4, 2, 1}},
		{"part of an action", Query{Action: "credential"}, nil},
		{"target", Query{Target: "crm"}, []uint64{3, 2, 1}},
		{"host", Query{Host: "h1"}, []uint64{5, 4, 1}},
		{"all of them", Query{Action: "credential.read", Target: "crm", Host: "h1"}, []uint64{1}},
		{"actor", Query{Actor: "bob"}, []uint64{2}},
		{"outcome", Query{Outcome: Failed}, []uint64{2}},
		{"another outcome", Query{Outcome: Refused}, nil},
		{"until an entry", Query{Until: at(2)}, []uint64{2, 1}},
		{"until just before it", Query{Until: at(2).Add(-1)}, []uint64{1}},
		{"since an entry", Query{Since: at(4)}, []uint64{5, 4}},
		{"since just after it", Query{Since: at(4).Add(1)}, []uint64{5}},
		{"since later", Query{Since: at(6)}, nil},
		{"negative limit", Query{Limit: -1}, []uint64{5, 4, 3, 2, 1}},
		{"limit", Query{Limit: 2}, []uint64{5, 4}},
		{"cursor", Query{Limit: 2, Cursor: "4"}, []uint64{3, 2}},
		{"cursor and filter", Query{Limit: 1, Cursor: "4", Host: "h1"}, []uint64{1}},
		{"cursor at the end", Query{Cursor: "1"}, nil},
		{"cursor of nowhere", Query{Cursor: "0-0"}, nil},
	} {
		page, err := l.Read(t.Context(), l.keys, test.query)
		if test.name == "cursor of nowhere" {
			if !errors.Is(err, ErrCursor) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || page.Items == nil {
			t.Errorf("%s: %v, %v", test.name, page, err)
		}
		var got []uint64
		for _, e := range page.Items {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	for _, bad := range []string{"x", "-1", "1-", "1-x", "01", "1-2-3", " 1", "18446744073709551616", "0x1"} {
		if _, err := l.Read(t.Context(), l.keys, Query{Cursor: bad}); !errors.Is(err, ErrCursor) {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

// TestSinceWithAClockThatWentBack: an entry is not lost because older ones claim to be newer.
func TestSinceWithAClockThatWentBack(t *testing.T) {
	t.Parallel()
	l := newLog(t, 300) // each entry in a segment of its own
	times := []int{10, 500, 20, 30}
	for i := range times {
		now := testStart.Add(time.Duration(times[i]) * time.Second)
		l.now = func() time.Time { return now }
		l.add(1)
	}
	page, err := l.Read(t.Context(), l.keys, Query{Since: testStart.Add(100 * time.Second)})
	if err != nil || len(page.Items) != 1 || page.Items[0].Seq != 2 {
		t.Errorf("%v, %v", page, err)
	}
}

func TestWrongKeys(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	l.add(1)
	other := newLog(t, segmentLimit)
	for name, keys := range map[string]Keys{
		"another log's":         other.keys,
		"another decryption's":  {Decryption: other.keys.Decryption, Signing: l.keys.Signing},
		"another signing's":     {Decryption: l.keys.Decryption, Signing: other.keys.Signing},
		"none":                  {},
		"exchanged":             {Decryption: l.keys.Signing, Signing: l.keys.Decryption},
		"no signing key at all": {Decryption: l.keys.Decryption},
	} {
		if page, err := l.Read(t.Context(), keys, Query{}); !errors.Is(err, ErrWrongKeys) || page.Items != nil {
			t.Errorf("%s: %v, %v", name, page, err)
		}
	}
	held := l.arena.InUse()
	if _, err := l.Read(t.Context(), l.keys, Query{}); err != nil {
		t.Error(err)
	}
	if l.arena.InUse() != held {
		t.Error("reading leaves a key in the arena")
	}
	other.keys.Wipe()
	if _, err := other.Read(t.Context(), other.keys, Query{}); !errors.Is(err, ErrWrongKeys) {
		t.Errorf("wiped: %v", err)
	}
}
