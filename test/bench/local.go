//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// roleJob is the argument with which this program is a fresh job.
const roleJob = "job"

// localGoals is 4: what a job waits for its credential, on a connection made for it.
func localGoals(ctx context.Context, o options, s *stage, v *vault, f *floor, _ []host) ([]result, error) {
	join, err := v.join(ctx, 1)
	if err != nil {
		return nil, err
	}
	file, err := s.write("join", []byte(join.Text()))
	if err != nil {
		return nil, err
	}
	if err := s.output(nil, "strongroom-agent", "enroll", "--join", "@"+file, "--state", "host"); err != nil {
		return nil, err
	}
	agent, err := s.start("agent", nil, "strongroom-agent", "run", "--state", "host", "--socket", s.path("agent.sock"))
	if err != nil {
		return nil, err
	}
	if err := s.awaitLease(agent.ready["socket"]); err != nil {
		return nil, err
	}
	results, err := measureJobs(ctx, o, s, agent.ready["socket"], f.socket)
	if err != nil {
		return nil, err
	}
	return results, agent.stop()
}

// awaitLease asks until the agent is connected and holds the lease.
func (s *stage) awaitLease(socket string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		_, err := readCredential(socket)
		if err == nil || s.ctx.Err() != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the agent has no lease after %v: %w", patience, err)
		}
	}
}

func measureJobs(ctx context.Context, o options, s *stage, ours, bare string) ([]result, error) {
	side := func(calls int, ask func(string) (time.Duration, error), socket string) func(int) (float64, error) {
		return func(int) (float64, error) {
			all, err := latencies(calls, func() (time.Duration, error) { return ask(socket) })
			if err != nil {
				return 0, err
			}
			return percentile(all, 50), nil
		}
	}
	same, err := turns(ctx, o.rounds, side(o.calls, readCredential, ours), side(o.calls, readCredential, bare))
	if err != nil {
		return nil, err
	}
	fresh, err := turns(ctx, o.rounds, side(o.jobs, s.freshJob, ours), side(o.jobs, s.freshJob, bare))
	if err != nil {
		return nil, err
	}
	r := result{Goal: "4", What: "job's read, new connection, p50", Unit: "µs", Ours: same[0]}
	r = r.beside("HTTP on a socket", same[1], ratioAtMost, 1.2)
	first := result{Goal: "4", What: "the same, a fresh process each, p50", Unit: "µs", Ours: fresh[0]}
	return []result{r, first.beside("HTTP on a socket", fresh[1], ratioAtMost, 1.5)}, nil
}

// freshJob starts a process that reads once and says how long that took by its own clock.
func (s *stage) freshJob(socket string) (time.Duration, error) {
	var said struct{ Nanoseconds time.Duration }
	err := s.output(&said, s.self, roleJob, socket)
	return said.Nanoseconds, err
}

func runJob(socket string) error {
	took, err := readCredential(socket)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int64{"nanoseconds": took.Nanoseconds()})
}

// readCredential connects, asks and reads the answer, by hand: net/http's client would weigh more than what it asks.
func readCredential(socket string) (time.Duration, error) {
	began := time.Now()
	conn, err := net.DialTimeout("unix", socket, patience)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(began.Add(patience)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(conn, "GET /v1/credentials/value?ref="+credentialName+" HTTP/1.1\r\nHost: strongroom\r\nX-Strongroom: 1\r\n\r\n"); err != nil {
		return 0, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	size, err := io.Copy(io.Discard, answer.Body)
	took := time.Since(began)
	if err == nil && (answer.StatusCode != http.StatusOK || size < valueSize) {
		err = fmt.Errorf("%s answered %s with %d bytes", socket, answer.Status, size)
	}
	return took, err
}
