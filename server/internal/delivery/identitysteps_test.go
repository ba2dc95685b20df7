package delivery

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

// A trial is one that somebody with an identity, or without, makes of a server whose clock can be set.
type trial struct {
	*fixture
	clock *clock
}

// joinToken makes one that lasts an hour.
func (f *trial) joinToken() string {
	f.t.Helper()
	token, _, err := f.fleet.NewJoinToken(f.t.Context(), alice, nil, time.Hour, 1)
	f.must(err)
	return token
}

// join joins with a key, which names names in its request.
func (f *trial) join(token string, key *ecdsa.PrivateKey, names ...string) (*wire.JoinResponse, error) {
	f.t.Helper()
	template := &x509.CertificateRequest{}
	for _, n := range names {
		u, err := url.Parse(n)
		f.must(err)
		template.URIs = append(template.URIs, u)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	f.must(err)
	return wire.NewEnrolmentClient(f.dial(tls.Certificate{}).conn).Join(f.t.Context(), &wire.JoinRequest{Token: token, CertificateRequest: csr, Name: "runner"})
}

func (f *trial) key() *ecdsa.PrivateKey {
	key, _ := f.request()
	return key
}

// lists makes an ordinary call with a certificate, on a connection of its own.
func (f *trial) lists(own tls.Certificate) error {
	f.t.Helper()
	// TLS 1.3 tells a client why only once it reads; where its write fails before, it knows nothing and asks again.
	for try := 0; ; try++ {
		_, err := f.dial(own).calls.List(f.t.Context(), &wire.ListRequest{})
		if status.Code(err) != codes.Unavailable || try == 20 || strings.Contains(err.Error(), "certificate") {
			return err
		}
	}
}

// recovers asks for a new certificate for one that has ended.
func (f *trial) recovers(own tls.Certificate) error {
	f.t.Helper()
	_, request := f.request()
	proof := signature{key: own.PrivateKey.(*ecdsa.PrivateKey), certificate: own.Certificate[0], request: request}
	_, err := wire.NewEnrolmentClient(f.dial(tls.Certificate{}).conn).Recover(f.t.Context(),
		&wire.RecoverRequest{Certificate: own.Certificate[0], CertificateRequest: request}, grpc.PerRPCCredentials(proof))
	return err
}

// forged is a certificate with a host's name that its own key signed.
func (f *trial) forged(host string, issuer ...[]byte) tls.Certificate {
	f.t.Helper()
	key := f.key()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{SerialNumber: "1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{{Scheme: "spiffe", Host: "example.org", Path: "/host/" + host}}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	f.must(err)
	return tls.Certificate{Certificate: append([][]byte{der}, issuer...), PrivateKey: key}
}

// want is what a trial must come to: the answer to the host, and the entry in the log. Typed by hand.
type want struct {
	code   codes.Code
	words  string
	action string
	// reason stands in the entry, with outcome and the host that the trial gave.
	outcome audit.Outcome
	reason  string
}

// bears checks the name in a certificate.
func (f *trial) bears(chain [][]byte, host string) {
	f.t.Helper()
	leaf, err := x509.ParseCertificate(chain[0])
	f.must(err)
	name, err := identity.NameOf(leaf)
	if err != nil || name.URI().String() != "spiffe://example.org/host/"+host || len(leaf.DNSNames) != 0 {
		f.t.Errorf("the certificate is %v's (%v), want host %s alone", name, err, host)
	}
}

// logged waits for an entry: a refused handshake is logged after the client has learned of it.
func (f *trial) logged(host string, w want) {
	f.t.Helper()
	var entries []audit.Entry
	for end := time.Now().Add(kit.Patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		entries = f.Newest(f.t, 20)
		for _, e := range entries {
			if e.Action == w.action && e.Outcome == w.outcome && strings.Contains(e.Reason, w.reason) && e.Host == host {
				return
			}
		}
	}
	f.t.Errorf("no entry %s of host %q, %s: %q; there are", w.action, host, w.outcome, w.reason)
	for _, e := range entries {
		f.t.Errorf("  %+v", e)
	}
}

// The trials of TestIdentities: each says which host it was, where the log is to name one, and how it was answered.

func (f *trial) joinsTwice() (string, error) {
	token, key := f.joinToken(), f.key()
	first, err := f.join(token, key)
	f.must(err)
	again, err := f.join(token, key)
	if again.GetHost() != first.GetHost() || len(f.fleet.List()) != 1 {
		f.t.Errorf("one key became %s and %s of %d hosts", first.GetHost(), again.GetHost(), len(f.fleet.List()))
	}
	return first.GetHost(), err
}

func (f *trial) joinsWithAnotherKey() (string, error) {
	token := f.joinToken()
	_, err := f.join(token, f.key())
	f.must(err)
	_, err = f.join(token, f.key())
	return "", err
}

func (f *trial) joinsAfterAThief() (string, error) {
	token := f.joinToken()
	thief, err := f.join(token, f.key())
	f.must(err)
	_, err = f.join(token, f.key())
	wantCode(f.t, "the real host", err, codes.PermissionDenied, uniformJoin)
	f.logged("", want{action: "host.enroll", outcome: "refused", reason: "the join token was used already, by another key"})
	return thief.GetHost(), nil
}

func (f *trial) joinsTooLate() (string, error) {
	token := f.joinToken()
	f.clock.setAhead(61 * time.Minute)
	_, err := f.join(token, f.key())
	return "", err
}

func (f *trial) joinsWithAWrongSecret() (string, error) {
	token := f.joinToken()
	_, err := f.join(token[:strings.LastIndex(token, "_")]+"_aaaaaaaaaaaaaaaaaaaaaaaaaa", f.key())
	return "", err
}

func (f *trial) joinsWithAnUnknownToken() (string, error) {
	_, err := f.join("srj_aaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa", f.key())
	return "", err
}

func (f *trial) connectsToAnotherVault() (string, error) {
	return "", f.lists(open(f.t).enrol().own)
}

func (f *trial) connectsAsTheServer() (string, error) {
	own, err := f.fleet.ServerCertificate(identity.Server, nil)
	f.must(err)
	return "", f.lists(own)
}

func (f *trial) connectsAsTheConsole() (string, error) {
	own, err := f.fleet.ServerCertificate(identity.Console, nil)
	f.must(err)
	return "", f.lists(own)
}

func (f *trial) connectsSelfSigned() (string, error) {
	return "", f.lists(f.forged(f.enrol().id))
}

func (f *trial) connectsBesideTheIssuer() (string, error) {
	a := f.enrol()
	return "", f.lists(f.forged(a.id, a.own.Certificate[1]))
}

func (f *trial) connectsTooLate() (string, error) {
	a := f.enrol()
	leaf, err := x509.ParseCertificate(a.own.Certificate[0])
	f.must(err)
	f.clock.setAhead(25 * time.Hour)
	err = f.lists(a.own)
	f.logged(a.id, want{action: "host.connect", outcome: "refused", reason: leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z")})
	return a.id, err
}

func (f *trial) recoversInTime() (string, error) {
	a := f.enrol()
	f.clock.setAhead(30 * 24 * time.Hour)
	return a.id, f.recovers(a.own)
}

func (f *trial) recoversTooLate() (string, error) {
	a := f.enrol()
	f.clock.setAhead(32 * 24 * time.Hour)
	return a.id, f.recovers(a.own)
}

func (f *trial) recoversInAnotherVault() (string, error) {
	return "", f.recovers(open(f.t).enrol().own)
}

func (f *trial) connectsRevoked() (string, error) {
	a := f.enrol()
	f.must(f.fleet.Revoke(f.t.Context(), alice, a.id))
	return a.id, f.lists(a.own)
}

func (f *trial) recoversRevoked() (string, error) {
	a := f.enrol()
	f.must(f.fleet.Revoke(f.t.Context(), alice, a.id))
	f.clock.setAhead(25 * time.Hour)
	return a.id, f.recovers(a.own)
}

func (f *trial) connectsAsAClone() (string, error) {
	a := f.enrol()
	f.must(f.lists(a.renew().own))
	err := f.lists(a.own)
	if h, _ := f.fleet.Get(a.id); h.Frozen.IsZero() {
		f.t.Error("the host is not frozen")
	}
	return a.id, err
}

func (f *trial) joinsInAnothersName() (string, error) {
	b := f.enrol()
	joined, err := f.join(f.joinToken(), f.key(), "spiffe://example.org/host/"+b.id, "spiffe://example.org/server/1")
	f.must(err)
	f.bears(joined.GetCertificates(), joined.GetHost())
	if joined.GetHost() == b.id {
		f.t.Error("it is the other host")
	}
	return joined.GetHost(), nil
}

func (f *trial) renewsInAnothersName() (string, error) {
	a, b := f.enrol(), f.enrol()
	u := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/host/" + b.id}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{u}}, f.key())
	f.must(err)
	r, err := a.calls.Renew(f.t.Context(), &wire.RenewRequest{CertificateRequest: csr})
	f.must(err)
	f.bears(r.GetCertificates(), a.id)
	return a.id, nil
}

func (f *trial) reportsForAnother() (string, error) {
	a, b := f.enrol(), f.enrol()
	_, err := a.calls.Report(f.t.Context(), &wire.ReportRequest{Usage: []*wire.Usage{{
		Credential: b.id, Name: b.id, Reason: "host:" + b.id, Job: &wire.Job{User: b.id}, Allowed: true,
	}}})
	return a.id, err
}
