package delivery

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/strongroom/strongroom/server/internal/admission"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
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
	// reason stands in the entry with outcome and with the host that %s is.
	outcome audit.Outcome
	reason  string
}

const (
	uniformJoin    = "the join token is not valid for this host: ask an admin for a new one"
	uniformRecover = "this host cannot recover its certificate: enrol it again"
)

// TestIdentities goes through what can be done with an identity, a token or none: the answer and the entry of each.
func TestIdentities(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		do   func(*trial) (host string, err error)
		want want
	}{
		{"a token, twice by one key, the first answer lost", func(f *trial) (string, error) {
			token, key := f.joinToken(), f.key()
			first, err := f.join(token, key)
			f.must(err)
			again, err := f.join(token, key)
			if again.GetHost() != first.GetHost() || len(f.fleet.List()) != 1 {
				f.t.Errorf("one key became %s and %s of %d hosts", first.GetHost(), again.GetHost(), len(f.fleet.List()))
			}
			return first.GetHost(), err
		}, want{codes.OK, "", "host.enroll", "allowed", "join token "}},
		{"a token, by another key", func(f *trial) (string, error) {
			token := f.joinToken()
			_, err := f.join(token, f.key())
			f.must(err)
			_, err = f.join(token, f.key())
			return "", err
		}, want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "the join token was used already, by another key"}},
		{"a stolen token: the real host comes second, and the log has the thief", func(f *trial) (string, error) {
			token := f.joinToken()
			thief, err := f.join(token, f.key())
			f.must(err)
			_, err = f.join(token, f.key())
			wantCode(f.t, "the real host", err, codes.PermissionDenied, uniformJoin)
			f.logged("", want{action: "host.enroll", outcome: "refused", reason: "the join token was used already, by another key"})
			return thief.GetHost(), nil
		}, want{codes.OK, "", "host.enroll", "allowed", "join token "}},
		{"a token that has ended", func(f *trial) (string, error) {
			token := f.joinToken()
			f.clock.setAhead(61 * time.Minute)
			_, err := f.join(token, f.key())
			return "", err
		}, want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "the join token has ended"}},
		{"a token with another secret", func(f *trial) (string, error) {
			token := f.joinToken()
			_, err := f.join(token[:len(token)-4]+"aaaa", f.key())
			return "", err
		}, want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "wrong join token"}},
		{"no token of this vault", func(f *trial) (string, error) {
			_, err := f.join("srj_aaaaaaaaaaaaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa", f.key())
			return "", err
		}, want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "no such join token"}},
		{"another vault's host", func(f *trial) (string, error) {
			return "", f.lists(open(f.t).enrol().own)
		}, want{codes.Unavailable, alert, "host.connect", "refused", "certificate of another issuer"}},
		{"the agents' listener's own certificate", func(f *trial) (string, error) {
			own, err := f.fleet.ServerCertificate(identity.Server, nil)
			f.must(err)
			return "", f.lists(own)
		}, want{codes.Unavailable, alert, "host.connect", "refused", "certificate of another issuer"}},
		{"the console's certificate", func(f *trial) (string, error) {
			own, err := f.fleet.ServerCertificate(identity.Console, nil)
			f.must(err)
			return "", f.lists(own)
		}, want{codes.Unavailable, alert, "host.connect", "refused", "certificate of another issuer"}},
		{"a self-signed one with a host's name", func(f *trial) (string, error) {
			return "", f.lists(f.forged(f.enrol().id))
		}, want{codes.Unavailable, alert, "host.connect", "refused", "certificate of another issuer"}},
		{"the same with the genuine issuer beside it", func(f *trial) (string, error) {
			a := f.enrol()
			return "", f.lists(f.forged(a.id, a.own.Certificate[1]))
		}, want{codes.Unavailable, alert, "host.connect", "refused", "certificate of another issuer"}},
		{"ended an hour ago", func(f *trial) (string, error) {
			a := f.enrol()
			leaf, err := x509.ParseCertificate(a.own.Certificate[0])
			f.must(err)
			f.clock.setAhead(25 * time.Hour)
			err = f.lists(a.own)
			f.logged(a.id, want{action: "host.connect", outcome: "refused", reason: leaf.NotAfter.UTC().Format("2006-01-02T15:04:05Z")})
			return a.id, err
		}, want{codes.Unavailable, alert, "host.connect", "refused", "certificate ended at "}},
		{"ended 29 days ago: it recovers", func(f *trial) (string, error) {
			a := f.enrol()
			f.clock.setAhead(30 * 24 * time.Hour)
			return a.id, f.recovers(a.own)
		}, want{codes.OK, "", "host.recover", "allowed", "generation 2"}},
		{"ended 31 days ago: it does not", func(f *trial) (string, error) {
			a := f.enrol()
			f.clock.setAhead(32 * 24 * time.Hour)
			return a.id, f.recovers(a.own)
		}, want{codes.PermissionDenied, uniformRecover, "host.recover", "refused", "the certificate ended more than 30 days ago"}},
		{"another vault's host recovers", func(f *trial) (string, error) {
			return "", f.recovers(open(f.t).enrol().own)
		}, want{codes.PermissionDenied, uniformRecover, "host.recover", "refused", "not a certificate of a host of this vault"}},
		{"revoked", func(f *trial) (string, error) {
			a := f.enrol()
			f.must(f.fleet.Revoke(f.t.Context(), alice, a.id))
			return a.id, f.lists(a.own)
		}, want{codes.PermissionDenied, "this host is revoked", "host.connect", "refused", "this host is revoked"}},
		{"revoked, and recovers", func(f *trial) (string, error) {
			a := f.enrol()
			f.must(f.fleet.Revoke(f.t.Context(), alice, a.id))
			f.clock.setAhead(25 * time.Hour)
			return a.id, f.recovers(a.own)
		}, want{codes.PermissionDenied, uniformRecover, "host.recover", "refused", "this host is revoked"}},
		{"an older generation, as a cloned machine has it", func(f *trial) (string, error) {
			a := f.enrol()
			f.must(f.lists(a.renew().own))
			err := f.lists(a.own)
			if h, _ := f.fleet.Get(a.id); h.Frozen.IsZero() {
				f.t.Error("the host is not frozen")
			}
			return a.id, err
		}, want{codes.PermissionDenied, "this host is frozen, since two machines have its identity: revoke it and enrol each anew", "host.clone", "refused",
			"a replaced certificate of generation 1 was used while generation 2 is in use: two machines have this host's identity; it is frozen"}},
		{"a host that joins in another's name", func(f *trial) (string, error) {
			b := f.enrol()
			joined, err := f.join(f.joinToken(), f.key(), "spiffe://example.org/host/"+b.id, "spiffe://example.org/server/1")
			f.must(err)
			f.bears(joined.GetCertificates(), joined.GetHost())
			if joined.GetHost() == b.id {
				f.t.Error("it is the other host")
			}
			return joined.GetHost(), nil
		}, want{codes.OK, "", "host.enroll", "allowed", "join token "}},
		{"a host that renews in another's name", func(f *trial) (string, error) {
			a, b := f.enrol(), f.enrol()
			u := &url.URL{Scheme: "spiffe", Host: "example.org", Path: "/host/" + b.id}
			csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{u}}, f.key())
			f.must(err)
			r, err := a.calls.Renew(f.t.Context(), &wire.RenewRequest{CertificateRequest: csr})
			f.must(err)
			f.bears(r.GetCertificates(), a.id)
			return a.id, nil
		}, want{codes.OK, "", "host.renew", "allowed", "generation 2"}},
		{"a report is of the host that makes it", func(f *trial) (string, error) {
			a, b := f.enrol(), f.enrol()
			_, err := a.calls.Report(f.t.Context(), &wire.ReportRequest{Usage: []*wire.Usage{{
				Credential: b.id, Name: b.id, Reason: "host:" + b.id, Job: &wire.Job{User: b.id}, Allowed: true,
			}}})
			return a.id, err
		}, want{codes.OK, "", "credential.read", "allowed", "(claimed by the host)"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			f := &trial{clock: &clock{}}
			f.fixture = openAt(t, f.clock.now)
			f.hosts = f.clock.now
			host, err := c.do(f)
			if s := status.Convert(err); s.Code() != c.want.code || !strings.Contains(s.Message(), c.want.words) {
				t.Errorf("%v %q, want %v with %q", s.Code(), s.Message(), c.want.code, c.want.words)
			}
			f.logged(host, c.want)
		})
	}
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
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
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

// Nothing that a host sends has a place for a host's ID: who it is comes from its certificate alone.
func TestNoMessageNamesAHost(t *testing.T) {
	t.Parallel()
	seen := 0
	var look func(m protoreflect.MessageDescriptor)
	look = func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			seen++
			field := m.Fields().Get(i)
			if strings.Contains(string(field.Name()), "host") {
				t.Errorf("%s has a field %s", m.Name(), field.Name())
			}
			if field.Message() != nil {
				look(field.Message())
			}
		}
	}
	services := wire.File_shared_wire_agent_proto.Services()
	for i := range services.Len() {
		for j := range services.Get(i).Methods().Len() {
			look(services.Get(i).Methods().Get(j).Input())
		}
	}
	if seen < 20 {
		t.Errorf("only %d fields were looked at", seen)
	}
}

// resumer dials with a cache of TLS sessions, and tells whether each connection resumed one.
func (f *trial) resumer(own tls.Certificate) func() (resumed bool, err error) {
	config := identity.AgentClient(f.roots, "example.org", own)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	return func() (resumed bool, err error) {
		f.t.Helper()
		conn, err := grpc.NewClient("passthrough:///"+f.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
		f.must(err)
		defer conn.Close()
		var p peer.Peer
		_, err = wire.NewAgentsClient(conn).List(f.t.Context(), &wire.ListRequest{}, grpc.Peer(&p))
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			resumed = info.State.DidResume
		}
		return resumed, err
	}
}

// A resumed session is judged like a full handshake.
func TestResumedSessions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		end     func(f *trial, a *agent)
		resumes bool
		want    want
	}{
		{"control", func(*trial, *agent) {}, true, want{code: codes.OK}},
		{"after revocation", func(f *trial, a *agent) { f.must(f.fleet.Revoke(t.Context(), alice, a.id)) }, true,
			want{codes.PermissionDenied, "this host is revoked", "host.connect", "refused", "this host is revoked"}},
		{"after the certificate's end", func(f *trial, _ *agent) { f.clock.setAhead(25 * time.Hour) }, false,
			want{codes.Unavailable, alert, "host.connect", "refused", "certificate ended at "}},
		{"after a renewal", func(f *trial, a *agent) { f.must(f.lists(a.renew().own)) }, true,
			want{codes.PermissionDenied, "this host is frozen", "host.clone", "refused", "a replaced certificate of generation 1 was used"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			f := &trial{clock: &clock{}}
			f.fixture = openAt(t, f.clock.now)
			a := f.enrol()
			call := f.resumer(a.own)
			if resumed, err := call(); err != nil || resumed {
				t.Fatalf("the first connection: resumed %t, %v", resumed, err)
			}
			if resumed, err := call(); err != nil || !resumed {
				t.Fatalf("the control: resumed %t, %v", resumed, err)
			}
			c.end(f, a)
			resumed, err := call()
			wantCode(t, c.what, err, c.want.code, c.want.words)
			if resumed != c.resumes {
				t.Errorf("resumed: %t, want %t", resumed, c.resumes)
			}
			if c.want.action != "" {
				f.logged(a.id, c.want)
			}
		})
	}
}

// A server whose clock is an hour off from its hosts' enrols, leases, renews and recovers like any other.
func TestClocksAnHourOff(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			t.Parallel()
			f := &trial{clock: &clock{}}
			f.clock.setAhead(off)
			f.fixture = openAt(t, f.clock.now) // the clients go by the real clock
			a := f.enrol()
			a.open()
			f.addToken("crm", "tok")
			f.grantAll("g", "crm")
			l, err := a.lease("crm")
			f.must(err)
			if ttl := l.GetTerms()[0].GetTtlMs(); ttl != 900_000 {
				t.Errorf("leased for %d ms", ttl)
			}
			b := a.renew()
			b.open()
			f.clock.setAhead(off + 25*time.Hour) // b's certificate has ended here
			f.must(f.recovers(b.own))
			f.clock.setAhead(0) // the server's clock is put right
			c := f.enrol()
			f.must(f.lists(c.own))
		})
	}
}

// A thousand hosts behind one address join while somebody at another tries tokens, who is soon turned away.
func TestJoinsBehindOneAddress(t *testing.T) {
	t.Parallel()
	f := &trial{clock: &clock{}}
	f.fixture = openAt(t, f.clock.now)
	f.enrol()
	s := f.delivery.strangers
	here, there := admission.Network("192.0.2.1:1"), admission.Network("192.0.2.2:1")
	refuse := func(func(context.Context) error) error { return fleet.ErrJoin }
	turned := 0
	for range 200 {
		if err := s.try(t.Context(), there, s.joins, refuse); status.Code(err) == codes.ResourceExhausted {
			turned++
		}
	}
	if turned < 165 || turned > 170 {
		t.Errorf("%d of 200 failures at once were turned away unheard, want about 170", turned)
	}
	s.joins.SetLimit(1e6) // not to wait for it here
	for range 1000 {
		if err := s.try(t.Context(), here, s.joins, func(admit func(context.Context) error) error { return admit(t.Context()) }); err != nil {
			t.Fatalf("a good join from another address: %v", err)
		}
	}
	if err := s.try(t.Context(), there, s.joins, refuse); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the one who fails: %v", err)
	}
}
