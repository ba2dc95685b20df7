package delivery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/configs"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

var alice = grant.Person{ID: "id-alice", Name: "alice", Role: "admin", Permissions: ^grant.Permissions(0)}

// fixture is a whole server below the people's API, with a listener.
type fixture struct {
	*roomtest.Rooms
	t        *testing.T
	fleet    *fleet.Fleet
	vault    *vault.Vault
	settings *setting.Settings
	delivery *Delivery
	address  string
	roots    *x509.CertPool
	dialer   func(ctx context.Context, address string) (net.Conn, error)
	hosts    func() time.Time // their clock; nil: the real one
}

func open(t *testing.T) *fixture {
	t.Helper()
	return openAt(t, time.Now)
}

func openAt(t *testing.T, now func() time.Time) *fixture {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, l, now)
}

func openOn(t *testing.T, l net.Listener, now func() time.Time) *fixture {
	t.Helper()
	f := &fixture{Rooms: roomtest.Open(t), t: t}
	err := f.Log.Change(t.Context(), f.Barrier, audit.Entry{Actor: "system", Action: "vault.create", Outcome: audit.Allowed},
		func(tx *barrier.Tx) error { return fleet.Create(tx, "example.org", now()) })
	f.must(err)
	f.fleet, err = fleet.Open(f.Barrier, f.Log, roomtest.Vault, now)
	f.must(err)
	f.fleet.JudgeJoins(roomtest.AnyLabels)
	c, err := catalogue.Load(configs.Applications)
	f.must(err)
	settings, err := setting.Open(f.Barrier, f.Log)
	if err != nil {
		t.Fatal(err)
	}
	f.vault, err = vault.Open(f.Barrier, f.Log, f.Arena, c, settings, time.Now)
	f.must(err)
	f.settings = settings
	f.delivery = New(f.fleet, f.vault, tokens(settings, now), f.Log, f.Checkpoints, f.Arena, slog.New(slog.DiscardHandler), now)
	go func() { _ = f.delivery.Serve(l) }() // ends with Stop
	t.Cleanup(f.delivery.Stop)
	f.address = l.Addr().String()
	f.dialer = func(ctx context.Context, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if p, ok := l.(pipes); ok {
		f.dialer = p.dial
	}
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// agent is a connection as an enrolled host, or as nobody.
type agent struct {
	*fixture
	conn   *grpc.ClientConn
	id     string
	own    tls.Certificate
	calls  wire.AgentsClient
	watch  wire.Agents_WatchClient
	opener *envelope.Opener
	logKey string

	checkpoints uint64 // that event has passed over
}

func (f *fixture) dial(own tls.Certificate) *agent {
	f.t.Helper()
	var config *tls.Config
	if f.roots == nil {
		config = identity.JoiningClient(f.fleet.RootFingerprint())
		config.Certificates = []tls.Certificate{own}
	} else {
		config = identity.AgentClient(f.roots, "example.org", own)
	}
	if f.hosts != nil {
		config.Time = f.hosts
	}
	conn, err := grpc.NewClient("passthrough:///"+f.address, grpc.WithContextDialer(f.dialer), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	f.must(err)
	f.t.Cleanup(func() { _ = conn.Close() })
	return &agent{fixture: f, conn: conn, calls: wire.NewAgentsClient(conn), own: own}
}

// enrol joins a new host and returns a connection as it.
func (f *fixture) enrol() *agent {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.must(err)
	token, _, err := f.fleet.NewJoinToken(f.t.Context(), alice, nil, time.Hour, 1)
	f.must(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	f.must(err)
	joined, err := wire.NewEnrolmentClient(f.dial(tls.Certificate{}).conn).Join(f.t.Context(), &wire.JoinRequest{Token: token, CertificateRequest: csr, Name: "runner"})
	f.must(err)
	root, err := x509.ParseCertificate(joined.GetRoot())
	f.must(err)
	f.roots = x509.NewCertPool()
	f.roots.AddCert(root)
	a := f.dial(tls.Certificate{Certificate: joined.GetCertificates(), PrivateKey: key})
	a.id, a.logKey = joined.GetHost(), joined.GetLogKey()
	return a
}

// open begins the watch.
func (a *agent) open(held ...*wire.Held) *wire.Welcome {
	a.t.Helper()
	return a.openSeen(nil, held...)
}

// openSeen begins the watch of a host that saw a checkpoint.
func (a *agent) openSeen(seen []byte, held ...*wire.Held) *wire.Welcome {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 5*time.Minute) // it is for a whole test
	a.t.Cleanup(cancel)
	var err error
	a.watch, err = a.calls.Watch(ctx)
	a.must(err)
	recipient, err := envelope.NewRecipient()
	a.must(err)
	a.must(a.watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: &wire.Hello{EnvelopeKey: recipient.PublicKey(), Held: held, Checkpoint: seen}}}))
	e, err := a.watch.Recv()
	a.must(err)
	p, _ := peer.FromContext(a.watch.Context())
	state := p.AuthInfo.(credentials.TLSInfo).State
	exporter, err := envelope.Exporter(&state)
	a.must(err)
	a.opener, err = recipient.Opener(a.Arena, e.GetWelcome().GetEncapsulation(), envelope.ToAgent, exporter)
	a.must(err)
	return e.GetWelcome()
}

func (a *agent) lease(ref string) (*wire.LeaseResponse, error) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), kit.Patience)
	defer cancel()
	return a.calls.Lease(ctx, &wire.LeaseRequest{Request: "r1", Reference: ref, Job: &wire.Job{User: "etl", Uid: "1001"}})
}

// event is the next that is pushed, but for the checkpoints: the log of a test that takes long gets one each minute.
func (a *agent) event() *wire.WatchEvent {
	a.t.Helper()
	for {
		e := a.next()
		if e.GetCheckpoint() == nil {
			return e
		}
		a.checkpoints++
	}
}

func (a *agent) next() *wire.WatchEvent {
	a.t.Helper()
	e, err := a.watch.Recv()
	a.must(err)
	return e
}

func (f *fixture) addToken(name, token string) credential.Metadata {
	f.t.Helper()
	b, err := f.Arena.From([]byte(token))
	f.must(err)
	defer b.Wipe()
	c, err := f.vault.Add(f.t.Context(), alice, name, vault.Change{
		Application: "generic-rest", AuthType: credential.AccessToken, Value: credential.Value{"token": b},
	})
	f.must(err)
	return c
}

func (f *fixture) grantAll(name, ref string) {
	f.t.Helper()
	_, err := f.vault.AddGrant(f.t.Context(), alice, grant.Grant{Name: name, Credentials: []string{ref}, AnyHost: true})
	f.must(err)
}

func TestLease(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	c := f.addToken("crm", "tok-canary")
	_, err := a.lease("crm")
	wantCode(t, "before the watch", err, codes.FailedPrecondition, "watch first")
	a.open()
	_, err = a.lease("crm")
	wantCode(t, "ungranted", err, codes.PermissionDenied, "refused")
	_, err = a.lease("nothing")
	wantCode(t, "not there", err, codes.PermissionDenied, "refused")
	f.grantAll("g", "crm")
	l, err := a.lease("crm")
	f.must(err)
	if l.GetCredential() != c.ID || l.GetVersion() != 1 || len(l.GetFields()) != 1 || l.GetTerms()[0].GetTtlMs() != 900_000 {
		t.Errorf("leased %v", l)
	}
	sealed := l.GetFields()[0].GetSealed()
	if strings.Contains(string(sealed), "tok-canary") {
		t.Error("the value travels in the clear")
	}
	about := envelope.Context{Request: "r1", Credential: c.ID, Version: 1, Field: "token"}
	value, err := a.opener.Open(sealed, about)
	if err != nil || string(value.Reveal()) != "tok-canary" {
		t.Errorf("opened %q, %v", value.Reveal(), err)
	}
	value.Wipe()
	about.Request = "r2"
	if _, err := a.opener.Open(sealed, about); err == nil {
		t.Error("the answer to one request opens as the answer to another")
	}
	if held := f.delivery.HeldBy(a.id); len(held) != 1 || held[0].Credential != c.ID {
		t.Errorf("the server thinks that the host holds %v", held)
	}
}

func TestWhatEndsALease(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	edit := func(ch vault.Change) error {
		_, _, err := f.vault.Edit(t.Context(), alice, "crm", ch)
		return err
	}
	// A second grant lets the job through again, whatever the first one says now.
	narrow := func(jobs grant.Jobs) error {
		_, err := f.vault.EditGrant(t.Context(), alice, grant.Grant{
			Name: "narrow", Credentials: []string{"crm"}, AnyHost: true, Conditions: grant.Conditions{Jobs: jobs},
		}, 0)
		return err
	}
	c := f.addToken("crm", "tok")
	f.addToken("other", "tok")
	f.grantAll("narrow", "crm")
	for _, end := range []struct {
		what string
		do   func() error
	}{
		{"a grant more", func() error { f.grantAll("more", "crm"); return nil }},
		{"a grant less", func() error { return f.vault.RevokeGrant(t.Context(), alice, "more") }},
		{"a unit", func() error { return narrow(grant.Jobs{JobUnits: []string{"a.service"}}) }},
		{"a container", func() error { return narrow(grant.Jobs{JobContainers: []string{"4f5cc6a1cbd8"}}) }},
		{"an executable", func() error { return narrow(grant.Jobs{JobUsers: []string{"bob"}, JobExes: []string{"/x"}}) }},
		{"another executable", func() error { return narrow(grant.Jobs{JobUsers: []string{"bob"}, JobExes: []string{"/y"}}) }},
		{"a hash", func() error {
			return narrow(grant.Jobs{JobUsers: []string{"bob"}, JobExeHashes: []string{strings.Repeat("ab", 32)}})
		}},
		{"a claim", func() error { return narrow(grant.Jobs{JobClaims: []string{"https://h:sub=a"}}) }},
		{"a new version", func() error { return edit(vault.Change{Generate: []string{"token"}}) }},
		{"a moved default", func() error { yes := true; return edit(vault.Change{Default: &yes}) }},
		{"the narrow grant", func() error { return f.vault.RevokeGrant(t.Context(), alice, "narrow") }},
		{"the last grant", func() error { return f.vault.RevokeGrant(t.Context(), alice, "g") }},
		{"deletion", func() error { _, _, err := f.vault.Delete(t.Context(), alice, "crm", 0); return err }},
	} {
		if _, err := f.vault.Grant(alice, "g"); err != nil {
			f.grantAll("g", "crm")
		}
		_, err := a.lease("crm")
		f.must(err)
		began := time.Now()
		f.must(end.do())
		if e := a.event(); e.GetDrop().GetCredential() != c.ID {
			t.Errorf("%s: pushed %v, want a drop of crm", end.what, e)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: told after %s", end.what, took)
		}
	}
}

// What does not concern a lease leaves it alone.
func TestWhatLeavesALease(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	f.addToken("crm", "tok")
	f.addToken("other", "tok")
	f.grantAll("g", "crm")
	_, err := a.lease("crm")
	f.must(err)
	text := "described"
	_, _, err = f.vault.Edit(t.Context(), alice, "crm", vault.Change{Description: &text})
	f.must(err)
	f.grantAll("elsewhere", "other")
	f.must(f.vault.RevokeGrant(t.Context(), alice, "elsewhere"))
	f.must(f.vault.RevokeGrant(t.Context(), alice, "g"))
	if e := a.event(); e.GetSequence() != 2+a.checkpoints {
		t.Errorf("event %d is the first after welcome, want 2: something was pushed before", e.GetSequence())
	}
}

// A returning agent keeps what is still allowed under the same terms.
func TestHeldLeasesAreConfirmedOrNot(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	var held []*wire.Held
	for _, name := range []string{"kept", "edited", "revoked"} {
		f.addToken(name, "tok")
		f.grantAll(name, name)
		l, err := a.lease(name)
		f.must(err)
		held = append(held, &wire.Held{Credential: l.GetCredential(), Version: l.GetVersion(), Terms: l.GetTermsDigest()})
	}
	f.must(a.conn.Close())
	_, _, err := f.vault.Edit(t.Context(), alice, "edited", vault.Change{Generate: []string{"token"}})
	f.must(err)
	f.must(f.vault.RevokeGrant(t.Context(), alice, "revoked"))
	b := f.dial(a.own)
	b.id = a.id
	forged := &wire.Held{Credential: held[1].GetCredential(), Version: 2, Terms: []byte("forged")}
	welcome := b.open(append(held, forged)...)
	if got := welcome.GetConfirmed(); len(got) != 1 || got[0] != held[0].GetCredential() {
		t.Errorf("confirmed %v, want kept alone", got)
	}
	f.must(f.vault.RevokeGrant(t.Context(), alice, "kept"))
	if e := b.event(); e.GetDrop().GetCredential() != held[0].GetCredential() {
		t.Errorf("pushed %v, want a drop of kept", e)
	}
}

func TestReportsAreLoggedAsClaimed(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	c := f.addToken("crm", "tok")
	_, err := a.calls.Report(t.Context(), &wire.ReportRequest{Usage: []*wire.Usage{{
		Credential: c.ID, Job: &wire.Job{User: "bob", Uid: "7"}, Reason: "no grant of this credential for this host names this job's user",
	}}})
	f.must(err)
	e := f.Newest(t, 1)[0]
	if e.Action != "credential.read" || e.Target != "crm" || e.Outcome != "refused" || e.Host != a.id || e.Job != "user=bob" ||
		e.Reason != "no grant of this credential for this host names this job's user (claimed by the host)" {
		t.Errorf("logged %+v", e)
	}
	_, err = a.calls.Report(t.Context(), &wire.ReportRequest{Usage: []*wire.Usage{{Allowed: true, Reason: "reads that were only counted: 7"}}})
	f.must(err)
	if e := f.Newest(t, 1)[0]; e.Target != "unknown" || e.Outcome != "allowed" || e.Job != "" || e.Reason != "reads that were only counted: 7 (claimed by the host)" {
		t.Errorf("a number of reads by several jobs is logged as %+v", e)
	}
	_, err = a.calls.Report(t.Context(), &wire.ReportRequest{Usage: make([]*wire.Usage, 101)})
	wantCode(t, "101 usages", err, codes.InvalidArgument, "at most 100")
}

// A host's record of what it was given does not depend on what it says, nor on
// whether it is connected.
func TestWhatAHostWasGivenIsRemembered(t *testing.T) {
	t.Parallel()
	f := open(t)
	a := f.enrol()
	a.open()
	c := f.addToken("crm", "tok")
	f.grantAll("g", "crm")
	_, err := a.lease("crm")
	f.must(err)
	want := func(when string, n int) {
		t.Helper()
		if held := f.delivery.HeldBy(a.id); len(held) != n || n == 1 && held[0] != (Held{c.ID, 1}) {
			t.Errorf("%s: %v, want %d", when, held, n)
		}
	}
	want("after the lease", 1)
	f.must(a.conn.Close())
	want("after it went away", 1)
	b := f.dial(a.own)
	b.id = a.id
	b.open()
	want("after it came back and said that it holds nothing", 1)
	_, err = b.lease("crm")
	f.must(err)
	f.must(f.vault.RevokeGrant(t.Context(), alice, "g"))
	e := b.event()
	want("after a drop that is not acknowledged", 1)
	f.must(b.watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Ack{Ack: &wire.Ack{Sequence: e.GetSequence()}}}))
	kit.Eventually(t, kit.Patience, "nothing is held after one that is", func() bool { return len(f.delivery.HeldBy(a.id)) == 0 })
}

// Headers and bodies of a connection without a certificate are refused before
// they take memory.
func TestStrangersGetNoRoom(t *testing.T) {
	t.Parallel()
	f := open(t)
	nobody := f.dial(tls.Certificate{})
	large := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 17<<10))
	_, err := wire.NewEnrolmentClient(nobody.conn).Join(large, &wire.JoinRequest{})
	if err == nil || status.Code(err) == codes.InvalidArgument {
		t.Errorf("17 KiB of headers: %v, want them refused before the call", err)
	}
	_, err = wire.NewEnrolmentClient(nobody.conn).Join(t.Context(), &wire.JoinRequest{Token: strings.Repeat("x", 257<<10)})
	wantCode(t, "a request of 257 KiB", err, codes.ResourceExhausted, "larger than max")
	_, err = wire.NewEnrolmentClient(nobody.conn).Join(t.Context(), &wire.JoinRequest{Token: "srj_x_y"})
	wantCode(t, "control: a small one", err, codes.InvalidArgument, "certificate request")
}
