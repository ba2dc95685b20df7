package delivery

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

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
	"github.com/strongroom/strongroom/shared/wire"
)

// asked is a server with one host, which a job of the user etl may read the credential crm on, and no listener.
type asked struct {
	calls       service
	certificate fleet.Certificate
	host        grant.Host
	crm         credential.Metadata
}

func newAsked(f *testing.F) *asked {
	f.Helper()
	must := func(err error) {
		if err != nil {
			f.Helper()
			f.Fatal(err)
		}
	}
	ctx, r := context.Background(), roomtest.Open(f)
	must(r.Log.Change(ctx, r.Barrier, audit.Entry{Actor: "system", Action: "vault.create", Outcome: audit.Allowed},
		func(tx *barrier.Tx) error { return fleet.Create(tx, "example.org", time.Now()) }))
	hosts, err := fleet.Open(r.Barrier, r.Log, roomtest.Vault, time.Now)
	must(err)
	hosts.JudgeJoins(roomtest.AnyLabels)
	c, err := catalogue.Load(configs.Applications)
	must(err)
	settings, err := setting.Open(r.Barrier, r.Log)
	must(err)
	v, err := vault.Open(r.Barrier, r.Log, r.Arena, c, settings, time.Now)
	must(err)
	d := New(hosts, v, tokens(settings, time.Now), r.Log, r.Checkpoints, r.Arena, slog.New(slog.DiscardHandler), time.Now)
	f.Cleanup(d.Stop)

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(err)
	token, _, err := hosts.NewJoinToken(ctx, alice, nil, time.Hour, 1)
	must(err)
	joined, err := hosts.Join(ctx, fleet.JoinRequest{Token: token, Certificate: csr, Name: "runner"})
	must(err)
	leaf, err := x509.ParseCertificate(joined.Certificates[0])
	must(err)
	a := &asked{calls: service{Delivery: d}}
	a.certificate, err = fleet.ReadCertificate(leaf, time.Now())
	must(err)
	a.host, err = hosts.Check(a.certificate)
	must(err)

	password, err := r.Arena.From([]byte("canary"))
	must(err)
	defer password.Wipe()
	a.crm, err = v.Add(ctx, alice, "crm", vault.Change{Application: "generic-rest", AuthType: credential.AccessToken, Value: credential.Value{"token": password}})
	must(err)
	_, err = v.AddGrant(ctx, alice, grant.Grant{Name: "g", Credentials: []string{"crm"}, AnyHost: true,
		Conditions: grant.Conditions{Jobs: grant.Jobs{JobUsers: []string{"etl"}}}})
	must(err)
	return a
}

// connected is a call's context on a connection of the host, and the connection. There is no limit to how often it may
// ask, which is not what is tried.
func (a *asked) connected(ctx context.Context) (context.Context, *link) {
	l := &link{certificate: a.certificate, exporter: make([]byte, 32)}
	return context.WithValue(ctx, callerKey{}, caller{host: a.host, link: l, limits: &limits{
		calls: rate.NewLimiter(rate.Inf, 0), renewals: rate.NewLimiter(rate.Inf, 0), leasing: make(chan struct{}, 2),
	}}), l
}

// written is the stream of a Watch on which all is said at once, and then no more.
type written struct {
	grpc.ServerStream
	ctx   context.Context
	says  []*wire.WatchRequest
	heard []*wire.WatchEvent
}

func (w *written) Context() context.Context { return w.ctx }

func (w *written) Recv() (*wire.WatchRequest, error) {
	if len(w.says) == 0 {
		return nil, io.EOF
	}
	next := w.says[0]
	w.says = w.says[1:]
	return next, nil
}

func (w *written) Send(e *wire.WatchEvent) error {
	w.heard = append(w.heard, e)
	return nil
}

// FuzzRequests: whatever an enrolled host asks, it is refused in few words that it is meant to have, or gets what is its own.
func FuzzRequests(f *testing.F) {
	a := newAsked(f)
	recipient, err := envelope.NewRecipient()
	if err != nil {
		f.Fatal(err)
	}
	grants := a.calls.vault.Permits(a.host, a.crm).Grants
	terms := digest(a.crm, grants, a.calls.vault.Environment(a.crm))
	seed := func(m proto.Message) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(&wire.LeaseRequest{Request: "r1", Reference: "crm", Job: &wire.Job{User: "etl", Uid: "1001"}})
	seed(&wire.VerifyRequest{Token: "e30.e30.e30", Job: &wire.Job{User: "etl"}})
	hello := func(held ...*wire.Held) *wire.WatchRequest {
		return &wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: &wire.Hello{EnvelopeKey: recipient.PublicKey(), Held: held}}}
	}
	own := &wire.Held{Credential: a.crm.ID, Version: 1, Terms: terms}
	seed(hello(own, own, &wire.Held{Credential: a.crm.ID, Version: 2, Terms: terms}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if sent := new(wire.LeaseRequest); proto.Unmarshal(b, sent) == nil {
			a.lease(t, hello(), sent)
		}
		if sent := new(wire.VerifyRequest); proto.Unmarshal(b, sent) == nil {
			a.verify(t, sent)
		}
		if sent := new(wire.WatchRequest); proto.Unmarshal(b, sent) == nil {
			a.watch(t, sent, own)
		}
	})
}

// told checks an error as the host is told it.
func (a *asked) told(t *testing.T, err error, want ...codes.Code) {
	t.Helper()
	s := status.Convert(toStatus(err))
	if !slices.Contains(want, s.Code()) || len(s.Message()) > 200 {
		t.Errorf("%s: %s", s.Code(), s.Message())
	}
}

func (a *asked) lease(t *testing.T, hello *wire.WatchRequest, sent *wire.LeaseRequest) {
	t.Helper()
	ctx, l := a.connected(t.Context())
	sealer, _, err := envelope.NewSealer(a.calls.arena, hello.GetHello().GetEnvelopeKey(), envelope.ToAgent, l.exporter)
	if err != nil {
		t.Fatal(err)
	}
	defer sealer.Wipe()
	l.session.Store(&session{host: a.host.ID, link: l, sealer: sealer, held: map[string]held{}, closed: make(chan struct{})})
	got, err := a.calls.Lease(ctx, sent)
	named := slices.Contains([]string{"crm", "app:generic-rest", a.crm.ID}, sent.GetReference())
	switch {
	case err != nil:
		a.told(t, err, codes.PermissionDenied, codes.InvalidArgument)
	case !named || sent.GetJob().GetUser() != "etl" || got.GetCredential() != a.crm.ID || len(got.GetFields()) != 1:
		t.Errorf("%v is leased %v", sent, got)
	}
	if b, _ := proto.Marshal(got); bytes.Contains(b, []byte("canary")) {
		t.Error("the value is in the clear")
	}
}

func (a *asked) verify(t *testing.T, sent *wire.VerifyRequest) {
	t.Helper()
	ctx, _ := a.connected(t.Context())
	got, err := a.calls.Verify(ctx, sent)
	if err == nil {
		t.Fatalf("a token of nobody's shows %v", got)
	}
	a.told(t, err, codes.PermissionDenied, codes.InvalidArgument)
}

func (a *asked) watch(t *testing.T, sent *wire.WatchRequest, own *wire.Held) {
	t.Helper()
	ctx, _ := a.connected(t.Context())
	stream := &written{ctx: ctx, says: []*wire.WatchRequest{sent, sent}}
	if err := a.calls.Watch(stream); err != nil {
		a.told(t, err, codes.InvalidArgument)
		return
	}
	if len(stream.heard) != 1 || stream.heard[0].GetWelcome() == nil {
		t.Fatalf("%v is answered %v", sent, stream.heard)
	}
	right := slices.ContainsFunc(sent.GetHello().GetHeld(), func(h *wire.Held) bool { return proto.Equal(h, own) })
	if got := stream.heard[0].GetWelcome().GetConfirmed(); len(got) > 1 || len(got) == 1 && (got[0] != own.GetCredential() || !right) {
		t.Errorf("%v is confirmed of %v", got, sent)
	}
}
