// Package delivery speaks with the agents: it proves who is at the other end of
// each connection, lets hosts join, leases values sealed to the connection and
// pushes what ends them. It decides nothing: fleet says which host it is, vault
// says what it may hold. Generated types do not leave this package.
package delivery

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/strongroom/strongroom/server/internal/admission"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/claims"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// Delivery serves agents from New until Stop.
type Delivery struct {
	fleet       *fleet.Fleet
	vault       *vault.Vault
	tokens      *claims.Verifier
	audit       *audit.Log
	checkpoints *audit.Checkpoints
	arena       *secret.Arena
	log         *slog.Logger
	now         func() time.Time

	server    *grpc.Server
	strangers *strangers
	kick      chan struct{} // a change may have ended leases
	grown     chan struct{} // there is a new checkpoint
	done      chan struct{}
	stop      sync.Once

	mu       sync.Mutex
	sessions map[string]*session // by host ID
	given    map[string]given    // by host ID
	limits   map[string]*limits  // by host ID
}

// service has the protocol's methods, so that the exported type is free of
// generated ones.
type service struct {
	wire.UnimplementedEnrolmentServer
	wire.UnimplementedAgentsServer
	*Delivery
}

// What a connection may make the server hold before anybody looked at the call:
// requests are small, values travel the other way.
const (
	maxRequest = 256 << 10
	maxHeaders = 16 << 10
)

// New makes the agents' server. The certificate of its listener is made anew
// each time it is half used.
func New(f *fleet.Fleet, v *vault.Vault, tokens *claims.Verifier, entries *audit.Log, checkpoints *audit.Checkpoints,
	arena *secret.Arena, log *slog.Logger, now func() time.Time) *Delivery {
	d := &Delivery{
		fleet: f, vault: v, tokens: tokens, audit: entries, checkpoints: checkpoints, arena: arena, log: log, now: now,
		strangers: newStrangers(),
		kick:      make(chan struct{}, 1),
		grown:     make(chan struct{}, 1),
		done:      make(chan struct{}),
		sessions:  map[string]*session{}, given: map[string]given{}, limits: map[string]*limits{},
	}
	own := &listenerCertificate{fleet: f, now: now}
	tlsConfig := identity.AgentListener(own.get, f.HostIssuers(), f.TrustDomain())
	tlsConfig.Time = now
	d.server = grpc.NewServer(
		grpc.Creds(newHandshaker(tlsConfig, d)),
		grpc.UnaryInterceptor(d.admitUnary),
		grpc.StreamInterceptor(d.admitStream),
		grpc.InTapHandle(d.tap),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(100),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.ReadBufferSize(1<<10), grpc.WriteBufferSize(4<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	calls := service{Delivery: d}
	wire.RegisterEnrolmentServer(d.server, calls)
	wire.RegisterAgentsServer(d.server, calls)
	v.OnChange(func() { signal(d.kick) })
	checkpoints.OnGrowth(func() { signal(d.grown) })
	f.OnChange(d.hostChanged)
	f.LeasesBy(d.leases)
	return d
}

// Serve accepts agents on l, within bounds, until Stop.
func (d *Delivery) Serve(l net.Listener) error {
	go d.recheckLoop()
	go d.checkpointLoop()
	return d.server.Serve(admission.Bound(l, bounds()))
}

// Stop cuts every connection.
func (d *Delivery) Stop() {
	d.stop.Do(func() { close(d.done) })
	d.server.Stop()
}

// caller is the host that a call comes from.
type caller struct {
	host   grant.Host
	link   *link
	limits *limits
}

// limits bound what one host can ask, over all its connections.
type limits struct {
	calls    *rate.Limiter // leases and reported reads
	renewals *rate.Limiter
	leasing  chan struct{} // a place for each value on its way, so that no host fills the arena
}

func (d *Delivery) limitsOf(host string) *limits {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.limits[host]
	if l == nil {
		l = &limits{
			calls: rate.NewLimiter(1000, 2000), renewals: rate.NewLimiter(rate.Every(10*time.Second), 3),
			leasing: make(chan struct{}, 2),
		}
		d.limits[host] = l
	}
	return l
}

type callerKey struct{}

func callerOf(ctx context.Context) caller { return ctx.Value(callerKey{}).(caller) }

// tap looks at a call before any of its body is read: a connection without a
// certificate gets no further than enrolment.
func (d *Delivery) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	l := linkOf(ctx)
	if l == nil {
		return nil, status.Error(codes.Unauthenticated, "no connection state")
	}
	if l.certificate.Host == "" && !enrols(info.FullMethodName) {
		return nil, status.Error(codes.Unauthenticated, "this call needs a host certificate: enrol first")
	}
	return ctx, nil
}

// enrols says whether a method is one that needs no certificate.
func enrols(method string) bool {
	return method == wire.Enrolment_Join_FullMethodName || method == wire.Enrolment_Recover_FullMethodName
}

// admit is passed by every call. Without a certificate a connection gets Join
// and Recover and nothing else; with one, the host must still be enrolled and
// the certificate still good.
func (d *Delivery) admit(ctx context.Context, method string) (context.Context, error) {
	l := linkOf(ctx)
	if l == nil {
		return nil, status.Error(codes.Unauthenticated, "no connection state")
	}
	ctx = audit.WithFrom(ctx, address(l.from))
	if enrols(method) {
		return ctx, nil
	}
	if l.certificate.Host == "" {
		return nil, status.Error(codes.Unauthenticated, "this call needs a host certificate: enrol first")
	}
	if !d.now().Before(l.certificate.Ends) {
		return nil, status.Error(codes.Unauthenticated, "the host certificate has ended")
	}
	host, err := d.fleet.Admit(ctx, l.certificate)
	if err != nil {
		// Calls under way while a host goes over to its new certificate are no news.
		if !errors.Is(err, fleet.ErrSuperseded) {
			d.logTurnedAway(ctx, l.certificate.Host, err)
		}
		return nil, toStatus(err)
	}
	return context.WithValue(ctx, callerKey{}, caller{host: host, link: l, limits: d.limitsOf(host.ID)}), nil
}

// logTurnedAway notes a host that is not admitted. The log counts those that ask
// again and again.
func (d *Delivery) logTurnedAway(ctx context.Context, host string, reason error) {
	entry := audit.Entry{Actor: "host:" + host, Action: "host.connect", Target: host, Host: host, Outcome: audit.Refused, Reason: reason.Error()}
	if _, err := d.audit.Append(ctx, entry); err != nil {
		d.log.Error("a refusal could not be logged", "error", err)
	}
}

func (d *Delivery) admitUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, err := d.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	out, err := handle(ctx, req)
	if err != nil {
		return nil, d.answer(info.FullMethod, err)
	}
	return out, nil
}

func (d *Delivery) admitStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, err := d.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	if err := handle(srv, admitted{stream, ctx}); err != nil {
		return d.answer(info.FullMethod, err)
	}
	return nil
}

type admitted struct {
	grpc.ServerStream
	ctx context.Context
}

// Context carries the caller.
func (a admitted) Context() context.Context { return a.ctx }

// answer logs what went wrong inside and tells the client no more than it may
// know.
func (d *Delivery) answer(method string, err error) error {
	s := toStatus(err)
	if status.Code(s) == codes.Internal {
		d.log.Error("call failed", "method", method, "error", err)
	}
	return s
}

// toStatus is the one place where errors become gRPC codes. What it does not
// know is internal, and its text stays here.
func toStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.Is(err, vault.ErrRefused):
		// One answer for "refused" and "not there".
		return status.Error(codes.PermissionDenied, "refused")
	case errors.Is(err, grant.ErrHashWanted):
		return status.Error(codes.PermissionDenied, wire.MessageHash)
	case errors.Is(err, fleet.ErrRevoked):
		return status.Error(codes.PermissionDenied, wire.MessageRevoked)
	case errors.Is(err, fleet.ErrFrozen):
		return status.Error(codes.PermissionDenied, wire.MessageFrozen)
	case errors.Is(err, fleet.ErrSuperseded):
		return status.Error(codes.Unauthenticated, fleet.ErrSuperseded.Error())
	case errors.Is(err, fleet.ErrRecover):
		return status.Error(codes.PermissionDenied, fleet.ErrRecover.Error())
	case errors.Is(err, fleet.ErrNotFound):
		return status.Error(codes.Unauthenticated, "the server does not know this host: enrol it again")
	case errors.Is(err, claims.ErrToken):
		return status.Error(codes.PermissionDenied, err.Error())
	case errors.Is(err, claims.ErrIssuer):
		return status.Error(codes.FailedPrecondition, claims.ErrIssuer.Error())
	case errors.Is(err, fleet.ErrJoin):
		return status.Error(codes.PermissionDenied, fleet.ErrJoin.Error())
	case errors.Is(err, fleet.ErrLabels):
		return status.Error(codes.PermissionDenied, fleet.ErrLabels.Error())
	case errors.Is(err, credential.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, audit.ErrNoSpace):
		return status.Error(codes.Unavailable, "the disk of the server's vault is full: nothing is given out")
	case errors.Is(err, audit.ErrFailed):
		return status.Error(codes.Unavailable, "the server's audit log cannot be written: nothing is given out")
	case errors.Is(err, secret.ErrFull):
		return status.Error(codes.ResourceExhausted, "the server's locked memory is full: try again, or run the server with a larger --locked-memory")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Internal, "the server could not do it; its log says why")
}
