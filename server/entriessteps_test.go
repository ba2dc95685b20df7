package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

func (e *every) everything() {
	e.t.Helper()
	e.credentials()
	h := e.host()
	h.reads()
	h.renews()
	e.grants()
	must(e.admin.DeleteCredential(e.t.Context(), "crm", 0))(e.t)
	e.requests(h.id)
	e.users()
	e.keeps()
	must(e.admin.Seal(e.t.Context()))(e.t)
	must(e.server.unsealAtStart(e.t.Context()))(e.t)
}

func (e *every) check(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *every) want(err, want error) {
	e.t.Helper()
	if !errors.Is(err, want) {
		e.t.Errorf("%v, want %v", err, want)
	}
}

func (e *every) password() api.Values {
	return api.Values{Secrets: map[string]*secret.Buffer{"password": e.text(everyCanary)}}
}

func (e *every) credentials() {
	e.t.Helper()
	ctx, c, yes := e.t.Context(), e.admin, true
	crm := api.CredentialAdd{
		Name: "crm", Application: "generic-rest", AuthType: "basic", Description: everyCanary, Expires: &farEnd,
		Fields: map[string]string{"url": "https://api.example.com/v2", "username": "bot"}, Tags: map[string]string{"team": everyCanary},
	}
	must(c.AddCredential(ctx, crm, e.password()))(e.t)
	_, err := c.AddCredential(ctx, crm, e.password())
	e.want(err, api.ErrConflict)
	text := "for the night"
	must(c.EditCredential(ctx, "crm", 0, api.CredentialEdit{
		Fields: map[string]string{"url": "https://api.example.com/v3"}, Description: &text, Tags: map[string]string{"team": "", "tier": "1"},
		Expires: new(time.Time), Default: &yes,
	}, e.password()))(e.t)
	must(c.RollbackCredential(ctx, "crm", 0, 1))(e.t)
	must(c.DisconnectCredential(ctx, "crm", 0))(e.t)
	must(c.ConnectCredential(ctx, "crm", 0))(e.t)
	must(c.Reveal(ctx, "crm"))(e.t).Wipe()
	acme := api.ApplicationSet{YAML: "name: acme\ntitle: Ours\ncategory: c\nauth_types: [{type: basic}]\n"}
	must(c.AddApplication(ctx, "acme", acme))(e.t)
	must(c.DeleteApplication(ctx, "acme", 0))(e.t)
}

func (e *every) grants() {
	e.t.Helper()
	ctx, c := e.t.Context(), e.admin
	must(c.AddGrant(ctx, api.GrantRule{
		Name: "nightly", Credentials: []string{"crm"}, Hosts: []string{"h1"}, HostLabels: []string{"role=prod"},
		Jobs: api.Jobs{JobUsers: []string{"etl", "root"}}, Until: &farEnd,
	}))(e.t)
	must(c.EditGrant(ctx, 0, api.GrantRule{
		Name: "nightly", Credentials: []string{"crm"}, Tags: []string{"tier=1"}, AnyHost: true, TTL: api.Duration(time.Hour), Offline: api.Duration(2 * time.Hour),
	}))(e.t)
	must(c.RevokeGrant(ctx, "nightly"))(e.t)
}

// requests are olga's for a custom credential of admin's, which is then handed over and deleted.
func (e *every) requests(host string) {
	e.t.Helper()
	ctx, c := e.t.Context(), e.admin
	must(c.AddUser(ctx, "olga", "developer", e.text("Ember-fjord-glacier-12"), nil))(e.t)
	olga := e.login("olga", "Ember-fjord-glacier-12")
	must(c.AddCredential(ctx, api.CredentialAdd{Name: "admin/payroll", Requestable: true, Tags: map[string]string{everyCanary: "x"}}, api.Values{
		Variables: map[string]*secret.Buffer{"iban": e.text("x")}, Masked: map[string]*secret.Buffer{"pin": e.text(everyCanary)},
	}))(e.t)
	must(c.AddGrant(ctx, api.GrantRule{Name: "mine", Credentials: []string{"admin/payroll"}, AnyHost: true}))(e.t)
	ask := func() uint64 {
		return must(olga.MakeRequest(ctx, api.RequestMake{
			Credential: "admin/payroll", Reason: everyCanary, Access: "read", Host: host, Jobs: api.Jobs{JobUsers: []string{"etl"}},
		}))(e.t).Number
	}
	must(c.Approve(ctx, ask(), nil))(e.t)
	must(c.Deny(ctx, ask()))(e.t)
	must(c.RevokeRequest(ctx, ask()))(e.t)
	must(c.TransferCredential(ctx, "admin/payroll", "olga"))(e.t)
	must(olga.DeleteCredential(ctx, "olga/payroll", 0))(e.t)
	_, err := olga.SetSetting(ctx, "secret-min", "9")
	e.want(err, api.ErrRefused)
}

func (e *every) users() {
	e.t.Helper()
	ctx, c, yes, no := e.t.Context(), e.admin, true, false
	olga := e.login("olga", "Ember-fjord-glacier-12")
	user, key, err := olga.BeginFactor(ctx, e.text("Ember-fjord-glacier-12"))
	e.check(err)
	confirmed := must(olga.ConfirmFactor(ctx, totpNow(key)))(e.t)
	e.check(olga.RemoveFactor(ctx, api.FactorRemove{User: user, Code: confirmed.Recovery[0]}))
	e.check(olga.SetPassword(ctx, "olga", e.text("Ember-fjord-glacier-12"), e.text("Hollow-ink-jetty-34")))
	_, err = e.client(nil).Login(ctx, "olga", e.text("Ember-fjord-glacier-12"), "")
	e.want(err, api.ErrUnauthenticated)
	e.check(c.SetPassword(ctx, "olga", nil, e.text("Kelp-lantern-moss-56")))
	must(c.AddRole(ctx, api.RoleAdd{Name: "watcher", Permissions: []string{"host.view"}}))(e.t)
	watcher, developer := "watcher", "developer"
	must(c.EditUser(ctx, "olga", 0, api.UserEdit{Role: &watcher}))(e.t)
	must(c.EditUser(ctx, "olga", 0, api.UserEdit{Role: &developer}))(e.t)
	must(c.EditUser(ctx, "olga", 0, api.UserEdit{Disabled: &yes}))(e.t)
	must(c.EditUser(ctx, "olga", 0, api.UserEdit{Disabled: &no}))(e.t)
	e.check(c.DeleteUser(ctx, "olga", 0, true))
	e.check(c.DeleteRole(ctx, "watcher"))
	token := must(c.AddToken(ctx, api.TokenAdd{Name: "deploy", Scopes: []string{"host.view"}, Expires: &farEnd}))(e.t)
	must(e.client(token.Token).Whoami(ctx))(e.t)
	e.check(c.RevokeToken(ctx, "deploy"))
	e.check(e.login("admin", "Anvil-cobalt-drift-77").Logout(ctx))
}

// totpNow is RFC 6238's code.
func totpNow(key *secret.Buffer) string {
	mac := hmac.New(sha1.New, key.Reveal())
	_ = binary.Write(mac, binary.BigEndian, time.Now().Unix()/30)
	sum := mac.Sum(nil)
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
}

func (e *every) keeps() {
	e.t.Helper()
	ctx, c := e.t.Context(), e.admin
	must(c.SetSetting(ctx, "secret-min", "8"))(e.t)
	by := func() api.Authority {
		return api.Authority{KeyFile: must(e.arena.ReadFile(e.made.KeyFile, 1<<10))(e.t)}
	}
	slot, _, err := c.AddSlot(ctx, by(), api.NewSlot{Passphrase: e.text("anvil cobalt drifting ember fjord glacier hollow ink")})
	e.check(err)
	must(c.RemoveSlot(ctx, by(), slot.ID))(e.t)
	must(c.Rekey(ctx))(e.t)
	kit.Eventually(e.t, kit.Patience, "the keys are new", func() bool { return !must(c.RekeyState(ctx))(e.t).Running })
	must(c.Backup(ctx, io.Discard))(e.t)
	must(c.ExportAudit(ctx, api.AuditQuery{Actor: everyCanary}, io.Discard))(e.t)
}

// everyHost is an agent at the server's own listener.
type everyHost struct {
	*every
	id    string
	roots *x509.CertPool
	own   tls.Certificate
	calls wire.AgentsClient
}

func (e *every) dial(config *tls.Config) *grpc.ClientConn {
	e.t.Helper()
	conn := must(grpc.NewClient(e.server.rooms.agents.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config))))(e.t)
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func newRequest() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return key, csr, err
}

// host joins, after it was refused.
func (e *every) host() *everyHost {
	e.t.Helper()
	ctx := e.t.Context()
	token := must(e.admin.AddJoinToken(ctx, api.JoinTokenAdd{Labels: map[string]string{"env": "test"}}))(e.t)
	enrol := wire.NewEnrolmentClient(e.dial(identity.JoiningClient(e.made.CAFingerprint)))
	key, csr, err := newRequest()
	e.check(err)
	_, err = enrol.Join(ctx, &wire.JoinRequest{Token: "srj_" + strings.Repeat("a", 26) + "_x", CertificateRequest: csr, Name: "runner"})
	e.wantCode(err, codes.PermissionDenied)
	_, err = enrol.Recover(ctx, &wire.RecoverRequest{Certificate: []byte("x"), CertificateRequest: csr})
	e.wantCode(err, codes.PermissionDenied)
	joined := must(enrol.Join(ctx, &wire.JoinRequest{Token: token.Token, CertificateRequest: csr, Name: "runner"}))(e.t)
	h := &everyHost{every: e, id: joined.GetHost(), roots: x509.NewCertPool()}
	h.roots.AddCert(must(x509.ParseCertificate(joined.GetRoot()))(e.t))
	h.connect(tls.Certificate{Certificate: joined.GetCertificates(), PrivateKey: key})
	return h
}

func (e *every) wantCode(err error, want codes.Code) {
	e.t.Helper()
	if status.Code(err) != want {
		e.t.Errorf("%v, want %s", err, want)
	}
}

// connect opens a connection with a certificate.
func (h *everyHost) connect(own tls.Certificate) {
	h.own, h.calls = own, wire.NewAgentsClient(h.dial(identity.AgentClient(h.roots, "strongroom.local", own)))
}

func (h *everyHost) lease() error {
	_, err := h.calls.Lease(h.t.Context(), &wire.LeaseRequest{Request: "r1", Reference: "crm", Job: &wire.Job{User: "etl", Uid: "1001"}})
	return err
}

// reads is refused a lease, gets one, and reports.
func (h *everyHost) reads() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), kit.Patience)
	defer cancel()
	watch := must(h.calls.Watch(ctx))(h.t)
	hello := &wire.Hello{EnvelopeKey: must(envelope.NewRecipient())(h.t).PublicKey()}
	h.check(watch.Send(&wire.WatchRequest{Message: &wire.WatchRequest_Hello{Hello: hello}}))
	must(watch.Recv())(h.t)
	h.wantCode(h.lease(), codes.PermissionDenied)
	must(h.admin.AddGrant(ctx, api.GrantRule{Name: "all", Credentials: []string{"crm"}, AnyHost: true}))(h.t)
	h.wantCode(h.lease(), codes.OK)
	must(h.calls.Report(ctx, &wire.ReportRequest{Usage: []*wire.Usage{{Reason: "allowed by grant all", Allowed: true, Job: &wire.Job{User: "etl"}}}}))(h.t)
	must(h.admin.SetSetting(ctx, "job-issuers", "https://127.0.0.1:1"))(h.t)
	_, err := h.calls.Verify(ctx, &wire.VerifyRequest{Token: everyCanary, Job: &wire.Job{User: "etl"}})
	h.wantCode(err, codes.PermissionDenied)
}

// renews goes over to a new certificate, is labelled, shows the old one again and is revoked.
func (h *everyHost) renews() {
	h.t.Helper()
	ctx, old := h.t.Context(), h.own
	key, csr, err := newRequest()
	h.check(err)
	renewed := must(h.calls.Renew(ctx, &wire.RenewRequest{CertificateRequest: csr}))(h.t)
	h.connect(tls.Certificate{Certificate: renewed.GetCertificates(), PrivateKey: key})
	list := func() error {
		_, err := h.calls.List(ctx, &wire.ListRequest{})
		return err
	}
	h.wantCode(list(), codes.OK)
	must(h.admin.LabelHost(ctx, h.id, 0, map[string]string{"role": "prod", "env": ""}))(h.t)
	h.connect(old)
	h.wantCode(list(), codes.PermissionDenied)
	h.wantCode(list(), codes.PermissionDenied)
	must(h.admin.RevokeHost(ctx, h.id))(h.t)
}
