package httpauth

import (
	"crypto"
	"crypto/tls"
	"fmt"
	"io"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// Certificate gives a client_certificate for a TLS configuration. Its private key is read from the credential's buffer
// anew for each handshake, and handshakes fail once the buffer is wiped.
func (c Credential) Certificate() (tls.Certificate, error) {
	if c.Type != credential.ClientCertificate {
		return tls.Certificate{}, fmt.Errorf("%w: %s is no certificate", ErrType, c.Type)
	}
	chain, err := credential.ParseChain("certificate", c.Plain["certificate"])
	if err != nil {
		return tls.Certificate{}, err
	}
	key := lockedKey{public: chain[0].PublicKey, text: c.Secrets["private_key"]}
	if err := credential.WithPrivateKey("private_key", key.text, func(s crypto.Signer) error {
		if public, ok := s.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.public) {
			return fieldError("private_key", "it is not the key of the certificate")
		}
		return nil
	}); err != nil {
		return tls.Certificate{}, err
	}
	out := tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, cert := range chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out, nil
}

// lockedKey signs with a key that stays in the arena between signatures.
type lockedKey struct {
	public crypto.PublicKey
	text   *secret.Buffer
}

func (k lockedKey) Public() crypto.PublicKey { return k.public }

func (k lockedKey) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) (signature []byte, err error) {
	err = credential.WithPrivateKey("private_key", k.text, func(s crypto.Signer) error {
		signature, err = s.Sign(random, digest, o)
		return err
	})
	return signature, err
}
