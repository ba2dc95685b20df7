package delivery

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/wire"
)

// methods is every method of the agents' listener, typed by hand: what an empty request comes to without a certificate,
// with a host's, with that of a host that was revoked since, and with one that is no host's. Behind the door an empty
// request is no good either, which says InvalidArgument or FailedPrecondition; Join and Recover are open to all, since
// what they are given proves itself.
var methods = []struct {
	name                          string
	nobody, host, revoked, forged codes.Code
}{
	{"/strongroom.agent.v1.Enrolment/Join", codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.Unavailable},
	{"/strongroom.agent.v1.Enrolment/Recover", codes.InvalidArgument, codes.InvalidArgument, codes.InvalidArgument, codes.Unavailable},
	{"/strongroom.agent.v1.Agents/Watch", codes.Unauthenticated, codes.InvalidArgument, codes.PermissionDenied, codes.Unavailable},
	{"/strongroom.agent.v1.Agents/Lease", codes.Unauthenticated, codes.FailedPrecondition, codes.PermissionDenied, codes.Unavailable},
	{"/strongroom.agent.v1.Agents/List", codes.Unauthenticated, codes.OK, codes.PermissionDenied, codes.Unavailable},
	{"/strongroom.agent.v1.Agents/Report", codes.Unauthenticated, codes.OK, codes.PermissionDenied, codes.Unavailable},
	{"/strongroom.agent.v1.Agents/Renew", codes.Unauthenticated, codes.InvalidArgument, codes.PermissionDenied, codes.Unavailable},
	{"/strongroom.agent.v1.Agents/Verify", codes.Unauthenticated, codes.InvalidArgument, codes.PermissionDenied, codes.Unavailable},
}

// call sends an empty request, which is the same bytes for every method.
func (a *agent) call(method string) error {
	ctx := a.t.Context()
	if !strings.HasSuffix(method, "/Watch") {
		return a.conn.Invoke(ctx, method, &wire.ListRequest{}, &wire.ListResponse{})
	}
	stream, err := a.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil {
		_ = stream.SendMsg(&wire.WatchRequest{}) // what is wrong Recv says
		_ = stream.CloseSend()
		err = stream.RecvMsg(&wire.WatchEvent{})
	}
	return err
}

// TestMatrix drives every method with every identity, and fails for a method that has no row.
func TestMatrix(t *testing.T) {
	t.Parallel()
	f := &trial{fixture: open(t)}
	var got, want []string
	for _, service := range []grpc.ServiceDesc{wire.Enrolment_ServiceDesc, wire.Agents_ServiceDesc} {
		for _, m := range service.Methods {
			got = append(got, "/"+service.ServiceName+"/"+m.MethodName)
		}
		for _, s := range service.Streams {
			got = append(got, "/"+service.ServiceName+"/"+s.StreamName)
		}
	}
	for _, m := range methods {
		want = append(want, m.name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("the methods are\n%s\nand the table has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	host, gone := f.enrol(), f.enrol()
	f.must(f.fleet.Revoke(t.Context(), alice, gone.id))
	forged := f.forged(host.id)
	for _, m := range methods {
		for column, test := range map[string]struct {
			own  tls.Certificate
			want codes.Code
		}{"nobody": {tls.Certificate{}, m.nobody}, "a host": {host.own, m.host}, "a revoked host": {gone.own, m.revoked}, "a forged one": {forged, m.forged}} {
			// A connection of its own: what one has done there is nothing to the next.
			if err := f.dial(test.own).call(m.name); status.Code(err) != test.want {
				t.Errorf("%s by %s: %v, want %s", m.name, column, err, test.want)
			}
		}
	}
}

func TestWithoutACertificateOnlyJoinAndRecover(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.enrol()
	nobody := f.dial(tls.Certificate{})
	ctx := t.Context()
	calls := map[string]func() error{
		"Lease":  func() error { _, err := nobody.lease("crm"); return err },
		"List":   func() error { _, err := nobody.calls.List(ctx, &wire.ListRequest{}); return err },
		"Renew":  func() error { _, err := nobody.calls.Renew(ctx, &wire.RenewRequest{}); return err },
		"Report": func() error { _, err := nobody.calls.Report(ctx, &wire.ReportRequest{}); return err },
		"Verify": func() error { _, err := nobody.calls.Verify(ctx, &wire.VerifyRequest{}); return err },
		"Watch": func() error {
			w, err := nobody.calls.Watch(ctx)
			if err == nil {
				_, err = w.Recv()
			}
			return err
		},
	}
	for _, m := range wire.Agents_ServiceDesc.Methods {
		if calls[m.MethodName] == nil {
			t.Errorf("method %s has no row in this test", m.MethodName)
		}
	}
	for name, call := range calls {
		wantCode(t, name, call(), codes.Unauthenticated, "needs a host certificate")
	}
	_, err := wire.NewEnrolmentClient(nobody.conn).Join(ctx, &wire.JoinRequest{Token: "srj_x_y"})
	wantCode(t, "Join", err, codes.InvalidArgument, "certificate request")
	_, err = wire.NewEnrolmentClient(nobody.conn).Recover(ctx, &wire.RecoverRequest{})
	wantCode(t, "Recover", err, codes.InvalidArgument, "certificate request")
}
