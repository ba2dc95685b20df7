package admission

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// patience is how long is waited for what must come; it is only ever waited out by a test that fails.
const patience = time.Minute

// door is a bounded listener whose connections all read, as a server's do.
type door struct {
	t        *testing.T
	listener *Listener
	accepted chan *Conn
}

func open(t *testing.T, b Bounds) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	d := &door{t: t, listener: Bound(l, b), accepted: make(chan *Conn, 100)}
	go func() {
		for {
			c, err := d.listener.Accept()
			if err != nil {
				return
			}
			d.accepted <- c.(*Conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return d
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dial connects from an address of this machine, by its last byte.
func (d *door) dial(last byte) net.Conn {
	d.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}
	c, err := dialer.Dial("tcp", d.listener.Addr().String())
	check(d.t, err)
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// read has the server wait for the peer, and returns once it does.
func (d *door) read(c *Conn) chan error {
	d.t.Helper()
	over := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); over <- err }()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		d.listener.mu.Lock()
		waiting := c.inAll != nil
		d.listener.mu.Unlock()
		if waiting {
			return over
		}
		if time.Now().After(end) {
			d.t.Fatal("it does not read")
		}
	}
}

func (d *door) enters(last byte) (net.Conn, *Conn) {
	d.t.Helper()
	c := d.dial(last)
	select {
	case s := <-d.accepted:
		return c, s
	case <-time.After(patience):
		d.t.Fatal("a connection was not let in")
	}
	return nil, nil
}

// closed says whether the server closed it, of which the client learns.
func closed(t *testing.T, c net.Conn) bool {
	t.Helper()
	check(t, c.SetReadDeadline(time.Now().Add(patience)))
	_, err := c.Read(make([]byte, 1))
	var late net.Error
	return err != nil && !(errors.As(err, &late) && late.Timeout())
}

func stays(t *testing.T, c net.Conn) {
	t.Helper()
	check(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	var late net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("%v, want it open", err)
	}
}

// The one whose peer has been silent longest gives way; those that the server is busy with, or that have proved who they
// are, do not.
func TestWhoGivesWay(t *testing.T) {
	t.Parallel()
	d := open(t, Bounds{All: 100, Unproven: 100, Address: 3, Proven: 9})
	_, busy := d.enters(1)
	silent, s1 := d.enters(1)
	later, s2 := d.enters(1)
	d.read(s1)
	d.read(s2)
	_, s3 := d.enters(1)
	if !closed(t, silent) {
		t.Error("the longest silent connection is not the one that gave way")
	}
	stays(t, later)
	check(t, s3.Prove("host"))
	fourth, s4 := d.enters(1) // there is room again, since one is no longer unproven
	stays(t, later)
	over := d.read(s4)
	if _, err := later.Write([]byte("x")); err != nil { // it speaks, and is answered slowly
		t.Error(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		d.listener.mu.Lock()
		heard := s2.inAll == nil
		d.listener.mu.Unlock()
		if heard {
			break
		}
		if time.Now().After(end) {
			t.Fatal("what it said was not heard")
		}
	}
	d.enters(1)
	if !closed(t, fourth) || !errors.Is(<-over, net.ErrClosed) {
		t.Error("the silent one stayed")
	}
	if c := d.dial(1); !closed(t, c) {
		t.Error("a fourth connection that is being heard")
	}
	d.enters(2) // from elsewhere
	check(t, busy.Close())
	_ = busy.Close() // net/http and gRPC may close twice: it is one place all the same
	d.enters(1)
}

func TestBounds(t *testing.T) {
	t.Parallel()
	d := open(t, Bounds{All: 4, Unproven: 2, Address: 9, Proven: 2})
	_, a := d.enters(1)
	first, b := d.enters(2)
	d.read(b)
	_, c := d.enters(3)
	if !closed(t, first) {
		t.Error("three are unproven")
	}
	check(t, a.Prove("host"))
	check(t, a.Prove("host")) // once
	check(t, c.Prove("host"))
	_, e := d.enters(4)
	if err := e.Prove("host"); !errors.Is(err, ErrTooMany) {
		t.Errorf("a third connection of one host: %v", err)
	}
	if err := b.Prove("other"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("one that gave way: %v", err)
	}
	check(t, e.Prove("other"))
	d.enters(5)
	if c := d.dial(6); !closed(t, c) {
		t.Error("a fifth connection in all")
	}
	check(t, a.Close())
	d.enters(6)
	d.listener.mu.Lock()
	defer d.listener.mu.Unlock()
	if l := d.listener; l.all != 4 || l.unproven != 2 || len(l.addresses) != 2 || len(l.proven) != 2 || l.proven["host"] != 1 || l.silent.Len() != 0 {
		t.Errorf("counts: %+v", l)
	}
}

// A flood from one address leaves nothing behind, and who speaks gets through it.
func TestFlood(t *testing.T) {
	t.Parallel()
	d := open(t, Bounds{All: 50, Unproven: 30, Address: 20, Proven: 9})
	go func() {
		for c := range d.accepted {
			go func() {
				if b := make([]byte, 1); must(c.Read(b)) == 1 {
					_, _ = c.Write(b)
				}
				_ = c.Close()
			}()
		}
	}()
	for range 300 {
		d.dial(1)
	}
	// While none of the flood has been waited for yet, nothing can give way: then the honest one comes again.
	ask := func() (string, error) {
		honest := d.dial(1)
		if _, err := honest.Write([]byte("x")); err != nil {
			return "", err
		}
		check(t, honest.SetReadDeadline(time.Now().Add(patience)))
		b, err := io.ReadAll(honest)
		return string(b), err
	}
	answer, err := ask()
	for end := time.Now().Add(patience); answer != "x" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err = ask()
	}
	if err != nil || answer != "x" {
		t.Errorf("the honest one: %q, %v", answer, err)
	}
	d.listener.mu.Lock()
	defer d.listener.mu.Unlock()
	if d.listener.all > 20 || d.listener.silent.Len() > 20 {
		t.Errorf("%d are open, %d silent", d.listener.all, d.listener.silent.Len())
	}
}

func must(n int, _ error) int { return n }

func TestAddresses(t *testing.T) {
	t.Parallel()
	a := NewAddresses(func() *int { return new(int) })
	at := func(remote string) *int { return a.Of(Network(remote)) }
	first, second := at("192.0.2.1:1"), at("192.0.2.2:1")
	if at("192.0.2.1:2") != first || at("[::ffff:192.0.2.1]:1") != first || first == second {
		t.Error("a port, or other clothes, make another address")
	}
	if at("[2001:db8::1]:1") != at("[2001:db8::ffff:2]:1") || at("[2001:db8::1]:1") == at("[2001:db8:0:1::1]:1") {
		t.Error("an IPv6 address is not its /64")
	}
	for n := range 4093 {
		if n == 4000 && at("192.0.2.1:1") != first {
			t.Error("an address was forgotten too early")
		}
		at(fmt.Sprintf("10.0.%d.%d:1", n/256, n%256))
	}
	if at("192.0.2.1:1") != first || at("192.0.2.2:1") == second {
		t.Error("it was not the one that asked longest ago that was forgotten")
	}
	if len(a.known) != 4096 || a.recent.Len() != 4096 {
		t.Errorf("%d and %d are remembered", len(a.known), a.recent.Len())
	}
	if Network("nonsense") != (netip.Prefix{}) {
		t.Error("what is no address has a network")
	}
}
