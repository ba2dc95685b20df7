package rest

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/strongroom/strongroom/server/internal/admission"
)

// limits bound what anybody may ask for without a token. Each address has its
// own, so that nobody uses up what others need; those for everybody are far
// higher, and keep many addresses from more memory and work than there is.
type limits struct {
	unseals    *admission.Addresses[*attempts]
	logins     *admission.Addresses[*rate.Limiter]
	allUnseals *rate.Limiter
	allLogins  *rate.Limiter
}

func newLimits() *limits {
	return &limits{
		unseals:    admission.NewAddresses(func() *attempts { return new(attempts) }),
		logins:     admission.NewAddresses(func() *rate.Limiter { return rate.NewLimiter(5, 20) }),
		allUnseals: rate.NewLimiter(100, 200),
		allLogins:  rate.NewLimiter(100, 200),
	}
}

// unseal counts an attempt to open the vault, or says how long to wait with it. giveBack is for one with which nothing
// was tried in the end.
func (l *limits) unseal(remote string, now time.Time) (giveBack func(), wait time.Duration) {
	own := l.unseals.Of(admission.Network(remote))
	if wait := own.take(now); wait > 0 {
		return nil, wait
	}
	giveBack = func() { own.giveBack(now) }
	if !l.allUnseals.AllowN(now, 1) {
		giveBack()
		return nil, time.Second
	}
	return giveBack, 0
}

// login counts a login, whatever it sends.
func (l *limits) login(remote string, now time.Time) bool {
	return l.logins.Of(admission.Network(remote)).AllowN(now, 1) && l.allLogins.AllowN(now, 1)
}

// maxAttempts is how many attempts to open the vault an address has within any minute.
const maxAttempts = 5

// attempts are those of the last minute.
type attempts struct {
	mu    sync.Mutex
	taken []time.Time // the oldest first
}

// take counts one, or says how long it is until one is free.
func (a *attempts) take(now time.Time) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = slices.DeleteFunc(a.taken, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if len(a.taken) == maxAttempts {
		return time.Minute - now.Sub(a.taken[0])
	}
	a.taken = append(a.taken, now)
	return 0
}

func (a *attempts) giveBack(at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.taken, at); i >= 0 {
		a.taken = slices.Delete(a.taken, i, i+1)
	}
}
