package credential

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// maxChain bounds the certificates of a chain.
const maxChain = 10

// Chain is a certificate with its issuers, the certificate first.
type Chain []*x509.Certificate

// ParseChain reads 1 to 10 certificates in PEM. The error names field.
func ParseChain(field, text string) (Chain, error) {
	if len(text) > MaxValue {
		return nil, fmt.Errorf("%w field %s: %d bytes, at most %d are allowed", ErrInvalid, field, len(text), MaxValue)
	}
	var chain Chain
	rest := []byte(text)
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, fmt.Errorf("%w field %s: what follows certificate %d is not PEM", ErrInvalid, field, len(chain))
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w field %s: it holds %s; only certificates belong there", ErrInvalid, field, article(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w field %s: certificate %d cannot be read", ErrInvalid, field, len(chain)+1)
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return nil, fmt.Errorf("%w field %s: more than %d certificates", ErrInvalid, field, maxChain)
		}
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%w field %s: it must be a certificate in PEM, which begins with -----BEGIN CERTIFICATE-----", ErrInvalid, field)
	}
	return chain, nil
}

// article keeps a PEM type, which is a stranger's text, short and printable.
func article(pemType string) string {
	if strings.HasSuffix(pemType, "PRIVATE KEY") {
		return "a private key"
	}
	return "something else"
}

// End is when the first of the certificates ends.
func (c Chain) End() time.Time {
	end := c[0].NotAfter
	for _, cert := range c[1:] {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

// belongs gives the index of the certificate of this key, or -1.
func (c Chain) belongs(public crypto.PublicKey) int {
	for i, cert := range c {
		if key, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && key.Equal(public) {
			return i
		}
	}
	return -1
}

// check refuses a chain that is out of order, ended, or weak. Trust in its root is the server's to decide that it is
// shown to.
func (c Chain) check(field string, now time.Time) error {
	for i, cert := range c {
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("%w field %s: certificate %d of %d %s", ErrInvalid, field, i+1, len(c), fmt.Sprintf(format, args...))
		}
		if weak := weakness(cert.PublicKey); weak != "" {
			return wrong("has a weak key: %s", weak)
		}
		if weak := weakSignature(cert); weak != "" {
			return wrong("has a weak signature: %s; SHA-256 or better is accepted", weak)
		}
		if now.After(cert.NotAfter) {
			return wrong("ended on %s", cert.NotAfter.UTC().Format(time.DateOnly))
		}
		if i+1 == len(c) {
			break
		}
		issuer := c[i+1]
		if !bytes.Equal(cert.RawIssuer, issuer.RawSubject) ||
			issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil {
			return wrong("was not issued by the next one; the client's certificate stands first, then each issuer")
		}
	}
	return nil
}
