package envelope

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// connect makes a TLS connection of the given version and returns both ends' views of it.
func connect(t *testing.T, version uint16) (client, server tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)

	clientEnd, serverEnd := net.Pipe()
	c := tls.Client(clientEnd, &tls.Config{RootCAs: roots, ServerName: "server", MinVersion: version, MaxVersion: version})
	s := tls.Server(serverEnd, &tls.Config{MinVersion: version, MaxVersion: version,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	t.Cleanup(func() { _ = clientEnd.Close(); _ = serverEnd.Close() })
	done := make(chan error, 1)
	go func() { done <- s.HandshakeContext(t.Context()) }()
	if err := c.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	// TLS 1.3 session tickets are written at the end of the server's handshake, and a pipe holds nothing.
	go func() { _, _ = c.Read(make([]byte, 1)) }()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}

func TestExporterIsOfOneConnection(t *testing.T) {
	t.Parallel()
	client, server := connect(t, tls.VersionTLS13)
	a, err := Exporter(&client)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Exporter(&server)
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != 32 || !bytes.Equal(a, b) {
		t.Errorf("the two ends export %x and %x", a, b)
	}
	client, _ = connect(t, tls.VersionTLS13)
	if c, err := Exporter(&client); err != nil || bytes.Equal(a, c) {
		t.Errorf("another connection exports the same, %v", err)
	}
}

func TestExporterRefusesOtherConnections(t *testing.T) {
	t.Parallel()
	old, _ := connect(t, tls.VersionTLS12)
	unfinished := tls.ConnectionState{Version: tls.VersionTLS13}
	for _, c := range []struct {
		name  string
		state *tls.ConnectionState
		want  string
	}{
		{"TLS 1.2", &old, "TLS 1.2, TLS 1.3 is required"},
		{"unfinished", &unfinished, "no finished TLS handshake"},
		{"none", nil, "no finished TLS handshake"},
	} {
		if b, err := Exporter(c.state); err == nil || b != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %x, %v", c.name, b, err)
		}
	}
}
