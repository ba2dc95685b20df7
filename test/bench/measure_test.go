//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestTurnsBeginWithAnotherSideEachRound(t *testing.T) {
	t.Parallel()
	var order []string
	side := func(name string, figure float64) func(int) (float64, error) {
		return func(round int) (float64, error) {
			order = append(order, name)
			return figure * float64(round+1), nil
		}
	}
	figures, err := turns(t.Context(), 3, side("a", 1), side("b", 10))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abbaab" {
		t.Errorf("order %s, want abbaab", got)
	}
	if !slices.Equal(figures[0], []float64{1, 2, 3}) || !slices.Equal(figures[1], []float64{10, 20, 30}) {
		t.Errorf("figures %v", figures)
	}
	broken := errors.New("broken")
	if _, err := turns(t.Context(), 1, func(int) (float64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("a side that fails: %v", err)
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	// The ratios are 2, 0.5 and 1: their median is 1, and not that of the medians, which is 20/10.
	r := result{Ours: []float64{20, 5, 40}, Floor: []float64{10, 10, 40}, Unit: "KB"}
	for _, c := range []struct {
		want            want
		bound           float64
		wanted, verdict string
	}{
		{nothing, 0, "–", "–"},
		{ratioAtLeast, 1, "≥ 1.00", "yes"},
		{ratioAtLeast, 1.01, "≥ 1.01", "no"},
		{ratioAtMost, 1, "≤ 1.00", "yes"},
		{ratioAtMost, 0.99, "≤ 0.99", "no"},
		{oursAtMost, 20, "≤ 20.0 KB", "yes"},
		{oursAtMost, 19, "≤ 19.0 KB", "no"},
	} {
		r.Want, r.Bound = c.want, c.bound
		if r.wanted() != c.wanted || r.verdict() != c.verdict {
			t.Errorf("%v %v: %s %s, want %s %s", c.want, c.bound, r.wanted(), r.verdict(), c.wanted, c.verdict)
		}
	}
}

func TestMedianAndPercentile(t *testing.T) {
	t.Parallel()
	figures := []float64{4, 1, 3, 2}
	if got := median(figures); got != 2.5 || figures[0] != 4 {
		t.Errorf("median %v, want 2.5, of %v left as they were", got, figures)
	}
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median %v, want 2", got)
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i)
	}
	if p50, p99, p100 := percentile(hundred, 50), percentile(hundred, 99), percentile(hundred, 100); p50 != 50 || p99 != 99 || p100 != 99 {
		t.Errorf("percentiles %v, %v, %v, want 50, 99, 99", p50, p99, p100)
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	got, err := parseTicks("cpu  100 200 300 4000 5000 600 700 800 9000 9000")
	if want := (ticks{busy: 19, stolen: 8}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "cpu", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 6 7", "cpu 1 2 3 4 5 6 7 x"} {
		if _, err := parseTicks(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// What commit returned for is in the file, each record once.
func TestCommits(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	c, err := newCommitter(path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 10 {
				if err := c.commit([]byte("record\n")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(text, bytes.Repeat([]byte("record\n"), 160)) {
		t.Errorf("%d bytes, %v, want 1120", len(text), err)
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
}
