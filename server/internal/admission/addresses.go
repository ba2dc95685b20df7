package admission

import (
	"container/list"
	"net/netip"
	"sync"
)

// maxAddresses is how many addresses are remembered.
const maxAddresses = 4096

// Addresses keeps a limit for each of the addresses that asked last. Who is forgotten begins anew, which takes thousands
// of other addresses. It is safe for concurrent use.
type Addresses[T any] struct {
	fresh func() T

	mu     sync.Mutex
	known  map[netip.Prefix]*list.Element // of recent
	recent list.List                      // of visitor[T], the latest in front
}

type visitor[T any] struct {
	from  netip.Prefix
	limit T
}

// NewAddresses keeps limits that fresh makes.
func NewAddresses[T any](fresh func() T) *Addresses[T] {
	return &Addresses[T]{fresh: fresh, known: map[netip.Prefix]*list.Element{}}
}

// Of is the limit of an address as Network gives it.
func (a *Addresses[T]) Of(from netip.Prefix) T {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e, ok := a.known[from]; ok {
		a.recent.MoveToFront(e)
		return e.Value.(visitor[T]).limit
	}
	if a.recent.Len() == maxAddresses {
		delete(a.known, a.recent.Remove(a.recent.Back()).(visitor[T]).from)
	}
	v := visitor[T]{from, a.fresh()}
	a.known[from] = a.recent.PushFront(v)
	return v.limit
}

// Network is what one caller has to himself: his IPv4 address, or the /64 that IPv6 gives to each. remote is HOST:PORT;
// what is no address shares one network.
func Network(remote string) netip.Prefix {
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
