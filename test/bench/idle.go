//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// oftenCollect keeps the garbage of handshakes from counting as memory of idle connections, on both sides alike.
const oftenCollect = "GOGC=10"

// idleGoal is 7: the resident memory that one more idle agent takes in a server that was just started.
func idleGoal(ctx context.Context, o options, s *stage, v *vault, _ *floor, hosts []host) ([]result, error) {
	if err := v.server.stop(); err != nil {
		return nil, err
	}
	figures, err := turns(ctx, min(o.rounds, 3),
		func(int) (float64, error) {
			if err := v.start([]string{oftenCollect}); err != nil {
				return 0, err
			}
			return memoryOfIdle(ctx, v.server, v.agents, hosts[:o.idle])
		},
		func(int) (float64, error) {
			f, err := newFloor(s, oftenCollect)
			if err != nil {
				return 0, err
			}
			return memoryOfIdle(ctx, f.daemon, f.address, f.hosts(o.idle))
		})
	if err != nil {
		return nil, err
	}
	r := result{Goal: "7", What: "memory of an idle agent", Unit: "KB", Ours: figures[0]}
	return []result{r.beside("lean gRPC watch", figures[1], oursAtMost, 45)}, nil
}

// memoryOfIdle connects agents and stops the daemon. The first tenth is not counted: it pays for what all share.
func memoryOfIdle(ctx context.Context, d *daemon, address string, hosts []host) (float64, error) {
	first, err := dialAll(ctx, address, hosts[:len(hosts)/10])
	if err != nil {
		return 0, err
	}
	defer closeAll(first)
	before, err := settled(d.pid())
	if err != nil {
		return 0, err
	}
	rest, err := dialAll(ctx, address, hosts[len(hosts)/10:])
	if err != nil {
		return 0, err
	}
	defer closeAll(rest)
	after, err := settled(d.pid())
	if err != nil {
		return 0, err
	}
	return float64(after-before) / 1e3 / float64(len(rest)), d.stop()
}

// settled gives a process's resident bytes, a second after the last handshake.
func settled(pid int) (int, error) {
	time.Sleep(time.Second)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(text)
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: no resident size in it", pid)
	}
	pages, err := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize(), err
}
