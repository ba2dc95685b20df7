package rest

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits bound what anybody may ask for without a token. Each address has its
// own, so that nobody uses up what others need; those for everybody are far
// higher, and keep many addresses from more memory and work than there is.
type limits struct {
	unseals    perAddress[*attempts]
	logins     perAddress[*rate.Limiter]
	allUnseals *rate.Limiter
	allLogins  *rate.Limiter
	longLogins chan struct{} // places for bodies of more than usualLogin
}

func newLimits() *limits {
	return &limits{
		unseals:    perAddress[*attempts]{fresh: func() *attempts { return new(attempts) }},
		logins:     perAddress[*rate.Limiter]{fresh: func() *rate.Limiter { return rate.NewLimiter(5, 20) }},
		allUnseals: rate.NewLimiter(100, 200),
		allLogins:  rate.NewLimiter(100, 200),
		longLogins: make(chan struct{}, 64),
	}
}

// unseal counts a key that is tried.
func (l *limits) unseal(remote string, now time.Time) bool {
	return l.unseals.of(remote).allow(now) && l.allUnseals.AllowN(now, 1)
}

// login counts a login, whatever it sends.
func (l *limits) login(remote string, now time.Time) bool {
	return l.logins.of(remote).AllowN(now, 1) && l.allLogins.AllowN(now, 1)
}

// maxAddresses is how many addresses are remembered.
const maxAddresses = 4096

// perAddress keeps a limit for each of the addresses that asked last. Who is
// forgotten begins anew, which takes thousands of other addresses.
type perAddress[T any] struct {
	fresh func() T

	mu     sync.Mutex
	known  map[netip.Prefix]*list.Element // of recent
	recent list.List                      // of visitor[T], the latest in front
}

type visitor[T any] struct {
	from  netip.Prefix
	limit T
}

// of is the limit of a connection's remote address.
func (p *perAddress[T]) of(remote string) T {
	from := network(remote)
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.known[from]; ok {
		p.recent.MoveToFront(e)
		return e.Value.(visitor[T]).limit
	}
	if p.recent.Len() == maxAddresses {
		delete(p.known, p.recent.Remove(p.recent.Back()).(visitor[T]).from)
	}
	if p.known == nil {
		p.known = map[netip.Prefix]*list.Element{}
	}
	v := visitor[T]{from, p.fresh()}
	p.known[from] = p.recent.PushFront(v)
	return v.limit
}

// network is what one caller has to himself: an address, or the /64 that IPv6
// gives to each. What is no address shares one limit.
func network(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	address, bits := at.Addr().Unmap().WithZone(""), 32
	if address.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(address, bits).Masked()
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
