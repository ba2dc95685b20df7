package delivery

import (
	"context"
	"crypto/tls"
	"fmt"
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
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
)

const (
	uniformJoin    = "the join token is not valid for this host: ask an admin for a new one"
	uniformRecover = "this host cannot recover its certificate: enrol it again"
)

// TestIdentities goes through what can be done with an identity, a token or none: the answer and the entry of each.
func TestIdentities(t *testing.T) {
	t.Parallel()
	foreign := want{codes.Unavailable, alert, "host.connect", "refused", "certificate of another issuer"}
	for _, c := range []struct {
		what string
		do   func(*trial) (host string, err error)
		want want
	}{
		{"a token, twice by one key, the first answer lost", (*trial).joinsTwice,
			want{codes.OK, "", "host.enroll", "allowed", "join token "}},
		{"a token, by another key", (*trial).joinsWithAnotherKey,
			want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "the join token was used already, by another key"}},
		{"a stolen token: the real host comes second, and the log has the thief", (*trial).joinsAfterAThief,
			want{codes.OK, "", "host.enroll", "allowed", "join token "}},
		{"a token that has ended", (*trial).joinsTooLate,
			want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "the join token has ended"}},
		{"a token with another secret", (*trial).joinsWithAWrongSecret,
			want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "wrong join token"}},
		{"no token of this vault", (*trial).joinsWithAnUnknownToken,
			want{codes.PermissionDenied, uniformJoin, "host.enroll", "refused", "no such join token"}},
		{"another vault's host", (*trial).connectsToAnotherVault, foreign},
		{"the agents' listener's own certificate", (*trial).connectsAsTheServer, foreign},
		{"the console's certificate", (*trial).connectsAsTheConsole, foreign},
		{"a self-signed one with a host's name", (*trial).connectsSelfSigned, foreign},
		{"the same with the genuine issuer beside it", (*trial).connectsBesideTheIssuer, foreign},
		{"ended an hour ago", (*trial).connectsTooLate,
			want{codes.Unavailable, alert, "host.connect", "refused", "certificate ended at "}},
		{"ended 29 days ago: it recovers", (*trial).recoversInTime,
			want{codes.OK, "", "host.recover", "allowed", "generation 2"}},
		{"ended 31 days ago: it does not", (*trial).recoversTooLate,
			want{codes.PermissionDenied, uniformRecover, "host.recover", "refused", "the certificate ended more than 30 days ago"}},
		{"another vault's host recovers", (*trial).recoversInAnotherVault,
			want{codes.PermissionDenied, uniformRecover, "host.recover", "refused", "not a certificate of a host of this vault"}},
		{"revoked", (*trial).connectsRevoked,
			want{codes.PermissionDenied, "this host is revoked", "host.connect", "refused", "this host is revoked"}},
		{"revoked, and recovers", (*trial).recoversRevoked,
			want{codes.PermissionDenied, uniformRecover, "host.recover", "refused", "this host is revoked"}},
		{"an older generation, as a cloned machine has it", (*trial).connectsAsAClone,
			want{codes.PermissionDenied, "this host is frozen, since two machines have its identity: revoke it and enrol each anew", "host.clone", "refused",
				"a replaced certificate of generation 1 was used while generation 2 is in use: two machines have this host's identity; it is frozen"}},
		{"a host that joins in another's name", (*trial).joinsInAnothersName,
			want{codes.OK, "", "host.enroll", "allowed", "join token "}},
		{"a host that renews in another's name", (*trial).renewsInAnothersName,
			want{codes.OK, "", "host.renew", "allowed", "generation 2"}},
		{"a report is of the host that makes it", (*trial).reportsForAnother,
			want{codes.OK, "", "credential.read", "allowed", "(claimed by the host)"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			f := &trial{clock: &clock{}}
			f.fixture = openAt(t, f.clock.now)
			f.hosts = f.clock.now
			host, err := c.do(f)
			wantCode(t, c.what, err, c.want.code, c.want.words)
			f.logged(host, c.want)
		})
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
	failures := s.failures.Of(there)
	if failures.Limit() != 2 || failures.Burst() != 30 {
		t.Errorf("%v failures a second, %d at once; want 2 and 30", failures.Limit(), failures.Burst())
	}
	failures.SetLimit(1e-9) // so that none is forgiven while this runs
	turned := 0
	for range 200 {
		if err := s.try(t.Context(), there, s.joins, refuse); status.Code(err) == codes.ResourceExhausted {
			turned++
		}
	}
	if turned != 170 {
		t.Errorf("%d of 200 failures at once were turned away unheard, want 170", turned)
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
