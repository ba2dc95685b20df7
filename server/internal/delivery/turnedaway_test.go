package delivery

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/strongroom/strongroom/shared/wire"
)

// In these tests time passes only where everybody waits for it, since a host that is turned away has half a second. The
// network's silence could not be told from its work, so the connections are pipes.

// pipes is a listener in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

func (p pipes) dial(context.Context, string) (net.Conn, error) {
	near, far := net.Pipe()
	p <- far
	return near, nil
}

// stillTime runs a test of a server that is reached through pipes.
func stillTime(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, openOn(t, make(pipes, 100), time.Now)) })
}

func (a *agent) acknowledge(e *wire.WatchEvent) {
	a.t.Helper()
	a.must(a.watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Ack{Ack: &wire.Ack{Sequence: e.GetSequence()}}}))
}

// cutAfter demands that the watch ends that long after it began.
func (a *agent) cutAfter(began time.Time, want time.Duration) {
	a.t.Helper()
	if _, err := a.watch.Recv(); err == nil {
		a.t.Error("the watch goes on")
	}
	if took := time.Since(began); took != want {
		a.t.Errorf("cut after %s, want %s", took, want)
	}
}

func TestRevokedHost(t *testing.T) {
	stillTime(t, func(t *testing.T, f *fixture) {
		a := f.enrol()
		a.open()
		f.addToken("crm", "tok")
		f.grantAll("g", "crm")
		_, err := a.lease("crm")
		f.must(err)
		began := time.Now()
		f.must(f.fleet.Revoke(t.Context(), alice, a.id))
		_, err = a.lease("crm")
		wantCode(t, "a call on the old connection", err, codes.PermissionDenied, "this host is revoked")
		e := a.event()
		if e.GetWipe().GetReason() != "this host is revoked" {
			t.Errorf("pushed %v, want wipe", e)
		}
		a.acknowledge(e)
		a.cutAfter(began, 0)
		again := f.dial(a.own)
		watch, err := again.calls.Watch(t.Context())
		f.must(err)
		_, err = watch.Recv()
		wantCode(t, "a new connection", err, codes.PermissionDenied, "this host is revoked")
		if e := f.Newest(t, 1)[0]; e.Action != "host.connect" || e.Outcome != "refused" || e.Reason != "this host is revoked" || e.Host != a.id {
			t.Errorf("logged %+v", e)
		}
	})
}

// Nothing waits between a revocation and the word of it.
func TestRevokedGrantIsToldAtOnce(t *testing.T) {
	stillTime(t, func(t *testing.T, f *fixture) {
		a := f.enrol()
		a.open()
		c := f.addToken("crm", "tok")
		f.grantAll("g", "crm")
		_, err := a.lease("crm")
		f.must(err)
		began := time.Now()
		f.must(f.vault.RevokeGrant(t.Context(), alice, "g"))
		if e := a.event(); e.GetDrop().GetCredential() != c.ID || time.Since(began) != 0 {
			t.Errorf("pushed %v after %v, want a drop of crm at once", e, time.Since(began))
		}
	})
}

// A host that does not acknowledge is cut all the same.
func TestRevokedHostThatDoesNotAnswer(t *testing.T) {
	stillTime(t, func(t *testing.T, f *fixture) {
		a := f.enrol()
		a.open()
		began := time.Now()
		f.must(f.fleet.Revoke(t.Context(), alice, a.id))
		a.event()
		a.cutAfter(began, 500*time.Millisecond)
	})
}

func TestClonedHostIsCutOff(t *testing.T) {
	stillTime(t, func(t *testing.T, f *fixture) {
		a := f.enrol()
		b := a.renew()
		b.open()
		time.Sleep(time.Millisecond) // the copy comes later
		began := time.Now()
		_, err := f.dial(a.own).calls.List(t.Context(), &wire.ListRequest{})
		wantCode(t, "the copy", err, codes.PermissionDenied, "this host is frozen")
		if e := b.event(); !strings.HasPrefix(e.GetWipe().GetReason(), "this host is frozen") {
			t.Errorf("pushed %v, want wipe", e)
		}
		b.cutAfter(began, 500*time.Millisecond)
		_, err = f.dial(b.own).calls.List(t.Context(), &wire.ListRequest{})
		wantCode(t, "the genuine one", err, codes.PermissionDenied, "this host is frozen")
		clone := 0
		for _, e := range f.Newest(t, 10) {
			if e.Action == "host.clone" && e.Outcome == "refused" && e.Host == a.id {
				clone++
			}
		}
		if clone != 1 {
			t.Errorf("%d entries host.clone, want 1", clone)
		}
	})
}
