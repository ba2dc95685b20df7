//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
)

// A host is what an agent keeps of its enrolment.
type host struct{ config *tls.Config }

// enrol joins a number of new hosts, as fast as the server lets them.
func (v *vault) enrol(ctx context.Context, n int) ([]host, error) {
	join, err := v.join(ctx, n)
	if err != nil {
		return nil, err
	}
	// One connection serves for some 30 seconds, as long as a stranger's may last, so each batch has its own.
	hosts := make([]host, 0, n)
	for len(hosts) < n {
		batch, err := enrolBatch(ctx, join, min(100, n-len(hosts)))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, batch...)
	}
	return hosts, nil
}

func enrolBatch(ctx context.Context, join identity.Join, n int) ([]host, error) {
	conn, err := grpc.NewClient("passthrough:///"+join.Server, grpc.WithTransportCredentials(credentials.NewTLS(identity.JoiningClient(join.Fingerprint))))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	calls := wire.NewEnrolmentClient(conn)
	var hosts []host
	for range n {
		h, err := enrolOne(ctx, calls, join)
		if err != nil {
			return nil, fmt.Errorf("enrolling: %w", err)
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

func enrolOne(ctx context.Context, calls wire.EnrolmentClient, join identity.Join) (host, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return host{}, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return host{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		joined, err := calls.Join(ctx, &wire.JoinRequest{Token: join.Token, CertificateRequest: request, Name: "bench"})
		if status.Code(err) == codes.ResourceExhausted { // the server takes 20 a second
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-ctx.Done():
				return host{}, ctx.Err()
			}
		}
		if err != nil {
			return host{}, err
		}
		root, err := x509.ParseCertificate(joined.GetRoot())
		if err != nil {
			return host{}, err
		}
		roots := x509.NewCertPool()
		roots.AddCert(root)
		own := tls.Certificate{Certificate: joined.GetCertificates(), PrivateKey: key}
		return host{identity.AgentClient(roots, joined.GetTrustDomain(), own)}, nil
	}
}

// A link is the one connection of an agent, with its watch open: to the server, or to the floor, which speaks the same.
type link struct {
	conn   *grpc.ClientConn
	calls  wire.AgentsClient
	watch  wire.Agents_WatchClient
	first  *wire.WatchEvent
	to     *envelope.Recipient
	cancel context.CancelFunc
}

// dial connects and opens the watch.
func dial(ctx context.Context, address string, config *tls.Config) (*link, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, calls: wire.NewAgentsClient(conn)}
	ctx, l.cancel = context.WithCancel(ctx)
	late := time.AfterFunc(patience, l.cancel)
	defer late.Stop()
	if err := l.open(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("opening a watch at %s: %w", address, err)
	}
	return l, nil
}

func (l *link) open(ctx context.Context) (err error) {
	if l.to, err = envelope.NewRecipient(); err != nil {
		return err
	}
	if l.watch, err = l.calls.Watch(ctx); err != nil {
		return err
	}
	if err := l.watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: &wire.Hello{EnvelopeKey: l.to.PublicKey()}}}); err != nil {
		return err
	}
	l.first, err = l.watch.Recv()
	return err
}

// dialAll connects every host of a list. Where it fails, none stays.
func dialAll(ctx context.Context, address string, hosts []host) (links []*link, err error) {
	for _, h := range hosts {
		l, err := dial(ctx, address, h.config)
		if err != nil {
			closeAll(links)
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

func closeAll(links []*link) {
	for _, l := range links {
		l.close()
	}
}

func (l *link) close() {
	l.cancel()
	_ = l.conn.Close() // nothing waits on it
}

// lease asks for the credential once. The answer is the same for the server and the floor, but for what it took.
func (l *link) lease(ctx context.Context, reference string) (*wire.LeaseResponse, error) {
	answer, err := l.calls.Lease(ctx, &wire.LeaseRequest{Request: "bench", Reference: reference, Job: &wire.Job{User: "bench", Uid: "1000", Pid: 1, Exe: "/bin/bench"}})
	if err != nil {
		return nil, err
	}
	if len(answer.GetFields()) != 1 || len(answer.GetFields()[0].GetSealed()) < valueSize {
		return nil, errors.New("the answer to a lease holds no value")
	}
	return answer, nil
}

// prove leases once and opens the value: what is timed afterwards are real answers.
func (l *link) prove(ctx context.Context, a *secret.Arena, want *secret.Buffer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, _ := peer.FromContext(l.watch.Context())
	state := p.AuthInfo.(credentials.TLSInfo).State
	exporter, err := envelope.Exporter(&state)
	if err != nil {
		return err
	}
	opener, err := l.to.Opener(a, l.first.GetWelcome().GetEncapsulation(), envelope.ToAgent, exporter)
	if err != nil {
		return err
	}
	defer opener.Wipe()
	answer, err := l.lease(ctx, credentialName)
	if err != nil {
		return err
	}
	field := answer.GetFields()[0]
	value, err := opener.Open(field.GetSealed(), envelope.Context{
		Request: "bench", Credential: answer.GetCredential(), Version: answer.GetVersion(), Field: field.GetName(),
	})
	if err != nil {
		return err
	}
	defer value.Wipe()
	if !secret.Equal(value.Reveal(), want.Reveal()) {
		return errors.New("a lease holds another value than was set")
	}
	return nil
}
