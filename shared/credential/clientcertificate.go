package credential

import (
	"crypto"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// ClientCertificate is a certificate chain with its private key, for mutual TLS.
const ClientCertificate AuthType = "client_certificate"

var _ = define(ClientCertificate, definition{
	title: "Client certificate",
	fields: []Field{
		{Name: "certificate", Required: true, Format: FormatPEM, Help: "the chain in PEM: the client's certificate first, then each issuer"},
		{Name: "private_key", Secret: true, Required: true, Format: FormatPEM, Help: "the certificate's key in PEM: PKCS#8, PKCS#1 or SEC1"},
		{Name: "common_name", Help: "the subject's name in a certificate that the vault makes; the credential's name where absent"},
		{Name: "days", Format: FormatNumber, Help: "how long such a certificate lasts, from 1 to 825 days; 90 where absent"},
		{Name: "passphrase", Secret: true, ImportOnly: true, Help: "what the private key is encrypted with; it is stored without"},
	},
	complete: func(a *secret.Arena, _ map[string]string, value Value) error {
		return decryptKey(a, "private_key", value, encodePKCS8)
	},
	check: checkClientCertificate,
})

func checkClientCertificate(plain map[string]string, value Value, now time.Time) error {
	chain, err := ParseChain("certificate", plain["certificate"])
	if err != nil {
		return err
	}
	if err := chain.check("certificate", now); err != nil {
		return err
	}
	return withPrivateKey("private_key", value["private_key"], nil, func(key any) error {
		if err := weakKey("private_key", key); err != nil {
			return err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return fmt.Errorf("%w field private_key: it must be an RSA, ECDSA or Ed25519 key", ErrInvalid)
		}
		switch n := chain.belongs(signer.Public()); n {
		case 0:
			return nil
		case -1:
			return fmt.Errorf("%w field private_key: it is not the key of the certificate", ErrInvalid)
		default:
			return fmt.Errorf("%w field certificate: the private key is that of certificate %d; that one must stand first", ErrInvalid, n+1)
		}
	})
}
