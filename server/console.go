package server

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/identity"
)

// consoleHosts is what the console's certificate is good for: what the admin
// named, and the ways to reach this machine from itself.
func consoleHosts(named []string) []string {
	hosts := append(slices.Clone(named), "localhost", "127.0.0.1", "::1")
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// writeConsole makes the console's key and certificate. They lie readable (0600)
// beside the data, so that a sealed server can be talked to; agents never trust
// them.
func writeConsole(path string, f *fleet.Fleet, hosts []string) error {
	cert, err := f.ServerCertificate(identity.Console, hosts)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, c := range cert.Certificate {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c})
	}
	return durable.Replace(path, text.Bytes())
}

func readConsole(path string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return nil, fmt.Errorf("the console's certificate and key cannot be read from %s: %w: put that file back from any copy of DIR/vault, however old, "+
			"or move DIR/vault away and run strongroom-server restore with the last backup, which makes new ones", path, err)
	}
	return &cert, nil
}

// renewConsole replaces the certificate once it is half used, or where this
// machine got another name, and keeps what the admin had named.
func (s *Server) renewConsole(f *fleet.Fleet) error {
	leaf := s.console.Load().Leaf
	have := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		have = append(have, ip.String())
	}
	want := consoleHosts(have)
	slices.Sort(have)
	half := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	if time.Now().Before(half) && slices.Equal(want, have) {
		return nil
	}
	if err := writeConsole(s.path(consoleFile), f, want); err != nil {
		return err
	}
	cert, err := readConsole(s.path(consoleFile))
	if err != nil {
		return err
	}
	s.console.Store(cert)
	return nil
}

// agentsAddress is what hosts are told to dial: the listener's own address, or
// where that is every address, the name that the console is known by.
func agentsAddress(listening net.Addr, console *tls.Certificate) string {
	host, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		return net.JoinHostPort(host, port)
	}
	for _, name := range console.Leaf.DNSNames {
		if name != "localhost" {
			return net.JoinHostPort(name, port)
		}
	}
	return net.JoinHostPort("127.0.0.1", port)
}
