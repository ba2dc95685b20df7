package people

import (
	"sync"
	"time"
)

// After a few failures an address waits before it may try a user again, each
// time twice as long. It is counted for the pair of both: whoever guesses a
// colleague's password from elsewhere does not lock the colleague out.
const (
	freeFailures = 5
	longestDelay = 15 * time.Minute
	maxDelays    = 10_000 // pairs
	// maxWrongCodes is how many wrong codes of a second factor a user may give
	// within an hour, from wherever: who gets so far knows the password. Recovery
	// codes are taken still.
	maxWrongCodes = 20
)

// DelayError says how long to wait before the next login.
type DelayError struct{ Wait time.Duration }

func (e *DelayError) Error() string { return "too many failed logins from this address" }

type pair struct{ user, from string }

type failures struct {
	count int
	until time.Time
	last  time.Time
}

// delays remembers failures in memory alone.
type delays struct {
	mu    sync.Mutex
	pairs map[pair]failures
	codes map[string]failures // by the ID of a user who gave the right password
}

// wait says how long a pair still has to wait.
func (d *delays) wait(k pair, now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(d.pairs[k].until.Sub(now), 0)
}

func (d *delays) failed(k pair, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pairs == nil {
		d.pairs = map[pair]failures{}
	}
	f, known := d.pairs[k]
	if !known && len(d.pairs) >= maxDelays {
		d.evict(now)
	}
	f.count++
	f.last = now
	if over := f.count - freeFailures; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 20), longestDelay))
	}
	d.pairs[k] = f
}

func (d *delays) succeeded(k pair) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pairs, k)
}

// evict forgets what is over, or else the pair that failed longest ago.
func (d *delays) evict(now time.Time) {
	var oldest pair
	var at time.Time
	for k, f := range d.pairs {
		if now.Sub(f.last) > longestDelay {
			delete(d.pairs, k)
		}
		if at.IsZero() || f.last.Before(at) {
			oldest, at = k, f.last
		}
	}
	if len(d.pairs) >= maxDelays {
		delete(d.pairs, oldest)
	}
}

// mayGuess and wrongCode bound the codes of a second factor that are tried.
func (d *delays) mayGuess(userID string, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.codes[userID]
	return f.count < maxWrongCodes || now.Sub(f.last) > time.Hour
}

func (d *delays) wrongCode(userID string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.codes == nil {
		d.codes = map[string]failures{}
	}
	f := d.codes[userID]
	if now.Sub(f.last) > time.Hour {
		f = failures{}
	}
	d.codes[userID] = failures{count: f.count + 1, last: now}
}
