package audit

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Refusals can be had for nothing by whoever can reach the server, so those that repeat themselves coalesce. The first
// of a kind is written like any entry. Those that are equal to it, but for the job, are counted for a minute, and then
// one more entry gives their number. Once maxKinds are being counted, a refusal of another kind counts as one of those
// with the same action and host, beyond maxPlaces of these as one with the same action, and beyond maxActions as any.
//
// Each of what is counted has two entries at most in any minute, as it is counted for one. So whatever callers send, no
// minute has more than 2 * (1024 + 256 + 64 + 1) = 2690 entries of refusals, besides the numbers that Close and
// FlushRefusals write early.
const (
	refusalWindow = time.Minute
	maxKinds      = 1024
	maxPlaces     = 256
	maxActions    = 64
)

// refusalKind is what refusals have in common; those of a coarser level leave more of it empty.
type refusalKind struct {
	level                                     int
	actor, action, target, host, reason, from string
}

var refusalLevels = [...]struct {
	most int
	of   func(*Entry) refusalKind
}{
	{maxKinds, func(e *Entry) refusalKind {
		return refusalKind{0, e.Actor, e.Action, e.Target, e.Host, e.Reason, e.From}
	}},
	{maxPlaces, func(e *Entry) refusalKind { return refusalKind{level: 1, action: e.Action, host: e.Host} }},
	{maxActions, func(e *Entry) refusalKind { return refusalKind{level: 2, action: e.Action} }},
	{1, func(*Entry) refusalKind { return refusalKind{level: 3} }},
}

// refusal is a kind that is being counted.
type refusal struct {
	kind  refusalKind
	job   string // of the first
	seq   uint64 // of the first
	batch *batch // which holds the first
	more  int    // besides the first, since the entry that last gave their number
	until time.Time
}

// refusals are the kinds that are being counted.
type refusals struct {
	flushing sync.Mutex // held by whoever writes numbers, so that Close waits for it

	mu     sync.Mutex
	kinds  map[refusalKind]*refusal
	counts [len(refusalLevels)]int // of kinds
	queue  []*refusal              // all of them, the oldest first
	timer  *time.Timer             // for the first in the queue; nil if there is none
	closed bool
}

// appendRefusal appends a refusal or counts it. Either way it is durable that such a one was refused when it returns.
func (l *Log) appendRefusal(ctx context.Context, e *Entry) (seq uint64, err error) {
	now := l.clock()
	if l.refusals.due(now) {
		l.flushRefusals(now, false) // the timer is late
	}
	seq, b, err := l.countRefusal(e, now)
	if err != nil {
		return 0, err
	}
	return seq, b.wait(ctx, b.done)
}

// countRefusal gives the first of e's kind and the batch that it is in.
func (l *Log) countRefusal(e *Entry, now time.Time) (seq uint64, b *batch, err error) {
	r := &l.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.find(e)
	if k != nil && k.batch.failure() == nil {
		k.more++
		return k.seq, k.batch, nil
	}
	if err := l.reserve.admit(); err != nil {
		return 0, nil, err
	}
	if seq, b, err = l.enqueue(event, 0, e, nil); err != nil {
		return 0, nil, err
	}
	if k == nil {
		k = r.add(r.kindOf(e), now)
		l.armRefusals(now)
	}
	// Whoever was counted with a first that could not be written got the same error as that.
	k.job, k.seq, k.batch, k.more = e.Job, seq, b, 0
	return seq, b, nil
}

// find gives what e is counted with, or nil if it is the first of its kind.
func (r *refusals) find(e *Entry) *refusal { return r.kinds[r.kindOf(e)] }

// kindOf gives the finest kind of e that is being counted or that there is room for.
func (r *refusals) kindOf(e *Entry) refusalKind {
	for i, level := range refusalLevels {
		kind := level.of(e)
		if r.kinds[kind] != nil || r.counts[i] < level.most {
			return kind
		}
	}
	panic("audit: the last level is one kind") // which has room or is being counted
}

func (r *refusals) add(kind refusalKind, now time.Time) *refusal {
	k := &refusal{kind: kind, until: now.Add(refusalWindow)}
	if r.kinds == nil {
		r.kinds = map[refusalKind]*refusal{}
	}
	r.kinds[kind] = k
	r.counts[kind.level]++
	r.queue = append(r.queue, k)
	return k
}

// due tells whether the minute of a kind is over.
func (r *refusals) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue) > 0 && !now.Before(r.queue[0].until)
}

// take gives the kinds that have a number to be written, and begins to count anew. Kinds whose minute is over are
// counted no longer; the others only give their number, and only if all are wanted.
func (r *refusals) take(now time.Time, all bool) (numbers []refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && !now.Before(r.queue[0].until) {
		k := r.queue[0]
		r.queue[0] = nil
		r.queue = r.queue[1:]
		delete(r.kinds, k.kind)
		r.counts[k.kind.level]--
		if k.more > 0 && k.batch.failure() == nil {
			numbers = append(numbers, *k)
		}
	}
	if !all {
		return numbers
	}
	for _, k := range r.queue {
		if k.more > 0 && k.batch.failure() == nil {
			numbers = append(numbers, *k)
			k.more = 0
		}
	}
	return numbers
}

// putBack has a number that could not be written counted on.
func (r *refusals) putBack(n *refusal, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kinds[n.kind]
	if k == nil {
		if r.counts[n.kind.level] == refusalLevels[n.kind.level].most {
			return // the disk is full and the table too: something has to go
		}
		k = r.add(n.kind, now)
		k.job, k.seq, k.batch = n.job, n.seq, n.batch
	}
	k.more += n.more
}

// FlushRefusals writes how many refusals were only counted until now, as far as the log can be written. What is counted
// stays counted until its minute is over.
func (l *Log) FlushRefusals() { l.flushRefusals(l.clock(), true) }

func (l *Log) flushRefusals(now time.Time, all bool) {
	r := &l.refusals
	r.flushing.Lock()
	defer r.flushing.Unlock()
	numbers := r.take(now, all)
	written := make([]*batch, len(numbers)) // they share the log's fsync
	for i := range numbers {
		if l.reserve.admit() == nil {
			e := numbers[i].entry()
			_, written[i], _ = l.enqueue(event, 0, &e, nil)
		}
	}
	for i, b := range written {
		if b == nil || b.wait(context.Background(), b.done) != nil {
			r.putBack(&numbers[i], now)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l.armRefusals(now)
}

// entry gives a number as an entry.
func (n *refusal) entry() Entry {
	e := Entry{Actor: n.kind.actor, Action: n.kind.action, Target: n.kind.target, Host: n.kind.host, From: n.kind.from, Outcome: Refused}
	more := fmt.Sprintf("%d more in the last minute", n.more)
	if n.kind.level == 0 {
		e.Job = n.job
		more = " (" + more + ")"
		e.Reason = n.kind.reason[:min(len(n.kind.reason), MaxText-len(more))] + more
		return e
	}
	e.Actor, e.Reason = "several", more+", of too many kinds to list"
	if n.kind.level == 3 {
		e.Action = "several"
	}
	return e
}

// armRefusals starts the timer for the first kind whose minute will be over. r.mu is held.
func (l *Log) armRefusals(now time.Time) {
	r := &l.refusals
	if r.timer != nil || r.closed || len(r.queue) == 0 {
		return
	}
	r.timer = time.AfterFunc(r.queue[0].until.Sub(now), func() {
		r.mu.Lock()
		r.timer = nil
		r.mu.Unlock()
		l.flushRefusals(l.clock(), false)
	})
}

// closeRefusals writes what was counted. Afterwards no timer runs.
func (l *Log) closeRefusals() {
	r := &l.refusals
	r.mu.Lock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	r.mu.Unlock()
	l.flushRefusals(l.clock(), true)
}

// clock is the log's time.
func (l *Log) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now()
}
