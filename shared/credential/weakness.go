package credential

import (
	"bytes"
	"crypto"
	"crypto/dsa" //lint:ignore SA1019 its keys are recognised in order to refuse them
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// minRSA is the shortest RSA key that is accepted, in bits (NIST SP 800-131A).
const minRSA = 2048

// maxRSA bounds what verifying a signature costs, which grows with the square of the bits: as in crypto/tls, 8192.
const maxRSA = 8192

// rsaBits is the length of an RSA key; 0: it is of another kind.
func rsaBits(key crypto.PublicKey) int {
	if key, ok := key.(*rsa.PublicKey); ok {
		return key.N.BitLen()
	}
	return 0
}

const weakDSA = "DSA; RSA, ECDSA and Ed25519 are accepted"

// isDSA recognises a DSA key in PKCS#8, which Go's parser does not read at all.
func isDSA(der []byte) bool {
	var info struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	_, err := asn1.Unmarshal(der, &info)
	return err == nil && info.Algorithm.Algorithm.Equal(asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1})
}

// weakness names what is weak about a public key, or is empty.
func weakness(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n < minRSA {
			return fmt.Sprintf("RSA with %d bits; %d or more are accepted", n, minRSA)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
			return "ECDSA on " + key.Params().Name + "; P-256, P-384 and P-521 are accepted"
		}
	case *dsa.PublicKey:
		return weakDSA
	case nil:
		return "of a kind that is not known; RSA, ECDSA and Ed25519 are accepted"
	}
	return ""
}

// weakKey refuses a weak private key by name.
func weakKey(field string, key any) error {
	weak := ""
	switch key := key.(type) {
	case *dsa.PrivateKey:
		weak = weakness(&key.PublicKey)
	case crypto.Signer:
		weak = weakness(key.Public())
	}
	if weak != "" {
		return fmt.Errorf("%w field %s: a weak key: %s", ErrInvalid, field, weak)
	}
	return nil
}

// weakSignature names a signature algorithm that is broken, or is empty. A root's own signature proves nothing and is
// not judged.
func weakSignature(c *x509.Certificate) string {
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		return ""
	}
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA, x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS,
		x509.SHA512WithRSAPSS, x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
		return ""
	}
	return c.SignatureAlgorithm.String()
}
