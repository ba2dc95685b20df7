// Package identity says who is at either end of a connection: the SPIFFE names
// in certificates and the TLS configurations of both ends. It makes no
// certificates and keeps none; issuing is the server's, storing is each end's.
package identity

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Role is the first part of a SPIFFE path.
type Role string

// The roles. A console certificate lies readable beside the data, so that a
// sealed server can be talked to: agents never trust it.
const (
	Server  Role = "server"
	HostEnd Role = "host"
	Console Role = "console"
	// Client is in certificates that are credentials for other systems. No end of ours takes one.
	Client Role = "client"
)

// ErrUntrusted is wrapped by every refusal of a peer's certificate.
var ErrUntrusted = errors.New("the certificate is not trusted")

// Name is a SPIFFE ID of this system: spiffe://TrustDomain/Role/ID.
type Name struct {
	TrustDomain string
	Role        Role
	ID          string
}

// URI gives the form that stands in a certificate.
func (n Name) URI() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: n.TrustDomain, Path: "/" + string(n.Role) + "/" + n.ID}
}

// NameOf reads the one SPIFFE ID of a certificate.
func NameOf(cert *x509.Certificate) (Name, error) {
	if len(cert.URIs) != 1 {
		return Name{}, fmt.Errorf("%w: it carries %d URIs instead of one", ErrUntrusted, len(cert.URIs))
	}
	u := cert.URIs[0]
	role, id, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	more := u.User != nil || u.RawQuery != "" || u.Fragment != ""
	if u.Scheme != "spiffe" || u.Host == "" || !ok || role == "" || id == "" || strings.Contains(id, "/") || more {
		return Name{}, fmt.Errorf("%w: its URI is not spiffe://DOMAIN/ROLE/ID", ErrUntrusted)
	}
	return Name{TrustDomain: u.Host, Role: Role(role), ID: id}, nil
}

// Fingerprint is what people compare and pass on: "sha256:" and the hex digest
// of the certificate's DER.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ValidFingerprint checks the form of a fingerprint.
func ValidFingerprint(s string) error {
	digest, ok := strings.CutPrefix(s, "sha256:")
	if raw, err := hex.DecodeString(digest); !ok || err != nil || len(raw) != sha256.Size {
		return errors.New("a CA fingerprint is sha256: and 64 hexadecimal digits, as strongroom-server init printed it")
	}
	return nil
}

// PinnedClient is for people: it trusts the one root whose fingerprint is
// given, which the server sends along, and demands a certificate for host, a
// name or an IP address. TLS itself does not know the address that was dialled.
func PinnedClient(fingerprint, host string) *tls.Config {
	return pinned(func(cs tls.ConnectionState, now time.Time) error {
		leaf, err := verifyPinned(cs, fingerprint, now)
		if err != nil {
			return err
		}
		if err := leaf.VerifyHostname(host); err != nil {
			return fmt.Errorf("%w: %w", ErrUntrusted, err)
		}
		return nil
	})
}

// JoiningClient is for a host that has no certificate yet: like PinnedClient,
// but for an agents' listener, by SPIFFE name.
func JoiningClient(fingerprint string) *tls.Config {
	return pinned(func(cs tls.ConnectionState, now time.Time) error {
		leaf, err := verifyPinned(cs, fingerprint, now)
		if err != nil {
			return err
		}
		return demand(leaf, Server, "")
	})
}

// pinned leaves the standard verification out, since it would need the root
// beforehand.
func pinned(verify func(tls.ConnectionState, time.Time) error) *tls.Config {
	return verifying(&tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}, verify)
}

// verifying has verify run on every handshake, resumed ones too, by the clock of
// c, which the caller may set.
func verifying(c *tls.Config, verify func(tls.ConnectionState, time.Time) error) *tls.Config {
	c.Time = time.Now
	c.VerifyConnection = func(cs tls.ConnectionState) error { return verify(cs, c.Time()) }
	return c
}

func verifyPinned(cs tls.ConnectionState, fingerprint string, now time.Time) (*x509.Certificate, error) {
	roots := x509.NewCertPool()
	found := false
	for _, cert := range cs.PeerCertificates {
		if Fingerprint(cert) == fingerprint {
			roots.AddCert(cert)
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("%w: the server's CA does not have the fingerprint %s; compare it with what strongroom-server init printed", ErrUntrusted, fingerprint)
	}
	return verifyChain(cs, roots, x509.ExtKeyUsageServerAuth, now)
}

// AgentClient is for an enrolled host: it demands a server of the trust domain,
// whatever address it has. A cache of sessions that the caller adds must be of
// own alone: a resumed session shows the certificate that it began with.
func AgentClient(roots *x509.CertPool, trustDomain string, own tls.Certificate) *tls.Config {
	c := pinned(func(cs tls.ConnectionState, now time.Time) error {
		leaf, err := verifyChain(cs, roots, x509.ExtKeyUsageServerAuth, now)
		if err != nil {
			return err
		}
		return demand(leaf, Server, trustDomain)
	})
	c.Certificates = []tls.Certificate{own}
	return c
}

// AgentListener is the agents' port. A client without a certificate may
// connect, since hosts join there; the caller serves it nothing else. One with
// a certificate must be a host of the trust domain, and is otherwise refused
// with a *Refused, on a resumed session too.
func AgentListener(own func() (*tls.Certificate, error), hosts *x509.CertPool, trustDomain string) *tls.Config {
	return verifying(&tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own() },
	}, func(cs tls.ConnectionState, now time.Time) error {
		if len(cs.PeerCertificates) == 0 {
			return nil
		}
		leaf, err := verifyChain(cs, hosts, x509.ExtKeyUsageClientAuth, now)
		if err == nil {
			err = demand(leaf, HostEnd, trustDomain)
		}
		if err != nil {
			return refused(cs, hosts, now, err)
		}
		return nil
	})
}

func verifyChain(cs tls.ConnectionState, roots *x509.CertPool, usage x509.ExtKeyUsage, at time.Time) (*x509.Certificate, error) {
	if len(cs.PeerCertificates) == 0 {
		return nil, fmt.Errorf("%w: none was shown", ErrUntrusted)
	}
	between := x509.NewCertPool()
	for _, cert := range cs.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	leaf := cs.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	return leaf, nil
}

func demand(leaf *x509.Certificate, role Role, trustDomain string) error {
	name, err := NameOf(leaf)
	if err != nil {
		return err
	}
	if name.Role != role || trustDomain != "" && name.TrustDomain != trustDomain {
		return fmt.Errorf("%w: it belongs to %s, wanted is a %s", ErrUntrusted, name.URI(), role)
	}
	return nil
}
