//go:build linux

package main

import (
	"context"
	"time"
)

// readGoals are 1 and 2: a credential read through the server, with its audit entry durable, by many agents and by one.
func readGoals(ctx context.Context, o options, _ *stage, v *vault, f *floor, hosts []host) ([]result, error) {
	ours, err := dialAll(ctx, v.agents, hosts[:o.agents])
	if err != nil {
		return nil, err
	}
	defer closeAll(ours)
	for _, l := range ours {
		if err := l.prove(ctx, v.arena, v.value); err != nil {
			return nil, err
		}
	}
	bare, err := dialAll(ctx, f.address, f.hosts(o.agents))
	if err != nil {
		return nil, err
	}
	defer closeAll(bare)
	many, err := manyReaders(ctx, o, ours, bare)
	if err != nil {
		return nil, err
	}
	one, err := oneReader(ctx, o, ours, bare)
	return append(many, one...), err
}

func manyReaders(ctx context.Context, o options, ours, bare []*link) ([]result, error) {
	side := func(links []*link, reference string) func(int) (float64, error) {
		return func(int) (float64, error) {
			return load(ctx, len(links), o.round, func(ctx context.Context, i int) error {
				_, err := links[i].lease(ctx, reference)
				return err
			})
		}
	}
	figures, err := turns(ctx, o.rounds, side(ours, credentialName), side(bare, withCommit), side(bare, justEcho))
	if err != nil {
		return nil, err
	}
	r := result{Goal: "1", What: "audited read, all agents", Unit: "/s", Ours: figures[0]}
	return []result{
		r.beside("echo + commit", figures[1], ratioAtLeast, 0.85),
		// 0.80 of the bare echo is the goal of reads over the standing stream, which the protocol does not have.
		r.beside("echo", figures[2], nothing, 0),
	}, nil
}

// beside is the same figures against a floor.
func (r result) beside(name string, floor []float64, w want, bound float64) result {
	r.Beside, r.Floor, r.Want, r.Bound = name, floor, w, bound
	return r
}

// oneReader asks over another connection in each round: the server bounds the calls of one.
func oneReader(ctx context.Context, o options, ours, bare []*link) ([]result, error) {
	tails := make([][]float64, 3)
	side := func(n int, links []*link, reference string) func(int) (float64, error) {
		return func(round int) (float64, error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			l := links[round%len(links)]
			all, err := latencies(o.calls, func() (time.Duration, error) {
				began := time.Now()
				_, err := l.lease(ctx, reference)
				return time.Since(began), err
			})
			if err != nil {
				return 0, err
			}
			tails[n] = append(tails[n], percentile(all, 99))
			return percentile(all, 50), nil
		}
	}
	figures, err := turns(ctx, o.rounds, side(0, ours, credentialName), side(1, bare, withCommit), side(2, bare, justEcho))
	if err != nil {
		return nil, err
	}
	p50 := result{Goal: "2", What: "audited read, one caller, p50", Unit: "µs", Ours: figures[0]}
	p99 := result{Goal: "2", What: "audited read, one caller, p99", Unit: "µs", Ours: tails[0]}
	return []result{
		p50.beside("echo + commit", figures[1], ratioAtMost, 1.15),
		p50.beside("echo", figures[2], ratioAtMost, 1.4),
		p99.beside("echo + commit", tails[1], nothing, 0),
	}, nil
}
