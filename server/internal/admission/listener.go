// Package admission bounds what strangers can make the server hold and do: connections, until they have proved who they
// are and after, and attempts by address. It knows nothing of what is asked, and proves nobody.
package admission

import (
	"container/list"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Bounds are how many connections a listener keeps open at a time.
type Bounds struct {
	All      int // of everybody
	Unproven int // of those who have not proved who they are
	Address  int // of those, from one address (IPv6: from one /64)
	Proven   int // of one who has
}

// Listener keeps the connections of a listener within bounds. It never lets a caller wait at the door, since everybody
// would wait behind him: where there is no room, the unproven connection whose peer has been silent longest is closed
// for the new one, or the new one where no peer is waited for. A flood of silent connections so ends itself, and who
// has something to say gets through it.
type Listener struct {
	net.Listener
	bounds Bounds

	mu        sync.Mutex
	all       int
	unproven  int
	silent    list.List // of *Conn: unproven, their peer's turn, the longest in front
	addresses map[netip.Prefix]*address
	proven    map[string]int // by who it is
}

// address is what one address has open, unproven.
type address struct {
	open   int
	silent list.List // as in Listener
}

// Bound keeps the connections of l within b.
func Bound(l net.Listener, b Bounds) *Listener {
	return &Listener{Listener: l, bounds: b, addresses: map[netip.Prefix]*address{}, proven: map[string]int{}}
}

// Accept returns a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &Conn{Conn: accepted, listener: l, from: Network(accepted.RemoteAddr().String())}
		closed, ok := l.enter(c)
		if closed != nil {
			_ = closed.Conn.Close() // it has left already
		}
		if ok {
			return c, nil
		}
		_ = accepted.Close() // nothing was sent
	}
}

// enter makes room for a connection. The one that had to give way has left and is to be closed.
func (l *Listener) enter(c *Conn) (closed *Conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.addresses[c.from]
	var silent *list.List
	switch {
	case a != nil && a.open >= l.bounds.Address:
		silent = &a.silent
	case l.all >= l.bounds.All, l.unproven >= l.bounds.Unproven:
		silent = &l.silent
	}
	if silent != nil {
		if silent.Len() == 0 {
			return nil, false
		}
		closed = silent.Front().Value.(*Conn)
		l.leave(closed)
	}
	if a = l.addresses[c.from]; a == nil {
		a = &address{}
		l.addresses[c.from] = a
	}
	l.all++
	l.unproven++
	a.open++
	return closed, true
}

// leave takes a connection out of the counts, once; mu is held.
func (l *Listener) leave(c *Conn) {
	if c.left {
		return
	}
	c.left = true
	l.all--
	if c.proved.Load() {
		if l.proven[c.who]--; l.proven[c.who] == 0 {
			delete(l.proven, c.who)
		}
		return
	}
	l.heard(c)
	l.settle(c)
}

// settle takes a connection out of the counts of the unproven; mu is held.
func (l *Listener) settle(c *Conn) {
	l.unproven--
	a := l.addresses[c.from]
	if a.open--; a.open == 0 {
		delete(l.addresses, c.from)
	}
}

// heard notes that it is not the peer's turn; mu is held.
func (l *Listener) heard(c *Conn) {
	if c.inAll == nil {
		return
	}
	l.silent.Remove(c.inAll)
	l.addresses[c.from].silent.Remove(c.inAddress)
	c.inAll, c.inAddress = nil, nil
}

// Conn is an accepted connection. It counts as unproven until Prove.
type Conn struct {
	net.Conn
	listener *Listener
	from     netip.Prefix
	proved   atomic.Bool

	// Under the listener's mutex:
	left             bool
	who              string        // once proved
	inAll, inAddress *list.Element // while the peer is waited for
}

// From is the address that the connection comes from (IPv6: the /64).
func (c *Conn) From() netip.Prefix { return c.from }

// ErrTooMany says that one who has proved who he is has as many connections as one may have.
var ErrTooMany = errors.New("too many connections of one peer")

// Prove says who is at the other end. From now on no stranger can make the connection give way. Where who has too many
// connections it is ErrTooMany, and the caller is to close this one.
func (c *Conn) Prove(who string) error {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.left:
		return net.ErrClosed
	case c.proved.Load():
		return nil
	case l.proven[who] >= l.bounds.Proven:
		return ErrTooMany
	}
	l.heard(c)
	l.settle(c)
	l.proven[who]++
	c.who = who
	c.proved.Store(true)
	return nil
}

// Read notes for an unproven connection since when its peer is waited for.
func (c *Conn) Read(b []byte) (int, error) {
	if c.proved.Load() {
		return c.Conn.Read(b)
	}
	c.turn(true)
	n, err := c.Conn.Read(b)
	c.turn(false)
	return n, err
}

func (c *Conn) turn(ofPeer bool) {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.left || c.proved.Load() {
		return
	}
	l.heard(c)
	if ofPeer {
		c.inAll = l.silent.PushBack(c)
		c.inAddress = l.addresses[c.from].silent.PushBack(c)
	}
}

// Close gives the connection's place free.
func (c *Conn) Close() error {
	c.listener.mu.Lock()
	c.listener.leave(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
