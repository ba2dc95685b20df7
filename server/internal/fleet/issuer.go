package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/identity"
)

// The issuers: one root that signs the others and nothing else, so that each
// can be trusted for its own purpose only.
const (
	issuerRoot    = "root"
	issuerServers = "servers"
	issuerHosts   = "hosts"
	issuerClients = "clients"

	kindIssuer    barrier.Kind = "issuer"     // certificate, DER
	kindIssuerKey barrier.Kind = "issuer-key" // private key, PKCS #8

	rootLife   = 20 * 365 * 24 * time.Hour
	issuerLife = 10 * 365 * 24 * time.Hour
	hostLife   = 24 * time.Hour
	serverLife = 30 * 24 * time.Hour
	// The console's must outlast the time that a server may lie sealed.
	consoleLife = 397 * 24 * time.Hour
	// backdate is for the clocks of hosts that are behind, and for this server's
	// where it is set back: an hour, as a wrong time zone or summer time makes it.
	backdate = 90 * time.Minute
)

// createIssuers makes the root and the three issuers below it.
func createIssuers(tx *barrier.Tx, trustDomain string, now time.Time) error {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	rootTemplate := authority(trustDomain, "Strongroom root of "+trustDomain, now, rootLife)
	rootTemplate.MaxPathLen = 1
	root, err := sign(rootTemplate, rootTemplate, &rootKey.PublicKey, rootKey)
	if err != nil {
		return err
	}
	if err := putIssuer(tx, issuerRoot, root, rootKey); err != nil {
		return err
	}
	usages := map[string]x509.ExtKeyUsage{
		issuerServers: x509.ExtKeyUsageServerAuth,
		issuerHosts:   x509.ExtKeyUsageClientAuth,
		issuerClients: x509.ExtKeyUsageClientAuth,
	}
	for name, usage := range usages {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		template := authority(trustDomain, "Strongroom "+name+" of "+trustDomain, now, issuerLife)
		template.MaxPathLenZero = true
		template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
		cert, err := sign(template, root, &key.PublicKey, rootKey)
		if err != nil {
			return err
		}
		if err := putIssuer(tx, name, cert, key); err != nil {
			return err
		}
	}
	return nil
}

func putIssuer(tx *barrier.Tx, name string, cert *x509.Certificate, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	defer clear(der)
	return errors.Join(tx.Put(kindIssuer, name, cert.Raw), tx.Put(kindIssuerKey, name, der))
}

// signer is an issuer with its key, for the length of one signature.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (f *Fleet) signer(tx *barrier.Tx, name string) (signer, error) {
	stored, err := tx.GetSecret(kindIssuerKey, name)
	if err != nil {
		return signer{}, err
	}
	defer stored.Wipe()
	key, err := x509.ParsePKCS8PrivateKey(stored.Reveal())
	if err != nil {
		return signer{}, fmt.Errorf("the key of issuer %s cannot be read", name)
	}
	return signer{cert: f.issuers[name], key: key.(*ecdsa.PrivateKey)}, nil
}

// issue signs what leaf made, as its caller has changed it since.
func (s signer) issue(template *x509.Certificate, public any) (*x509.Certificate, error) {
	return sign(template, s.cert, public, s.key)
}

// leaf is what a leaf certificate is made from. Its only name of ours is a SPIFFE ID.
func leaf(name identity.Name, usage x509.ExtKeyUsage, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: string(name.Role) + " " + name.ID},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(life),
		URIs:        []*url.URL{name.URI()},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
}

func authority(trustDomain, commonName string, now time.Time, life time.Duration) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: trustDomain}},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// sign gives the template a serial number of its own.
func sign(template, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ServerCertificate makes a key and a certificate for one listener: role Server
// for the agents' port, Console for the people's. The chain carries the root,
// which people pin by its fingerprint.
func (f *Fleet) ServerCertificate(role identity.Role, hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	life := serverLife
	if role == identity.Console {
		life = consoleLife
	}
	name := identity.Name{TrustDomain: f.trustDomain, Role: role, ID: f.vault}
	template := leaf(name, x509.ExtKeyUsageServerAuth, f.now(), life)
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	var cert *x509.Certificate
	err = f.barrier.View(func(tx *barrier.Tx) error {
		s, err := f.signer(tx, issuerServers)
		if err != nil {
			return err
		}
		cert, err = s.issue(template, &key.PublicKey)
		return err
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{
		Certificate: [][]byte{cert.Raw, f.issuers[issuerServers].Raw, f.issuers[issuerRoot].Raw},
		PrivateKey:  key,
		Leaf:        cert,
	}, nil
}

// HostIssuers is what the agents' listener trusts: the issuer of hosts alone,
// so that a certificate of the other issuers does not open it.
func (f *Fleet) HostIssuers() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(f.issuers[issuerHosts])
	return pool
}

// RootFingerprint is what people and hosts pin.
func (f *Fleet) RootFingerprint() string { return identity.Fingerprint(f.issuers[issuerRoot]) }
