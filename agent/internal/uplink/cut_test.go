package uplink

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// In these tests time passes only where everybody waits for it, so that a machine which is slow, or stands still, is not
// taken for a network that does.

// network is a network in memory: a listener, and who dials it. What is cut lets nothing through and says nothing.
type network struct {
	accept chan net.Conn

	mu       sync.Mutex
	toServer bool          // cut
	toHost   bool          // cut
	down     bool          // dialing fails at once
	mended   chan struct{} // closed once nothing is cut
}

func newNetwork() *network {
	n := &network{accept: make(chan net.Conn, 100), mended: make(chan struct{})}
	close(n.mended)
	return n
}

func (n *network) Accept() (net.Conn, error) {
	c, ok := <-n.accept
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (n *network) Close() error   { close(n.accept); return nil }
func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// dial waits while packets vanish, as TCP does.
func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	down, mended := n.down, n.mended
	n.mu.Unlock()
	if down {
		return nil, errors.New("network is unreachable")
	}
	select {
	case <-mended:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	near, far := net.Pipe()
	n.accept <- far
	over, end := context.WithCancel(context.Background())
	return &networkConn{near, n, over, end}, nil
}

func (n *network) cut(toServer, toHost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.toServer, n.toHost, n.mended = toServer, toHost, make(chan struct{})
}

func (n *network) unplug() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = true
}

func (n *network) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.toServer || n.toHost {
		close(n.mended)
	}
	n.toServer, n.toHost, n.down = false, false, false
}

func (n *network) cuts() (toServer, toHost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.toServer || n.down, n.toHost || n.down
}

// networkConn is the host's end of a connection.
type networkConn struct {
	net.Conn
	on   *network
	over context.Context // ends with Close
	end  func()
}

func (c *networkConn) Close() error {
	c.end()
	return c.Conn.Close()
}

func (c *networkConn) Write(b []byte) (int, error) {
	if cut, _ := c.on.cuts(); cut {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *networkConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if _, cut := c.on.cuts(); !cut {
			return n, err
		}
		if err != nil { // that the server hung up is not heard either
			<-c.over.Done()
			return 0, net.ErrClosed
		}
	}
}

// onNetwork makes a host that is not running yet, on a network in memory.
func onNetwork(t *testing.T) (*far, *network, *Uplink) {
	t.Helper()
	f, n := newSilentFar(t), newNetwork()
	f.address = "server:1"
	f.serve(n)
	u := f.uplink(f.enrolled(time.Now()), time.Now)
	u.route.dialer, u.look = n.dial, time.Minute
	return f, n, u
}

// A quiet connection is kept. One that is dead is known for it within 20 s, with the moment at which the server was
// heard of last, also where it is dead in one direction alone.
func TestDeadAndQuietConnections(t *testing.T) {
	t.Parallel()
	for what, cut := range map[string]struct{ toServer, toHost bool }{
		"in both directions": {true, true}, "to the server": {true, false}, "to the host": {false, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, n, u := onNetwork(t)
				f.run(u)
				time.Sleep(time.Hour)
				synctest.Wait()
				if s := u.State(); !s.Connected || time.Since(s.Since) != time.Hour {
					t.Fatalf("after a quiet hour: %+v", s)
				}
				n.cut(cut.toServer, cut.toHost)
				began := time.Now()
				time.Sleep(20 * time.Second)
				synctest.Wait()
				s := u.State()
				if s.Connected {
					t.Fatalf("20 s after the cut it is not known: %+v", s)
				}
				if s.LastContact.After(began) || began.Sub(s.LastContact) > 10*time.Second {
					t.Errorf("the last contact was %v before the cut, want 10 s at most and none after it", began.Sub(s.LastContact))
				}
			})
		})
	}
}

// Without its server a host tells jobs so at once. It is connected again within 15 s of the network's return, and the
// 10 ms that it waits at least, however long it was away.
func TestComesBack(t *testing.T) {
	t.Parallel()
	for what, cut := range map[string]func(*network){
		"link down": func(n *network) { n.unplug() }, "packets vanish": func(n *network) { n.cut(true, false) },
	} {
		for _, away := range []time.Duration{3 * time.Second, 12 * time.Second, time.Minute} {
			t.Run(what+" for "+away.String(), func(t *testing.T) {
				t.Parallel()
				for range 5 { // its waits are drawn
					synctest.Test(t, func(t *testing.T) {
						f, n, u := onNetwork(t)
						cut(n)
						f.run(u)
						time.Sleep(away)
						synctest.Wait()
						asked := time.Now()
						if _, err := u.List(t.Context()); !errors.Is(err, ErrNotReachable) || time.Since(asked) != 0 {
							t.Errorf("a question was answered with %v after %v", err, time.Since(asked))
						}
						n.mend()
						time.Sleep(15*time.Second + 10*time.Millisecond)
						synctest.Wait()
						if s := u.State(); !s.Connected {
							t.Errorf("15 s after the network was back: %+v", s)
						}
					})
				}
			})
		}
	}
}
