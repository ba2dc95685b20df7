package delivery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/wire"
)

// clock runs, and can be set.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) setAhead(d time.Duration) { c.ahead.Store(int64(d)) }

func (f *fixture) request() (*ecdsa.PrivateKey, []byte) {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.must(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	f.must(err)
	return key, der
}

// renew returns a connection with the next certificate, not used yet.
func (a *agent) renew() *agent {
	a.t.Helper()
	key, request := a.request()
	r, err := a.calls.Renew(a.t.Context(), &wire.RenewRequest{CertificateRequest: request})
	a.must(err)
	b := a.dial(tls.Certificate{Certificate: r.GetCertificates(), PrivateKey: key})
	b.id = a.id
	return b
}

func TestRenewalKeepsWhatIsHeld(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	f.addToken("crm", "tok")
	f.grantAll("g", "crm")
	l, err := a.lease("crm")
	f.must(err)
	b := a.renew()
	_, err = a.lease("crm")
	wantCode(t, "the old certificate while the new is not used", err, codes.OK, "")
	welcome := b.open(&wire.Held{Credential: l.GetCredential(), Version: l.GetVersion(), Terms: l.GetTermsDigest()})
	if got := welcome.GetConfirmed(); len(got) != 1 || got[0] != l.GetCredential() {
		t.Errorf("confirmed %v, want the lease", got)
	}
	if e, err := a.watch.Recv(); err == nil {
		t.Errorf("the old watch goes on with %v", e)
	}
	_, err = a.lease("crm")
	wantCode(t, "the old certificate on its old connection", err, codes.Unauthenticated, "a newer certificate of this host is in use")
	_, err = b.lease("crm")
	wantCode(t, "the new certificate", err, codes.OK, "")
	for _, e := range f.Newest(t, 10) {
		if e.Outcome != "allowed" {
			t.Errorf("logged %+v: a call under way is no news", e)
		}
	}
	if h, err := f.fleet.Get(a.id); err != nil || !h.Frozen.IsZero() || !h.Connected {
		t.Errorf("%+v, %v: a call under way froze the host, or its session is gone", h, err)
	}
	f.must(f.vault.RevokeGrant(t.Context(), alice, "g"))
	if e := b.event(); e.GetDrop().GetCredential() != l.GetCredential() {
		t.Errorf("pushed %v, want a drop of crm", e)
	}
}

// Any first call with the new certificate ends the old one's watch.
func TestFirstCallEndsTheOldWatch(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	began := time.Now()
	_, err := a.renew().calls.List(t.Context(), &wire.ListRequest{})
	f.must(err)
	defer func() {
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("after %s", took)
		}
	}()
	if e, err := a.watch.Recv(); err == nil {
		t.Errorf("the old watch goes on with %v", e)
	}
}

func TestCertificateEndsOnAnOpenConnection(t *testing.T) {
	t.Parallel()
	var c clock
	f := openAt(t, c.now)
	a := f.enrol()
	a.open()
	c.setAhead(24*time.Hour - time.Minute)
	_, err := a.calls.List(t.Context(), &wire.ListRequest{})
	wantCode(t, "a minute before its end", err, codes.OK, "")
	c.setAhead(24 * time.Hour)
	_, err = a.calls.List(t.Context(), &wire.ListRequest{})
	wantCode(t, "after its end", err, codes.Unauthenticated, "the host certificate has ended")
	_, request := f.request()
	_, err = a.calls.Renew(t.Context(), &wire.RenewRequest{CertificateRequest: request})
	wantCode(t, "renewing after its end", err, codes.Unauthenticated, "the host certificate has ended")
}

// signature is a proof of recovery; on another connection where exporter says so.
type signature struct {
	key                            *ecdsa.PrivateKey
	certificate, request, exporter []byte
}

func (s signature) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	info, _ := credentials.RequestInfoFromContext(ctx)
	exporter := s.exporter
	if exporter == nil {
		var err error
		state := info.AuthInfo.(credentials.TLSInfo).State
		if exporter, err = envelope.Exporter(&state); err != nil {
			return nil, err
		}
	}
	digest := wire.RecoverDigest(exporter, s.certificate, s.request)
	signed, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	return map[string]string{wire.ProofMetadata: string(signed)}, err
}

func (signature) RequireTransportSecurity() bool { return true }

func TestRecovery(t *testing.T) {
	t.Parallel()
	var c clock
	c.setAhead(-25 * time.Hour) // TLS goes by the real clock, where the certificate has ended
	f := openAt(t, c.now)
	a := f.enrol()
	c.setAhead(0)
	_, err := a.calls.List(t.Context(), &wire.ListRequest{})
	wantCode(t, "an ended certificate", err, codes.Unavailable, "")

	nobody := f.dial(tls.Certificate{})
	key, request := f.request()
	recoverBy := func(s signature, request []byte) (*wire.RecoverResponse, error) {
		return wire.NewEnrolmentClient(nobody.conn).Recover(t.Context(),
			&wire.RecoverRequest{Certificate: s.certificate, CertificateRequest: request}, grpc.PerRPCCredentials(s))
	}
	good := signature{key: a.own.PrivateKey.(*ecdsa.PrivateKey), certificate: a.own.Certificate[0], request: request}

	elsewhere := f.dial(tls.Certificate{})
	var p peer.Peer
	_, _ = elsewhere.calls.List(t.Context(), &wire.ListRequest{}, grpc.Peer(&p))
	state := p.AuthInfo.(credentials.TLSInfo).State
	replayed, stolen := good, good
	replayed.exporter, err = envelope.Exporter(&state)
	f.must(err)
	stolen.key = key
	_, another := f.request()
	recovered := func() audit.Entry { // the newest of them: a's connection goes on trying, which is logged as well
		all := f.Newest(t, 20)
		return all[max(slices.IndexFunc(all, func(e audit.Entry) bool { return e.Action == "host.recover" }), 0)]
	}
	const uniform = "this host cannot recover its certificate: enrol it again"
	const reason = "the proof is not by the certificate's key for this connection"
	for _, bad := range []struct {
		what string
		call func() error
	}{
		{"a proof for another connection", func() error { _, err := recoverBy(replayed, request); return err }},
		{"a proof by another key", func() error { _, err := recoverBy(stolen, request); return err }},
		{"a proof for another request", func() error { _, err := recoverBy(good, another); return err }},
		{"no proof", func() error {
			_, err := wire.NewEnrolmentClient(nobody.conn).Recover(t.Context(), &wire.RecoverRequest{Certificate: good.certificate, CertificateRequest: request})
			return err
		}},
	} {
		err := bad.call()
		wantCode(t, bad.what, err, codes.PermissionDenied, uniform)
		if message := status.Convert(err).Message(); message != uniform {
			t.Errorf("%s: says %q", bad.what, message)
		}
		if e := recovered(); e.Action != "host.recover" || e.Outcome != "refused" || e.Reason != reason {
			t.Errorf("%s: logged %+v", bad.what, e)
		}
	}

	r, err := recoverBy(good, request)
	f.must(err)
	b := f.dial(tls.Certificate{Certificate: r.GetCertificates(), PrivateKey: key})
	b.open()
	nobody = f.dial(tls.Certificate{}) // the old connection could be a straggler
	_, err = recoverBy(good, request)
	wantCode(t, "a copy of the host as it was", err, codes.PermissionDenied, uniform)
	if h, err := f.fleet.Get(a.id); err != nil || h.Frozen.IsZero() {
		t.Errorf("%+v, %v, want it frozen", h, err)
	}
	f.must(f.fleet.Revoke(t.Context(), alice, a.id))
	good = signature{key: key, certificate: r.GetCertificates()[0], request: request}
	_, err = recoverBy(good, request)
	wantCode(t, "a revoked host", err, codes.PermissionDenied, uniform)
	if e := recovered(); e.Action != "host.recover" || e.Reason != "this host is revoked" {
		t.Errorf("logged %+v", e)
	}
}

func TestRecoveriesAreLimited(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.enrol()
	calls := wire.NewEnrolmentClient(f.dial(tls.Certificate{}).conn)
	for range 200 {
		_, err := calls.Recover(t.Context(), &wire.RecoverRequest{})
		if status.Code(err) == codes.ResourceExhausted {
			return
		}
	}
	t.Error("200 recoveries at once were looked at, want 30 and 2 a second")
}
