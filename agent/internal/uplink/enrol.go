package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// Errors of enrolment that callers tell apart.
var (
	ErrEnrolled = errors.New("this host is enrolled already")
	ErrJoin     = errors.New("the server refused the join token")
)

// Enrolment is what a host needs to join.
type Enrolment struct {
	State       string // folder; made 0700 where it is missing
	Name        string // what the host calls itself
	Route       Route  // its servers are kept, to be used later
	Fingerprint string // of the server's root
	Token       *secret.Buffer
	Version     string // of this agent
}

// Enroll makes the host's key, joins and stores the identity. After a crash or a
// lost answer it may be called again with the same token. It takes 30 s at most.
func Enroll(ctx context.Context, e Enrolment) (*Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := durable.MkdirAll(e.State, 0o700); err != nil {
		return nil, err
	}
	if Enrolled(e.State) {
		return nil, fmt.Errorf("%w: to enrol it anew, stop the agent and remove %s", ErrEnrolled, filepath.Join(e.State, identityFile))
	}
	release, err := Lock(e.State)
	if err != nil {
		return nil, err
	}
	defer release()
	key, err := pendingKey(e.State)
	if err != nil {
		return nil, err
	}
	crash.Point("enrol.ask")
	joined, servers, err := joinOneOf(ctx, e, key)
	if err != nil {
		return nil, err
	}
	crash.Point("enrol.answered")
	s := stored{
		Host: joined.GetHost(), Servers: servers, TrustDomain: joined.GetTrustDomain(),
		Certificates: joined.GetCertificates(), Root: joined.GetRoot(),
		LogKey: joined.GetLogKey(),
	}
	if err := checkRoot(s.Root, e.Fingerprint); err != nil {
		return nil, err
	}
	if _, err := newIdentity(e.State, s, key); err != nil {
		return nil, fmt.Errorf("the server sent a certificate that is of no use: %w", err)
	}
	if err := writeStored(filepath.Join(e.State, identityFile), s, key); err != nil {
		return nil, err
	}
	crash.Point("enrol.stored")
	return LoadIdentity(e.State)
}

// Enrolled tells whether there is an identity in a state folder.
func Enrolled(state string) bool {
	_, err := os.Stat(filepath.Join(state, identityFile))
	return err == nil
}

func checkRoot(der []byte, fingerprint string) error {
	root, err := x509.ParseCertificate(der)
	if err != nil || identity.Fingerprint(root) != fingerprint {
		return fmt.Errorf("%w: the server sent another root than its fingerprint says", identity.ErrUntrusted)
	}
	return nil
}

// joinOneOf joins at the first server that is reachable, and returns all of them
// with that one in front.
func joinOneOf(ctx context.Context, e Enrolment, key *ecdsa.PrivateKey) (*wire.JoinResponse, []string, error) {
	var failed error
	for i, server := range e.Route.Servers {
		joined, err := join(ctx, e, server, key)
		if err == nil {
			others := slices.Delete(slices.Clone(e.Route.Servers), i, i+1)
			return joined, slices.Insert(others, 0, server), nil
		}
		if failed == nil {
			failed = err
		} else {
			failed = fmt.Errorf("%w; %w", failed, err) // one line
		}
		if !errors.Is(err, ErrNotReachable) {
			break
		}
	}
	return nil, nil, failed
}

func join(ctx context.Context, e Enrolment, server string, key *ecdsa.PrivateKey) (*wire.JoinResponse, error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	conn, err := dial(e.Route, server, credentials.NewTLS(identity.JoiningClient(e.Fingerprint)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := joinInTurn(ctx, conn, &wire.JoinRequest{
		Token: string(e.Token.Reveal()), CertificateRequest: request,
		Name: e.Name, Os: runtime.GOOS + "/" + runtime.GOARCH, Version: e.Version,
	})
	switch status.Code(err) {
	case codes.OK:
		return answer, nil
	case codes.PermissionDenied, codes.InvalidArgument:
		return nil, fmt.Errorf("%w: %s", ErrJoin, status.Convert(err).Message())
	}
	return nil, fmt.Errorf("%w at %s: %s", ErrNotReachable, server, plain(status.Convert(err).Message()))
}

// joinInTurn asks again where the server has too many to do, until ctx ends.
func joinInTurn(ctx context.Context, conn *grpc.ClientConn, request *wire.JoinRequest) (*wire.JoinResponse, error) {
	for {
		answer, err := wire.NewEnrolmentClient(conn).Join(ctx, request)
		if status.Code(err) != codes.ResourceExhausted {
			return answer, err
		}
		select {
		case <-time.After(time.Second + spread(time.Second)):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// dial makes a client of one connection to a server. gRPC would make another one once that
// is lost, whenever somebody asks, and with a certificate that may have been
// replaced meanwhile; what goes over a connection is bound to it anyway.
func dial(route Route, server string, creds credentials.TransportCredentials) (*grpc.ClientConn, error) {
	lost := make(chan error, 1) // what to say of a second attempt
	lost <- nil
	once := func(ctx context.Context, address string) (net.Conn, error) {
		why := <-lost
		if why != nil {
			lost <- why
			return nil, why
		}
		conn, err := route.connect(ctx, address)
		why = errors.New("the connection is lost")
		if err != nil {
			why = err
		}
		lost <- why
		return conn, err
	}
	return grpc.NewClient("passthrough:///"+server,
		grpc.WithContextDialer(once),
		grpc.WithTransportCredentials(creds),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(wire.MaxMessage)),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithKeepaliveParams(keepaliveParameters),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 10 * time.Second}),
	)
}
