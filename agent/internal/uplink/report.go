package uplink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/wire"
)

const (
	maxUsages = 1000 // that wait to be reported
	batchSize = 100  // the server takes no more at once
	// reportWait lies between two batches: what a job repeats meanwhile shares an
	// entry, and reports take at most half of the calls that the server lets a host
	// make.
	reportWait  = 200 * time.Millisecond
	busyRetry   = time.Second // then the server lets the host make calls again
	reportRetry = 5 * time.Second
)

// Usage is a read that the agent answered by itself.
type Usage struct {
	Credential string // ID; empty: the number of those that were dropped
	Version    uint64
	Job        grant.Job
	Allowed    bool
	Reason     string
	At         time.Time

	times int // that it happened, the last time At and by the job's PID
}

// again says whether the log would show nothing else of o but its time and PID.
func (use *Usage) again(o *Usage) bool {
	a, b := &use.Job, &o.Job
	return use.Credential == o.Credential && use.Version == o.Version && use.Allowed == o.Allowed && use.Reason == o.Reason &&
		a.User == b.User && a.UID == b.UID && a.Unit == b.Unit && a.Container == b.Container &&
		a.Exe == b.Exe && a.ExeSHA256 == b.ExeSHA256 && slices.Equal(a.Claims, b.Claims)
}

// reports waits to be sent. It is bounded, and no read fails or waits for it:
// what a job repeats is counted with what waits, and where there is no room one
// is dropped and only counted.
type reports struct {
	wake chan struct{}

	mu              sync.Mutex
	waiting         []*Usage // in the order of their first times, no two alike
	reads, refusals int      // that were dropped
	inFlight        int
}

// Report queues a usage for the server's log.
func (u *Uplink) Report(use Usage) {
	use.Job = wire.ToJob(wire.FromJob(use.Job.ForLog())) // as the log will have it, which is bounded
	use.times = 1
	u.reports.mu.Lock()
	u.reports.put(&use)
	u.reports.mu.Unlock()
	select {
	case u.reports.wake <- struct{}{}:
	default:
	}
}

// put takes in what is newer than all that waits; r.mu is held.
func (r *reports) put(use *Usage) {
	if use.Credential == "" {
		r.count(use)
		return
	}
	if i := slices.IndexFunc(r.waiting, use.again); i >= 0 {
		same := r.waiting[i]
		same.times += use.times
		same.At, same.Job.PID = use.At, use.Job.PID
		return
	}
	r.waiting = append(r.waiting, use)
	if len(r.waiting) > maxUsages {
		r.drop()
	}
}

// drop makes room for one. No read goes while there is a refusal, and of them the
// oldest of the user who has most: nobody is to hide what another did behind what
// he does, or what he was given behind what he was refused; r.mu is held.
func (r *reports) drop() {
	reads := !slices.ContainsFunc(r.waiting, func(use *Usage) bool { return !use.Allowed })
	most, of := 0, map[string]int{}
	for _, use := range r.waiting {
		if use.Allowed == reads {
			of[use.Job.UID]++
			most = max(most, of[use.Job.UID])
		}
	}
	i := slices.IndexFunc(r.waiting, func(use *Usage) bool { return use.Allowed == reads && of[use.Job.UID] == most })
	r.count(r.waiting[i])
	r.waiting = slices.Delete(r.waiting, i, i+1)
}

// count keeps no more of a usage than its number; r.mu is held.
func (r *reports) count(use *Usage) {
	if use.Allowed {
		r.reads += use.times
	} else {
		r.refusals += use.times
	}
}

// take gives the next batch, the oldest first.
func (r *reports) take() (batch []*Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, dropped := range []*Usage{
		{Allowed: true, Reason: "reads", times: r.reads}, {Reason: "refusals", times: r.refusals},
	} {
		if dropped.times > 0 {
			dropped.At = time.Now()
			dropped.Reason += fmt.Sprintf(" that were only counted, since too many others waited to be reported: %d", dropped.times)
			batch = append(batch, dropped)
		}
	}
	r.reads, r.refusals = 0, 0
	n := min(len(r.waiting), batchSize-len(batch))
	batch = append(batch, r.waiting[:n]...)
	r.waiting = slices.Delete(r.waiting, 0, n)
	r.inFlight = len(batch)
	return batch
}

// sent ends what take began; what was not sent comes back before all that was
// queued meanwhile.
func (r *reports) sent(left []*Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight = 0
	if len(left) == 0 {
		return
	}
	newer := r.waiting
	r.waiting = nil
	for _, use := range slices.Concat(left, newer) {
		r.put(use)
	}
}

func (r *reports) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)+r.reads+r.refusals+r.inFlight == 0
}

// Flush waits until everything is reported or ctx ends.
func (u *Uplink) Flush(ctx context.Context) {
	for !u.reports.empty() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// report sends what is queued for as long as the connection lasts.
func (u *Uplink) report(ctx context.Context, agents wire.AgentsClient) {
	for {
		wait := reportWait
		if batch := u.reports.take(); len(batch) > 0 {
			var left []*Usage
			left, wait = u.send(ctx, agents, batch)
			u.reports.sent(left)
		} else {
			select {
			case <-u.reports.wake:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// unsendable says that a message did not get as far as the network.
func unsendable(err error) bool {
	s := status.Convert(err)
	return s.Code() == codes.Internal && strings.Contains(s.Message(), "marshal")
}

// send returns what is to be sent again, and how long to wait with the next
// batch. One that the server will never take is sent in pieces, so that one usage
// cannot hold up the others.
func (u *Uplink) send(ctx context.Context, agents wire.AgentsClient, batch []*Usage) (left []*Usage, wait time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := agents.Report(ctx, request(batch))
	switch code := status.Code(err); {
	case err == nil:
		return nil, reportWait
	case code != codes.InvalidArgument && !unsendable(err):
		u.log.Warn("reads are not reported yet", "error", plain(status.Convert(err).Message()))
		if code == codes.ResourceExhausted {
			return batch, busyRetry
		}
		return batch, reportRetry
	case len(batch) == 1:
		use := batch[0]
		u.log.Error("a read cannot be reported", "credential", use.Credential, "job", use.Job.String(), "times", use.times,
			"error", plain(status.Convert(err).Message()))
		if use.Credential != "" { // else it would come back for ever
			u.reports.mu.Lock()
			defer u.reports.mu.Unlock()
			u.reports.count(use)
		}
		return nil, reportWait
	}
	half := len(batch) / 2
	left, wait = u.send(ctx, agents, batch[:half])
	others, later := u.send(ctx, agents, batch[half:])
	return slices.Concat(left, others), max(wait, later)
}

// request is a batch as it travels.
func request(batch []*Usage) *wire.ReportRequest {
	r := &wire.ReportRequest{}
	for _, use := range batch {
		sent := &wire.Usage{
			Credential: use.Credential, Version: use.Version, Allowed: use.Allowed, Reason: use.Reason, AgoMs: time.Since(use.At).Milliseconds(),
		}
		if use.Credential != "" {
			sent.Job = wire.FromJob(use.Job)
			if use.times > 1 {
				sent.Reason += fmt.Sprintf(", %d times", use.times)
			}
		}
		r.Usage = append(r.Usage, sent)
	}
	return r
}
