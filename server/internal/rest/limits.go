package rest

import (
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

// unseal counts a key that is tried.
func (l *limits) unseal(remote string, now time.Time) bool {
	return l.unseals.Of(admission.Network(remote)).allow(now) && l.allUnseals.AllowN(now, 1)
}

// login counts a login, whatever it sends.
func (l *limits) login(remote string, now time.Time) bool {
	return l.logins.Of(admission.Network(remote)).AllowN(now, 1) && l.allLogins.AllowN(now, 1)
}

// attempts allows five within any minute.
type attempts struct {
	mu   sync.Mutex
	last [5]time.Time // a ring
	next int
}

func (a *attempts) allow(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if oldest := a.last[a.next]; !oldest.IsZero() && now.Sub(oldest) < time.Minute {
		return false
	}
	a.last[a.next] = now
	a.next = (a.next + 1) % len(a.last)
	return true
}
