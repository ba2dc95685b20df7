package barrier

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestShelf: a shelf answers as a plain map does, whatever is put there, replaced and taken away, and in order.
func TestShelf(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 3))
	name := func() string {
		n := random.IntN(3000)
		return fmt.Sprintf("%04d%s", n, strings.Repeat("x", n%7*20)) // of 4 to 124 bytes
	}
	var s shelf
	want := map[string]entry{}
	for n := range uint64(40_000) {
		id := name()
		had, known := want[id]
		if n%2000 < 1000 || random.IntN(2) == 0 { // it grows, shrinks and stays by turns
			e := entry{commit: n, key: uint32(n % 3), digest: [32]byte{byte(n)}}
			if old, replaced := s.set(id, e); old != had || replaced != known {
				t.Fatalf("set %s: %v, %t, want %v, %t", id, old, replaced, had, known)
			}
			want[id] = e
		} else {
			if old, removed := s.remove(id); old != had || removed != known {
				t.Fatalf("remove %s: %v, %t, want %v, %t", id, old, removed, had, known)
			}
			delete(want, id)
		}
		other := name()
		had, known = want[other]
		if got, found := s.get(other); got != had || found != known {
			t.Fatalf("get %s: %v, %t, want %v, %t", other, got, found, had, known)
		}
		if s.length != len(want) {
			t.Fatalf("%d entries, want %d", s.length, len(want))
		}
		if n%500 == 0 {
			same(t, &s, want)
		}
	}
	if len(s.pages) < 5 {
		t.Errorf("only %d pages", len(s.pages))
	}
	for id := range want {
		s.remove(id)
	}
	if same(t, &s, nil); len(s.pages) != 0 {
		t.Errorf("%d pages are left", len(s.pages))
	}
}

// TestShelfInOrder: what comes in order is only appended, in full pages, and the longest IDs fit.
func TestShelfInOrder(t *testing.T) {
	t.Parallel()
	var s shelf
	want := map[string]entry{}
	for n := range uint64(3*pageRecords + 1) {
		id := fmt.Sprintf("%0*d", maxID, n)
		want[id] = entry{commit: n}
		s.set(id, want[id])
	}
	if len(s.pages) != 4 {
		t.Errorf("%d pages, want 4", len(s.pages))
	}
	same(t, &s, want)
	for n := range uint64(pageRecords) { // in the middle of full pages
		id := fmt.Sprintf("%0*d", maxID-1, n)
		want[id] = entry{commit: n}
		s.set(id, want[id])
	}
	same(t, &s, want)
}

func same(t *testing.T, s *shelf, want map[string]entry) {
	t.Helper()
	var ids []string
	s.each(func(id string, e *entry) {
		ids = append(ids, id)
		if *e != want[id] {
			t.Errorf("%s: %v, want %v", id, *e, want[id])
		}
	})
	if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(ids, sorted) {
		t.Fatalf("%d IDs, want %d; in order: %t", len(ids), len(sorted), slices.IsSorted(ids))
	}
	for i, p := range s.pages {
		if len(p.ends) == 0 || len(p.ends) > pageRecords || len(p.entries) != len(p.ends) {
			t.Fatalf("page %d has %d IDs and %d entries", i, len(p.ends), len(p.entries))
		}
	}
}
