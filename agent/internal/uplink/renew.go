package uplink

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
)

// clockAllowance is how much earlier than this host's clock the server's may
// find that a certificate has ended.
const clockAllowance = 2 * time.Hour

// renewed renews the certificate of a connection where that is due, and goes
// over to a connection with the new one: nil where there is nothing to do. After
// an error the old connection goes on, if it can.
func (u *Uplink) renewed(ctx context.Context, c *connection) (*connection, error) {
	if c.id == u.identity() {
		if u.now().Before(c.id.due) {
			return nil, nil
		}
		if err := u.renew(ctx, c); err != nil {
			return nil, err
		}
	}
	return u.goOver(ctx, c)
}

// goOver replaces a connection by one with the current identity. Jobs notice
// nothing: the old one answers until the new one does, and questions that the
// server no longer answers on the old one are asked again on the new.
func (u *Uplink) goOver(ctx context.Context, c *connection) (*connection, error) {
	crash.Point("renew.switch")
	defer u.beginSwitch()()
	next, err := u.open(ctx)
	if err != nil {
		return nil, err
	}
	crash.Point("renew.opened")
	u.mu.Lock()
	u.session = next.session
	u.mu.Unlock()
	c.close()
	if err := <-c.over; turnedAway(err) {
		next.close()
		return nil, err
	}
	u.to.Kept(next.confirmed)
	u.serve(ctx, next)
	crash.Point("renew.switched")
	u.log.Info("the certificate is renewed", "certificate_expires", next.id.Expires)
	return next, nil
}

func (u *Uplink) beginSwitch() (end func()) {
	over := make(chan struct{})
	u.mu.Lock()
	u.switching = over
	u.mu.Unlock()
	return func() {
		u.mu.Lock()
		u.switching = nil
		u.mu.Unlock()
		close(over)
	}
}

// successor waits while the agent goes over to a new certificate, and says
// whether another session than s is there to be asked.
func (u *Uplink) successor(ctx context.Context, s *session) bool {
	u.mu.Lock()
	over := u.switching
	u.mu.Unlock()
	if over != nil {
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	now, err := u.current()
	return err == nil && now != s
}

// renew trades a new key for the next generation's certificate.
func (u *Uplink) renew(ctx context.Context, c *connection) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return u.replace(c.id, func(request []byte) ([][]byte, error) {
		r, err := c.session.agents.Renew(ctx, &wire.RenewRequest{CertificateRequest: request})
		if err != nil {
			return nil, toError(err)
		}
		return r.GetCertificates(), nil
	})
}

// recoverEnded renews a certificate that has ended, without using it. Where
// connecting failed shortly before its end, it may be the server's clock that is
// ahead, and it is worth trying.
func (u *Uplink) recoverEnded(ctx context.Context, again bool) error {
	id := u.identity()
	left := id.Expires.Sub(u.now())
	if left > clockAllowance || left > 0 && !again {
		return nil
	}
	err := u.recover(ctx, id)
	if err != nil && left > 0 && !turnedAway(err) {
		return nil
	}
	return err
}

func (u *Uplink) recover(ctx context.Context, id *Identity) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	config := identity.AgentClient(id.roots, id.TrustDomain, tls.Certificate{})
	config.Certificates, config.Time = nil, u.now
	conn, err := dial(u.route, u.server(), newHandshaker(config))
	if err != nil {
		return err
	}
	defer conn.Close()
	crash.Point("recover.ask")
	err = u.replace(id, func(request []byte) ([][]byte, error) {
		p := proof{key: id.key, certificate: id.own.Certificate[0], request: request}
		r, err := wire.NewEnrolmentClient(conn).Recover(ctx, &wire.RecoverRequest{
			Certificate: p.certificate, CertificateRequest: request,
		}, grpc.PerRPCCredentials(p))
		if status.Code(err) == codes.PermissionDenied {
			return nil, ErrRecover
		}
		if err != nil {
			return nil, toError(err)
		}
		return r.GetCertificates(), nil
	})
	if err == nil {
		crash.Point("recover.done")
		u.log.Info("the certificate had ended and is renewed", "certificate_expires", u.identity().Expires)
	}
	return err
}

// replace makes and stores the identity that follows id. The new key is durable
// before the server is asked, and the certificate before it is used.
func (u *Uplink) replace(id *Identity, ask func(request []byte) ([][]byte, error)) error {
	key, err := id.nextKey()
	if err != nil {
		return err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	asked := u.now()
	crash.Point("renew.ask")
	certificates, err := ask(request)
	if err != nil {
		return err
	}
	crash.Point("renew.answered")
	next, err := id.renewed(certificates, key, asked)
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.id = next
	u.mu.Unlock()
	return nil
}

// proof signs a recovery for the connection that it is sent on, which gRPC makes
// known to call credentials alone.
type proof struct {
	key                  *ecdsa.PrivateKey // of the certificate
	certificate, request []byte
}

// GetRequestMetadata is part of gRPC's contract.
func (p proof) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	on, ok := info.AuthInfo.(*proved)
	if !ok {
		return nil, errors.New("no connection state of ours")
	}
	digest := wire.RecoverDigest(on.exporter, p.certificate, p.request)
	signature, err := ecdsa.SignASN1(rand.Reader, p.key, digest[:])
	return map[string]string{wire.ProofMetadata: string(signature)}, err
}

// RequireTransportSecurity is part of gRPC's contract.
func (proof) RequireTransportSecurity() bool { return true }
