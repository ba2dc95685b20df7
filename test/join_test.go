package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

// A join token makes one host. The same key may ask again, since an answer can be lost; another key may not.
func TestJoinTokenWorksOnce(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	join, err := identity.ParseJoin(server.JoinString(t))
	if err != nil {
		t.Fatal(err)
	}
	enrolment := wire.NewEnrolmentClient(dial(t, join, nil))
	first, second := newKey(t), newKey(t)
	host := mustJoin(t, enrolment, join.Token, first)
	if again := mustJoin(t, enrolment, join.Token, first); again.GetHost() != host.GetHost() {
		t.Errorf("the same key joined as %s and then as %s", host.GetHost(), again.GetHost())
	}
	if _, err := enrolment.Join(t.Context(), request(t, join.Token, second)); !refusedCode(err) {
		t.Errorf("another key with the used token: %v, want refused", err)
	}
	if !slices.ContainsFunc(server.Admin.Audit(t, "--action", "host.enroll"), func(e kit.Entry) bool {
		return e.Outcome == "refused" && e.Reason == "the join token was used already, by another key"
	}) {
		t.Error("the log does not have the second key's refusal")
	}
	var hosts struct{ Items []struct{ ID string } }
	server.Admin.Do(t, "host", "list", "--json").JSON(t, &hosts)
	if len(hosts.Items) != 1 || hosts.Items[0].ID != host.GetHost() {
		t.Errorf("hosts are %v, want the one %s", hosts.Items, host.GetHost())
	}

	// The command too, as a host would use it.
	text := kit.File(t, server.JoinString(t))
	agent := kit.Command{Program: kit.Bin(t) + "/strongroom-agent"}
	agent.Run(t, "enroll", "--join", "@"+text, "--state", kit.Dir(t)+"/state").Want(t, 0)
	agent.Run(t, "enroll", "--join", "@"+text, "--state", kit.Dir(t)+"/state").Want(t, 3)
}

// Without a certificate of this server's issuer for hosts, or with a revoked one, a connection gets nothing but join.
func TestNothingButJoin(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	join, err := identity.ParseJoin(server.JoinString(t))
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	plain := dial(t, join, nil)
	joined := mustJoin(t, wire.NewEnrolmentClient(plain), join.Token, key)
	own := &tls.Certificate{Certificate: joined.GetCertificates(), PrivateKey: key}
	leaf, err := x509.ParseCertificate(joined.GetCertificates()[0])
	if err != nil {
		t.Fatal(err)
	}
	name, err := identity.NameOf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	stranger := forge(t, name.URI())
	// The genuine issuer's certificate behind a leaf that it did not issue.
	grafted := &tls.Certificate{Certificate: append(slices.Clone(stranger.Certificate[:1]), joined.GetCertificates()[1:]...), PrivateKey: stranger.PrivateKey}

	genuine := dial(t, join, own)
	if list, err := wire.NewAgentsClient(genuine).List(t.Context(), &wire.ListRequest{}); err != nil {
		t.Fatalf("the control: an enrolled host is refused too, so nothing here proves anything: %v, %v", list, err)
	}
	for _, c := range []struct {
		who  string
		conn *grpc.ClientConn
		want []codes.Code
	}{
		{"no certificate", plain, []codes.Code{codes.Unauthenticated, codes.PermissionDenied}},
		{"another issuer's certificate", dial(t, join, stranger), []codes.Code{codes.Unavailable}}, // no TLS connection at all
		{"a forged certificate with our chain", dial(t, join, grafted), []codes.Code{codes.Unavailable}},
	} {
		t.Run(c.who, func(t *testing.T) { getsNothing(t, c.conn, c.want...) })
	}

	server.Admin.Do(t, "host", "revoke", name.ID)
	t.Run("a revoked host, on the connection it had", func(t *testing.T) {
		getsNothing(t, genuine, codes.Unauthenticated, codes.PermissionDenied, codes.Unavailable)
	})
	t.Run("a revoked host, on a new connection", func(t *testing.T) {
		getsNothing(t, dial(t, join, own), codes.Unauthenticated, codes.PermissionDenied, codes.Unavailable)
	})
}

// getsNothing calls every method there is for hosts.
func getsNothing(t *testing.T, conn *grpc.ClientConn, want ...codes.Code) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	calls := map[string]error{}
	service := "/" + wire.Agents_ServiceDesc.ServiceName + "/"
	for _, m := range wire.Agents_ServiceDesc.Methods {
		calls[m.MethodName] = conn.Invoke(ctx, service+m.MethodName, &emptypb.Empty{}, &emptypb.Empty{})
	}
	for _, s := range wire.Agents_ServiceDesc.Streams {
		stream, err := conn.NewStream(ctx, &s, service+s.StreamName)
		if err == nil {
			err = stream.RecvMsg(&emptypb.Empty{})
		}
		calls[s.StreamName] = err
	}
	if len(calls) < 4 {
		t.Fatalf("only %d methods were called", len(calls))
	}
	for method, err := range calls {
		if !slices.Contains(want, status.Code(err)) {
			t.Errorf("%s: %v, want one of %v", method, err, want)
		}
	}
}

func refusedCode(err error) bool {
	return status.Code(err) == codes.PermissionDenied || status.Code(err) == codes.Unauthenticated
}

// dial connects to the agents' port as a host does, with any certificate or none.
func dial(t *testing.T, join identity.Join, own *tls.Certificate) *grpc.ClientConn {
	t.Helper()
	config := identity.JoiningClient(join.Fingerprint)
	if own != nil {
		// Shown whatever issuers the server asks for: this is an attacker's client.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	conn, err := grpc.NewClient("passthrough:///"+join.Server, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t *testing.T, token string, key *ecdsa.PrivateKey) *wire.JoinRequest {
	t.Helper()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ignored"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.JoinRequest{Token: token, CertificateRequest: csr, Name: "made-by-hand", Os: "linux", Version: "test"}
}

func mustJoin(t *testing.T, c wire.EnrolmentClient, token string, key *ecdsa.PrivateKey) *wire.JoinResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), kit.Patience)
	defer cancel()
	joined, err := c.Join(ctx, request(t, token, key))
	if err != nil {
		t.Fatal(err)
	}
	return joined
}

// forge makes a host certificate under an authority of our own, with a genuine host's name.
func forge(t *testing.T, name *url.URL) *tls.Certificate {
	t.Helper()
	caKey, key := newKey(t), newKey(t)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, URIs: []*url.URL{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: key}
}
