package delivery

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
)

// cutConn is a host's end of a connection that lets nothing through, in a direction that is cut, and says nothing.
type cutConn struct {
	net.Conn
	toServer, toHost *atomic.Bool
}

func (c cutConn) Write(b []byte) (int, error) {
	if c.toServer.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c cutConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if !c.toHost.Load() || err != nil {
			return n, err
		}
	}
}

func (c cutConn) Close() error {
	if c.toServer.Load() {
		return nil
	}
	return c.Conn.Close()
}

// A quiet host stays connected, which pings as agents do. One whose connection is dead is known for it within 20 s, also
// where it is dead in one direction alone.
func TestDeadAndQuietHosts(t *testing.T) {
	t.Parallel()
	for what, cut := range map[string]struct{ toServer, toHost bool }{
		"in both directions": {true, true}, "to the server": {true, false}, "to the host": {false, true},
	} {
		t.Run(what, func(t *testing.T) {
			stillTime(t, func(t *testing.T, f *fixture) {
				a := f.enrol()
				var toServer, toHost atomic.Bool
				conn, err := grpc.NewClient("passthrough:///"+f.address,
					grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
						conn, err := f.dialer(ctx, address)
						return cutConn{conn, &toServer, &toHost}, err
					}),
					grpc.WithTransportCredentials(credentials.NewTLS(identity.AgentClient(f.roots, "example.org", a.own))),
					grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}))
				f.must(err)
				t.Cleanup(func() { _ = conn.Close() })
				a.calls = wire.NewAgentsClient(conn)
				a.open()
				connected := func() bool {
					synctest.Wait()
					h, err := f.fleet.Get(a.id)
					f.must(err)
					return h.Connected
				}
				time.Sleep(4 * time.Minute)
				if !connected() {
					t.Fatal("a quiet host is taken for dead")
				}
				toServer.Store(cut.toServer)
				toHost.Store(cut.toHost)
				time.Sleep(20 * time.Second)
				if connected() {
					t.Error("20 s after the cut the host is shown as connected")
				}
			})
		})
	}
}
