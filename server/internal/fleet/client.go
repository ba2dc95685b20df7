package fleet

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"time"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/identity"
)

// MaxCommonName is the most bytes of a certificate's common name (RFC 5280, ub-common-name).
const MaxCommonName = 64

// IssueClient signs a certificate that is a credential for other systems: for the key of a credential, by its ID. It
// returns the certificate and its issuer, which is what those systems have to trust: the root above it has also signed
// the issuer of hosts. The certificate never outlasts its issuer.
func (f *Fleet) IssueClient(id, commonName string, public *ecdsa.PublicKey, life time.Duration) ([]*x509.Certificate, error) {
	name := identity.Name{TrustDomain: f.trustDomain, Role: identity.Client, ID: id}
	template := leaf(name, x509.ExtKeyUsageClientAuth, f.now(), life)
	template.Subject = pkix.Name{CommonName: commonName}
	issuer := f.issuers[issuerClients]
	if template.NotAfter.After(issuer.NotAfter) {
		template.NotAfter = issuer.NotAfter
	}
	if !template.NotAfter.After(f.now()) {
		return nil, errors.New("the issuer of client certificates has ended")
	}
	var cert *x509.Certificate
	err := f.barrier.View(func(tx *barrier.Tx) error {
		s, err := f.signer(tx, issuerClients)
		if err != nil {
			return err
		}
		cert, err = s.issue(template, public)
		return err
	})
	return []*x509.Certificate{cert, issuer}, err
}
