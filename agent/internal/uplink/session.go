package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"crypto/rand"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// callTimeout bounds one call to the server.
const callTimeout = 10 * time.Second

// session is one connection that has been welcomed.
type session struct {
	agents wire.AgentsClient
	opener *envelope.Opener
	heard  *contact
}

func (s *session) close() { s.opener.Wipe() }

// Leased is a credential as the server leased it. Whoever has it wipes it.
type Leased struct {
	Credential  string // ID
	Name        string
	Kind        string
	Application string
	AuthType    string
	Version     uint64
	Grants      []grant.Grant // with names and conditions only
	Terms       []byte        // to name them in Held
	Fields      []Field
	// Environment has, for each variable of the application's own tools, the template of its value over Fields.
	Environment map[string]string
}

// Field is one value in locked memory.
type Field struct {
	Name   string
	Secret bool
	Value  *secret.Buffer
}

// Wipe wipes every field.
func (l *Leased) Wipe() {
	for _, f := range l.Fields {
		f.Value.Wipe()
	}
}

// Lease asks the server for a credential on behalf of a job: ErrRefused,
// ErrRevoked, ErrNotReachable, grant.ErrHashWanted, secret.ErrFull. The values count as the job's
// user's, so that no user's leases fill the memory of all.
func (u *Uplink) Lease(ctx context.Context, reference string, job grant.Job) (l *Leased, err error) {
	err = u.ask(ctx, func(s *session) (err error) {
		l, err = s.lease(ctx, u.arena.For(job.UID), reference, job)
		return err
	})
	return l, err
}

// ask puts one question to the server, and again where its connection was
// replaced meanwhile.
func (u *Uplink) ask(ctx context.Context, question func(*session) error) error {
	for try := 0; ; try++ {
		s, err := u.current()
		if err != nil {
			return err
		}
		err = question(s)
		// Aborted: it changed on the way, so the next answer is another.
		if err != nil && try < 3 && (status.Code(err) == codes.Aborted || u.successor(ctx, s)) {
			continue
		}
		if err != nil && status.Code(err) != codes.Unknown {
			err = toError(err)
		}
		if turnedAway(err) {
			u.to.Kept(nil) // the push that says so may be lost
		}
		return err
	}
}

func (s *session) lease(ctx context.Context, arena *secret.Arena, reference string, job grant.Job) (*Leased, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := rand.Text()
	r, err := s.agents.Lease(ctx, &wire.LeaseRequest{Request: request, Reference: reference, Job: wire.FromJob(job)})
	if err != nil {
		return nil, err
	}
	l := &Leased{
		Credential: r.GetCredential(), Name: r.GetName(), Kind: r.GetKind(), Application: r.GetApplication(),
		AuthType: r.GetAuthType(), Version: r.GetVersion(), Grants: wire.ToGrants(r.GetTerms()), Terms: r.GetTermsDigest(),
	}
	if l.Environment, err = wire.ToEnvironment(r.GetEnvironment()); err != nil {
		return nil, err
	}
	for _, f := range r.GetFields() {
		value, err := s.opener.OpenInto(arena, f.GetSealed(), envelope.Context{
			Request: request, Credential: l.Credential, Version: l.Version, Field: f.GetName(),
		})
		if err != nil {
			l.Wipe()
			if errors.Is(err, secret.ErrKey) {
				err = ErrNotReachable // the connection ended meanwhile
			}
			return nil, err
		}
		l.Fields = append(l.Fields, Field{Name: f.GetName(), Secret: f.GetSecret(), Value: value})
	}
	return l, nil
}

// Listed is a credential that the host may lease.
type Listed struct {
	Name, Kind, Application, AuthType string
	Version                           uint64
	Default                           bool // of its application
	Grants                            []grant.Grant
}

// List names what the host may lease.
func (u *Uplink) List(ctx context.Context) ([]Listed, error) {
	var r *wire.ListResponse
	err := u.ask(ctx, func(s *session) (err error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		r, err = s.agents.List(ctx, &wire.ListRequest{})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Listed, 0, len(r.GetItems()))
	for _, i := range r.GetItems() {
		out = append(out, Listed{
			Name: i.GetName(), Kind: i.GetKind(), Application: i.GetApplication(), AuthType: i.GetAuthType(),
			Version: i.GetVersion(), Default: i.GetDefault(), Grants: wire.ToGrants(i.GetTerms()),
		})
	}
	return out, nil
}

// handshaker wraps gRPC's TLS to keep each connection's exporter, which its
// envelopes are bound to, and when the server was last heard of.
type handshaker struct {
	credentials.TransportCredentials
}

type proved struct {
	credentials.TLSInfo
	exporter []byte
	heard    *contact
}

func newHandshaker(c *tls.Config) credentials.TransportCredentials {
	return handshaker{credentials.NewTLS(c)}
}

// ClientHandshake proves the server.
func (h handshaker) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	p := &proved{TLSInfo: info.(credentials.TLSInfo), heard: new(contact)}
	if p.exporter, err = envelope.Exporter(&p.State); err != nil {
		conn.Close()
		return nil, nil, err
	}
	p.heard.made()
	return heardConn{conn, p.heard}, p, nil
}

// Clone is part of gRPC's contract.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone()}
}

// provedOn is what the handshake of a stream's connection proved.
func provedOn(ctx context.Context) (*proved, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, errors.New("no connection state")
	}
	from, ok := p.AuthInfo.(*proved)
	if !ok {
		return nil, errors.New("no connection state of ours")
	}
	return from, nil
}
