package uplink

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

const (
	maxQueued  = 1000
	batchSize  = 100 // the server takes no more at once
	reportWait = 100 * time.Millisecond
)

// Usage is one read that the agent answered by itself.
type Usage struct {
	Credential string // ID
	Version    uint64
	Job        grant.Job
	Allowed    bool
	Reason     string
	At         time.Time
}

// reports waits to be sent. It is bounded: the oldest are dropped and counted.
type reports struct {
	wake chan struct{}

	mu      sync.Mutex
	queue   []Usage
	dropped int
}

// Report queues a usage for the server's log.
func (u *Uplink) Report(use Usage) {
	r := &u.reports
	r.mu.Lock()
	if len(r.queue) == maxQueued {
		r.queue = append(r.queue[:0], r.queue[1:]...)
		r.dropped++
	}
	r.queue = append(r.queue, use)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reports) take() []Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	var batch []Usage
	if r.dropped > 0 {
		batch = append(batch, Usage{Allowed: true, At: time.Now(), Reason: fmt.Sprintf("%d earlier reads were not reported: too many waited", r.dropped)})
		r.dropped = 0
	}
	n := min(len(r.queue), batchSize-1)
	batch = append(batch, r.queue[:n]...)
	r.queue = append(r.queue[:0], r.queue[n:]...)
	return batch
}

func (r *reports) putBack(batch []Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := append(batch, r.queue...)
	if over := len(all) - maxQueued; over > 0 {
		all = all[over:]
		r.dropped += over
	}
	r.queue = all
}

// report sends what is queued for as long as the connection lasts.
func (u *Uplink) report(ctx context.Context, agents wire.AgentsClient) {
	for {
		batch := u.reports.take()
		if len(batch) == 0 {
			select {
			case <-u.reports.wake:
				time.Sleep(reportWait) // more may come
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := send(ctx, agents, batch); err != nil {
			u.reports.putBack(batch)
			u.log.Warn("usage not reported yet", "error", err)
			select {
			case <-time.After(5 * time.Second):
			case <-ctx.Done():
				return
			}
		}
	}
}

func send(ctx context.Context, agents wire.AgentsClient, batch []Usage) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &wire.ReportRequest{}
	for _, use := range batch {
		request.Usage = append(request.Usage, &wire.Usage{
			Credential: use.Credential, Version: use.Version, Job: wire.FromJob(use.Job),
			Allowed: use.Allowed, Reason: use.Reason, AgoMs: time.Since(use.At).Milliseconds(),
		})
	}
	_, err := agents.Report(ctx, request)
	return err
}
