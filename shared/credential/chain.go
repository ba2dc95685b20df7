package credential

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxChain bounds the certificates of a chain.
const maxChain = 10

// Chain is certificates. As it is stored, each but the last is followed by its issuer.
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
		if n := rsaBits(c.PublicKey); n > maxRSA { // before any signature is verified with it
			return nil, fmt.Errorf("%w field %s: certificate %d is for a key of RSA with %d bits; at most %d are accepted", ErrInvalid, field, len(chain)+1, n, maxRSA)
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

// PEM is the chain as it is stored.
func (c Chain) PEM() string {
	var text []byte
	for _, cert := range c {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	}
	return string(text)
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

// of brings the certificates into their order: that of the key first, then each one's issuer. Every one has its place in
// it, or there is an error that names field.
func (c Chain) of(field string, key crypto.PublicKey) (Chain, error) {
	wrong := func(which Chain, why string) error {
		return fmt.Errorf("%w field %s: %s %s", ErrInvalid, field, which.names(), why)
	}
	var ours, roots, rest Chain
	for i, cert := range c {
		switch public, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); {
		case slices.ContainsFunc(c[:i], cert.Equal):
			return nil, wrong(Chain{cert}, "stands in it twice")
		case ok && public.Equal(key):
			ours = append(ours, cert)
		case issued(cert, cert):
			roots = append(roots, cert)
		default:
			rest = append(rest, cert)
		}
	}
	switch len(ours) {
	case 0:
		return nil, fmt.Errorf("%w field private_key: it is not the key of the certificate", ErrInvalid)
	case 1:
	default:
		return nil, wrong(ours, "are all for the private key; give one of them")
	}
	// A root that another one vouches for is there twice, with one key. It goes first as a root: the other issued that, too.
	chain, rest := ours, append(roots, rest...)
	for len(rest) > 0 {
		next := slices.IndexFunc(rest, func(by *x509.Certificate) bool { return issued(chain[len(chain)-1], by) })
		if next < 0 {
			return nil, wrong(rest, "did not issue "+chain.names()+"; leave out what does not belong, or put in the issuer that is missing")
		}
		chain, rest = append(chain, rest[next]), slices.Delete(rest, next, next+1)
	}
	return chain, nil
}

// issued says whether one certificate is signed with the other's key. Names and key identifiers only hint at that.
func issued(cert, by *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, by.RawSubject) &&
		by.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// names quotes the subjects, which are a stranger's text, and cuts them short.
func (c Chain) names() string {
	var names []string
	for _, cert := range c {
		names = append(names, fmt.Sprintf("%.80q", cert.Subject.String()))
	}
	return strings.Join(names, ", ")
}

// check refuses a chain of which a certificate ended or is weak. Trust in its root is the server's to decide that it is
// shown to.
func (c Chain) check(field string, now time.Time) error {
	for _, cert := range c {
		wrong := func(format string, args ...any) error {
			return fmt.Errorf("%w field %s: %s %s", ErrInvalid, field, Chain{cert}.names(), fmt.Sprintf(format, args...))
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
	}
	return nil
}
