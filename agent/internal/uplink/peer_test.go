package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// far is the other end of an uplink: it speaks the protocol over real TLS, as
// the test tells it to. What the server decides is tested in server.
type far struct {
	wire.UnimplementedAgentsServer
	wire.UnimplementedEnrolmentServer
	t       *testing.T
	arena   *secret.Arena
	root    *x509.Certificate
	rootKey *ecdsa.PrivateKey
	address string
	life    time.Duration

	mu       sync.Mutex
	asked    [][]byte // public key of each renewal and recovery
	watching [][]byte // public key of each watch
	presents [][]*wire.Held
	refuse   error                            // answer to Renew and Recover
	lose     int                              // answers to them that are lost
	current  []byte                           // the newest key that was used: others get no lease
	wipe     string                           // pushed after welcome
	ended    chan struct{}                    // closed by cut
	promise  func(*wire.Hello, *wire.Welcome) // where set: what welcome says of the log
	pushed   chan *wire.Checkpoint            // while a watch is open
	welcome  chan struct{}                    // where set, a watch with a new key waits for it

	environment map[string]string // of every lease
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := newSilentFar(t)
	f.address, _ = f.also()
	return f
}

// newSilentFar serves nowhere yet.
func newSilentFar(t *testing.T) *far {
	t.Helper()
	f := &far{t: t, life: 24 * time.Hour}
	var err error
	f.arena, err = secret.NewArena(1 << 20)
	f.must(err)
	t.Cleanup(func() { _ = f.arena.Close() })
	f.rootKey = f.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(100 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &f.rootKey.PublicKey, f.rootKey)
	f.must(err)
	f.root, err = x509.ParseCertificate(der)
	f.must(err)
	f.ended = make(chan struct{})
	return f
}

// also serves on one more address, until stop.
func (f *far) also() (address string, stop func()) {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	f.must(err)
	return l.Addr().String(), f.serve(l)
}

func (f *far) serve(l net.Listener) (stop func()) {
	f.t.Helper()
	key := f.newKey()
	from := time.Now().Add(-2 * time.Hour) // as a server's is, for clocks that are behind
	own := tls.Certificate{PrivateKey: key, Certificate: [][]byte{f.certify("server", "1", &key.PublicKey, from, 90*time.Hour)}}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequestClientCert,
	})), grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true})) // as the server's
	wire.RegisterAgentsServer(s, f)
	wire.RegisterEnrolmentServer(s, f)
	go func() { _ = s.Serve(l) }() // ends with Stop
	f.t.Cleanup(s.Stop)
	return s.Stop
}

// cut ends every watch.
func (f *far) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.ended)
	f.ended = make(chan struct{})
}

func (f *far) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *far) newKey() *ecdsa.PrivateKey {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.must(err)
	return key
}

func (f *far) certify(role, id string, public any, from time.Time, life ...time.Duration) []byte {
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: from.Add(append(life, f.life)[0]),
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/" + role + "/" + id}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, f.root, public, f.rootKey)
	if err != nil {
		f.t.Error(err)
	}
	return der
}

// enrolled puts the identity of a host into a new state folder.
func (f *far) enrolled(from time.Time) (state string) {
	f.t.Helper()
	state = f.t.TempDir()
	key := f.newKey()
	f.must(writeStored(filepath.Join(state, identityFile), stored{
		Host: "h1", Server: f.address, TrustDomain: "example.org",
		Certificates: [][]byte{f.certify("host", "h1", &key.PublicKey, from)}, Root: f.root.Raw,
	}, key))
	return state
}

// uplink makes one that is not running, which looks at its certificate often.
func (f *far) uplink(state string, now func() time.Time) *Uplink {
	f.t.Helper()
	id, err := LoadIdentity(state)
	f.must(err)
	u := New(id, Route{}, f.arena, slog.New(slog.DiscardHandler), "1")
	u.now, u.look = now, 10*time.Millisecond
	u.Subscribe(Subscriber{Drop: func(string) {}, Held: func() []Held { return nil }, Kept: func([]string) {}})
	return u
}

func (f *far) run(u *Uplink) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { u.Run(ctx); close(over) }()
	f.t.Cleanup(func() { cancel(); <-over })
}

// within waits for what must come.
func (f *far) within(what string, so func() bool) {
	f.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		f.mu.Lock()
		ok := so()
		f.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("it did not come to this: %s", what)
		}
	}
}

func caller(ctx context.Context) (key []byte, state tls.ConnectionState) {
	p, _ := peer.FromContext(ctx)
	state = p.AuthInfo.(credentials.TLSInfo).State
	if len(state.PeerCertificates) > 0 {
		key = state.PeerCertificates[0].RawSubjectPublicKeyInfo
	}
	return key, state
}

func (f *far) Watch(stream wire.Agents_WatchServer) error {
	key, state := caller(stream.Context())
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	exporter, err := envelope.Exporter(&state)
	if err != nil {
		return err
	}
	sealer, enc, err := envelope.NewSealer(f.arena, m.GetHello().GetEnvelopeKey(), envelope.ToAgent, exporter)
	if err != nil {
		return err
	}
	defer sealer.Wipe()
	f.mu.Lock()
	f.watching, f.presents, f.current = append(f.watching, key), append(f.presents, m.GetHello().GetHeld()), key
	hold, ended := f.welcome, f.ended
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	welcome := &wire.Welcome{Encapsulation: enc}
	if f.promise != nil {
		f.promise(m.GetHello(), welcome)
	}
	for _, h := range m.GetHello().GetHeld() {
		welcome.Confirmed = append(welcome.Confirmed, h.GetCredential())
	}
	if err := stream.Send(&wire.WatchEvent{Event: &wire.WatchEvent_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	go f.pushCheckpoints(stream)
	if f.wipe != "" {
		return stream.Send(&wire.WatchEvent{Sequence: 2, Event: &wire.WatchEvent_Wipe{Wipe: &wire.Wipe{Reason: f.wipe}}})
	}
	select {
	case <-stream.Context().Done():
	case <-ended:
	}
	return nil
}

func (f *far) Lease(ctx context.Context, _ *wire.LeaseRequest) (*wire.LeaseResponse, error) {
	key, _ := caller(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(key, f.current) {
		return nil, status.Error(codes.Unauthenticated, "a newer certificate of this host is in use")
	}
	return &wire.LeaseResponse{Credential: "c1", Environment: f.environment}, nil
}

func (f *far) Renew(ctx context.Context, r *wire.RenewRequest) (*wire.RenewResponse, error) {
	if key, _ := caller(ctx); key == nil {
		return nil, status.Error(codes.Unauthenticated, "no certificate")
	}
	chain, err := f.next(r.GetCertificateRequest())
	return &wire.RenewResponse{Certificates: chain}, err
}

func (f *far) Recover(ctx context.Context, r *wire.RecoverRequest) (*wire.RecoverResponse, error) {
	key, state := caller(ctx)
	exporter, err := envelope.Exporter(&state)
	if err != nil {
		return nil, err
	}
	digest := wire.RecoverDigest(exporter, r.GetCertificate(), r.GetCertificateRequest())
	last, err := x509.ParseCertificate(r.GetCertificate())
	proof := metadata.ValueFromIncomingContext(ctx, wire.ProofMetadata)
	if err != nil || key != nil || len(proof) != 1 || !ecdsa.VerifyASN1(last.PublicKey.(*ecdsa.PublicKey), digest[:], []byte(proof[0])) {
		f.t.Errorf("a recovery with a client certificate (%t) or without a proof for its connection", key != nil)
	}
	chain, err := f.next(r.GetCertificateRequest())
	return &wire.RecoverResponse{Certificates: chain}, err
}

func (f *far) next(request []byte) ([][]byte, error) {
	csr, err := x509.ParseCertificateRequest(request)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, csr.RawSubjectPublicKeyInfo)
	if f.lose > 0 {
		f.lose--
		return nil, errors.New("lost")
	}
	return [][]byte{f.certify("host", "h1", csr.PublicKey, time.Now().Add(-time.Minute))}, f.refuse
}
