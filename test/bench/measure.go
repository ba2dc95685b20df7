//go:build linux

package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// turns measures all sides once a round and gives the figures by side. Each round begins with another side, so that
// none always comes after the same.
func turns(ctx context.Context, rounds int, sides ...func(round int) (float64, error)) ([][]float64, error) {
	figures := make([][]float64, len(sides))
	for round := range rounds {
		for i := range sides {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			side := (round + i) % len(sides)
			figure, err := sides[side](round)
			if err != nil {
				return nil, err
			}
			figures[side] = append(figures[side], figure)
		}
	}
	return figures, nil
}

// load lets callers call for a while, each again as soon as it is answered, and gives calls per second.
func load(ctx context.Context, callers int, d time.Duration, call func(ctx context.Context, caller int) error) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, d+patience)
	defer cancel()
	var all sync.WaitGroup
	var calls atomic.Int64
	failed := make(chan error, callers)
	began := time.Now()
	for i := range callers {
		all.Go(func() {
			for time.Since(began) < d {
				if err := call(ctx, i); err != nil {
					failed <- err
					return
				}
				calls.Add(1)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(calls.Load()) / took.Seconds(), nil
	}
}

// latencies times calls one after the other, in microseconds, sorted.
func latencies(calls int, call func() (time.Duration, error)) ([]float64, error) {
	all := make([]float64, 0, calls)
	for range calls {
		took, err := call()
		if err != nil {
			return nil, err
		}
		all = append(all, float64(took.Nanoseconds())/1e3)
	}
	slices.Sort(all)
	return all, nil
}

// percentile takes sorted figures.
func percentile(sorted []float64, p int) float64 {
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

// median does not change the order.
func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// A want is what a goal asks of the ratio of ours to the floor, or of ours alone.
type want int

const (
	nothing want = iota
	ratioAtLeast
	ratioAtMost
	oursAtMost
)

// A result is one line of the table. Ours and Floor hold a figure of each round.
type result struct {
	Goal   string    `json:"goal"`
	What   string    `json:"what"`
	Beside string    `json:"floor_is"`
	Unit   string    `json:"unit"`
	Ours   []float64 `json:"ours"`
	Floor  []float64 `json:"floor"`
	Want   want      `json:"-"`
	Bound  float64   `json:"bound,omitempty"`
}

// ratios are of the pairs of each round.
func (r result) ratios() []float64 {
	all := make([]float64, len(r.Ours))
	for i := range all {
		all[i] = r.Ours[i] / r.Floor[i]
	}
	return all
}

// met judges the median.
func (r result) met() bool {
	switch r.Want {
	case ratioAtLeast:
		return median(r.ratios()) >= r.Bound
	case ratioAtMost:
		return median(r.ratios()) <= r.Bound
	case oursAtMost:
		return median(r.Ours) <= r.Bound
	default:
		return true
	}
}
