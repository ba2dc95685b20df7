package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

// joining is a host that has a token and a key, and may not know that it has joined.
type joining struct {
	join identity.Join
	key  *ecdsa.PrivateKey
	own  *tls.Certificate // once it has
	root *x509.Certificate
	in   string // trust domain
}

func newJoining(ctx context.Context, c *api.Client) (*joining, error) {
	made, err := c.AddJoinToken(ctx, api.JoinTokenAdd{})
	if err != nil {
		return nil, err
	}
	join, err := identity.ParseJoin(made.Join)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &joining{join: join, key: key}, err
}

// ask joins with the one key, for the first time or once more.
func (j *joining) ask(ctx context.Context, s *siege) (host string, err error) {
	ctx, cancel := context.WithTimeout(ctx, kit.Patience)
	defer cancel()
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, j.key)
	if err != nil {
		return "", err
	}
	conn, err := grpc.NewClient("passthrough:///"+s.agents, grpc.WithTransportCredentials(credentials.NewTLS(identity.JoiningClient(j.join.Fingerprint))))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	answer, err := wire.NewEnrolmentClient(conn).Join(ctx, &wire.JoinRequest{Token: j.join.Token, CertificateRequest: request, Name: "stranger"})
	if err != nil {
		return "", err
	}
	j.own = &tls.Certificate{Certificate: answer.GetCertificates(), PrivateKey: j.key}
	j.in = answer.GetTrustDomain()
	j.root, err = x509.ParseCertificate(answer.GetRoot())
	return answer.GetHost(), err
}

// hungUp says that a call of a host has no answer because the server is gone, or because it has had too many.
func hungUp(err error) bool {
	return slices.Contains([]codes.Code{codes.Unavailable, codes.Canceled}, status.Code(err))
}

// join joins hosts, as fast as the server lets everybody together.
func (l *ledger) join() {
	c := l.s.client()
	defer c.Close()
	for {
		j, err := newJoining(l.s.t.Context(), c)
		if unanswered(err) {
			return
		}
		if err != nil {
			l.s.t.Errorf("making a join token: %v", err)
			return
		}
		l.waiting = j
		host, err := j.ask(l.s.t.Context(), l.s)
		if hungUp(err) {
			return
		}
		if err != nil {
			l.s.t.Errorf("joining: %v", err)
			return
		}
		l.answered("host.enroll", host)
		l.mu.Lock()
		l.hosts[host] = true
		l.mu.Unlock()
		l.waiting = nil
		time.Sleep(60 * time.Millisecond) // the server takes 20 a second
	}
}

// stranger is an enrolled host that reads one credential over and over.
type stranger struct {
	host   string
	config *tls.Config
}

func newStranger(s *siege) *stranger {
	s.t.Helper()
	c := s.client()
	defer c.Close()
	j, err := newJoining(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	host, err := j.ask(s.t.Context(), s)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(j.root)
	return &stranger{host: host, config: identity.AgentClient(roots, j.in, *j.own)}
}

func (l *ledger) read() {
	err := l.stand.read(l)
	if err != nil && !hungUp(err) {
		l.s.t.Errorf("reading: %v", err)
	}
}

// read opens a watch, as an agent does, and leases until there is no answer.
func (h *stranger) read(l *ledger) error {
	ctx, cancel := context.WithTimeout(l.s.t.Context(), kit.Patience)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+l.s.agents, grpc.WithTransportCredentials(credentials.NewTLS(h.config)))
	if err != nil {
		return err
	}
	defer conn.Close()
	agents := wire.NewAgentsClient(conn)
	to, err := envelope.NewRecipient()
	if err != nil {
		return err
	}
	watch, err := agents.Watch(ctx)
	if err != nil {
		return err
	}
	if err := watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: &wire.Hello{EnvelopeKey: to.PublicKey()}}}); err != nil {
		_, err = watch.Recv()
		return err
	}
	first, err := watch.Recv()
	if err != nil {
		return err
	}
	p, _ := peer.FromContext(watch.Context())
	state := p.AuthInfo.(credentials.TLSInfo).State
	exporter, err := envelope.Exporter(&state)
	if err != nil {
		return err
	}
	opener, err := to.Opener(l.s.arena, first.GetWelcome().GetEncapsulation(), envelope.ToAgent, exporter)
	if err != nil {
		return err
	}
	defer opener.Wipe()
	var others sync.WaitGroup
	defer others.Wait()
	for range 2 {
		others.Go(func() { _ = h.leases(ctx, l, agents, nil) }) // as the first one, which says why
	}
	return h.leases(ctx, l, agents, opener)
}

// leases asks until there is no answer. With an opener it looks at what it is given.
func (h *stranger) leases(ctx context.Context, l *ledger, agents wire.AgentsClient, opener *envelope.Opener) error {
	for i := 0; ; i++ {
		err := h.lease(ctx, l, agents, opener, fmt.Sprint("read", i))
		switch status.Code(err) {
		case codes.OK:
		case codes.Aborted, codes.ResourceExhausted: // the grants changed meanwhile; too many at a time
			time.Sleep(time.Millisecond)
		default:
			return err
		}
	}
}

func (h *stranger) lease(ctx context.Context, l *ledger, agents wire.AgentsClient, opener *envelope.Opener, request string) error {
	answer, err := agents.Lease(ctx, &wire.LeaseRequest{Request: request, Reference: standing, Job: &wire.Job{User: "reader", Uid: "1000", Pid: 1, Exe: "/bin/reader"}})
	if err != nil {
		return err
	}
	if opener == nil {
		l.answered("credential.read", standing+" "+h.host)
		return nil
	}
	for _, f := range answer.GetFields() {
		if f.GetName() != "token" {
			continue
		}
		value, err := opener.Open(f.GetSealed(), envelope.Context{
			Request: request, Credential: answer.GetCredential(), Version: answer.GetVersion(), Field: f.GetName(),
		})
		if err != nil {
			return err
		}
		defer value.Wipe()
		if got := string(value.Reveal()); got != "value of "+standMark {
			return fmt.Errorf("a host was given %q", got)
		}
		l.answered("credential.read", standing+" "+h.host)
		return nil
	}
	return errors.New("a lease without the value")
}
