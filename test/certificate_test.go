package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/strongroom/strongroom/test/kit"
)

// A client certificate of the vault's own making: a job is given it with its key, and gets in where its issuer is
// trusted. The agents' own port does not take it.
func TestMadeClientCertificate(t *testing.T) {
	t.Parallel()
	server := kit.NewServer(t)
	admin, host := server.Admin, server.Enroll(t)
	admin.Do(t, "credential", "add", "client", "--application", "generic-rest", "--auth-type", "client_certificate",
		"--generate", "certificate", "--field", "common_name=etl robot", "--field", "days=7")
	admin.Do(t, "grant", "add", "g", "--credential", "client", "--any-host")
	var shown struct {
		Health       string
		Expires      time.Time
		Fields       map[string]string
		SecretFields []string `json:"secret_fields"`
	}
	admin.Do(t, "credential", "show", "client", "--json").JSON(t, &shown)
	left := time.Until(shown.Expires)
	if shown.Health != "unknown" || left > 7*24*time.Hour || left < 7*24*time.Hour-time.Hour || len(shown.SecretFields) != 1 {
		t.Errorf("shown: %+v", shown)
	}
	get := func(field string) []byte {
		return []byte(host.Run(t, "get", "client", "--field", field).Want(t, 0).Stdout)
	}
	own, err := tls.X509KeyPair(get("certificate"), get("private_key"))
	if err != nil {
		t.Fatal(err)
	}
	if name := own.Leaf.Subject.CommonName; name != "etl robot" {
		t.Errorf("its name is %s", name)
	}
	issuer, err := x509.ParseCertificate(own.Certificate[1])
	if err != nil {
		t.Fatal(err)
	}
	if got := greet(t, own, issuer); got != "etl robot" {
		t.Errorf("where its issuer is trusted it is greeted as %q", got)
	}
	if got := greet(t, own, selfIssued(t)); got != "" {
		t.Errorf("where another is trusted it is greeted as %q", got)
	}
	conn, err := tls.Dial("tcp", server.Agents, &tls.Config{Certificates: []tls.Certificate{own}, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err == nil {
		_ = conn.SetDeadline(time.Now().Add(kit.Patience))
		for err == nil {
			_, err = conn.Read(make([]byte, 1024)) // the server's settings at most, then the end
		}
		_ = conn.Close()
	}
	if logged := admin.Audit(t, "--action", "host.connect"); len(logged) == 0 || logged[0].Outcome != "refused" {
		t.Errorf("the agents' port: %v, %+v", err, logged)
	}
}

// greet makes a handshake with a server that trusts one issuer, and returns whom it took the client for.
func greet(t *testing.T, own tls.Certificate, issuer *x509.Certificate) string {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(issuer)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
		defer cancel()
		if c := conn.(*tls.Conn); c.HandshakeContext(ctx) == nil {
			_, _ = io.WriteString(c, c.ConnectionState().PeerCertificates[0].Subject.CommonName)
		}
	}()
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: kit.Patience}, Config: &tls.Config{Certificates: []tls.Certificate{own}, InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(kit.Patience))
	name, _ := io.ReadAll(conn)
	return string(name)
}

// selfIssued is a certificate that has nothing to do with the vault.
func selfIssued(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
