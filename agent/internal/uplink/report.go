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
	maxReads    = 1000 // that wait to be reported
	maxRefusals = 200  // kinds of them that do
	batchSize   = 100  // the server takes no more at once
	reportWait  = 100 * time.Millisecond
	reportRetry = 5 * time.Second
)

// errBacklog refuses a read that could not be reported: what the server's log
// would not have must not happen.
var errBacklog = fmt.Errorf("%w, and too many reads wait to be reported to it", ErrNotReachable)

// Usage is one read that the agent answered by itself.
type Usage struct {
	Credential string // ID
	Version    uint64
	Job        grant.Job
	Allowed    bool
	Reason     string
	At         time.Time

	times int // that this refusal happened, where more than once
}

// reports waits to be sent. It is bounded: a read that finds no place is
// refused, and refusals of one user in one unit and container for the same
// reason share one.
type reports struct {
	wake chan struct{}

	mu       sync.Mutex
	reads    []Usage
	refusals []Usage
	more     int // refusals that found no place
	inFlight int
}

// Report queues a usage for the server's log. It fails for a read alone, and the
// read must then be refused.
func (u *Uplink) Report(use Usage) error {
	if err := u.reports.add(use); err != nil {
		return err
	}
	select {
	case u.reports.wake <- struct{}{}:
	default:
	}
	return nil
}

func (r *reports) add(use Usage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if use.Allowed {
		if len(r.reads)+r.inFlight >= maxReads {
			return errBacklog
		}
		r.reads = append(r.reads, use)
		return nil
	}
	same := slices.IndexFunc(r.refusals, func(o Usage) bool {
		return o.Credential == use.Credential && o.Job.UID == use.Job.UID && o.Job.Unit == use.Job.Unit &&
			o.Job.Container == use.Job.Container && o.Reason == use.Reason
	})
	switch {
	case same >= 0:
		r.refusals[same].times++
	case len(r.refusals) < maxRefusals:
		use.times = 1
		r.refusals = append(r.refusals, use)
	default:
		r.more++
	}
	return nil
}

// take gives the next batch, reads first.
func (r *reports) take() []Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.reads), batchSize-1)
	batch := slices.Clone(r.reads[:n])
	r.reads = slices.Delete(r.reads, 0, n)
	m := min(len(r.refusals), batchSize-1-n)
	batch = append(batch, r.refusals[:m]...)
	r.refusals = slices.Delete(r.refusals, 0, m)
	if r.more > 0 {
		batch = append(batch, Usage{At: time.Now(), Reason: "refusals of other jobs", times: r.more})
		r.more = 0
	}
	r.inFlight = len(batch)
	return batch
}

// sent ends what take began; what was not sent comes back first.
func (r *reports) sent(left []Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight = 0
	for _, use := range slices.Backward(left) {
		switch {
		case use.Allowed:
			r.reads = slices.Insert(r.reads, 0, use)
		case len(r.refusals) < maxRefusals:
			r.refusals = slices.Insert(r.refusals, 0, use)
		default:
			r.more += use.times
		}
	}
}

func (r *reports) empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.reads)+len(r.refusals)+r.more+r.inFlight == 0
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
		wait := reportRetry
		batch := u.reports.take()
		if len(batch) > 0 {
			left := u.send(ctx, agents, batch)
			u.reports.sent(left)
			if len(left) == 0 {
				continue
			}
		} else {
			select {
			case <-u.reports.wake:
				wait = reportWait // more may come
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

// send returns what is to be sent again. A batch that the server will never
// take is sent in pieces, so that one usage cannot hold up the others.
func (u *Uplink) send(ctx context.Context, agents wire.AgentsClient, batch []Usage) (left []Usage) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &wire.ReportRequest{}
	for _, use := range batch {
		reason := use.Reason
		if use.times > 1 {
			reason = fmt.Sprintf("%s, %d times", reason, use.times)
		}
		request.Usage = append(request.Usage, &wire.Usage{
			Credential: use.Credential, Version: use.Version, Job: wire.FromJob(use.Job.ForLog()),
			Allowed: use.Allowed, Reason: reason, AgoMs: time.Since(use.At).Milliseconds(),
		})
	}
	_, err := agents.Report(ctx, request)
	switch code := status.Code(err); {
	case err == nil:
		return nil
	case code != codes.InvalidArgument && !unsendable(err):
		u.log.Warn("reads are not reported yet", "error", plain(status.Convert(err).Message()))
		return batch
	case len(batch) == 1:
		u.log.Error("a read cannot be reported", "credential", batch[0].Credential, "job", batch[0].Job.String(), "error", plain(status.Convert(err).Message()))
		return nil
	}
	half := len(batch) / 2
	return append(u.send(ctx, agents, batch[:half]), u.send(ctx, agents, batch[half:])...)
}
