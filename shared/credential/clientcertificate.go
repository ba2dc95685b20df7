package credential

import (
	"crypto"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// ClientCertificate is a certificate chain with its private key, for mutual TLS.
const ClientCertificate AuthType = "client_certificate"

var _ = define(ClientCertificate, definition{
	title: "Client certificate",
	fields: []Field{
		{Name: "certificate", Required: true, Format: FormatPEM, Help: "the client's certificate with its issuers in PEM, in any order"},
		{Name: "private_key", Secret: true, Required: true, Format: FormatPEM, Help: "the certificate's key in PEM: PKCS#8, PKCS#1 or SEC1"},
		{Name: "common_name", Help: "the subject's name in a certificate that the vault makes; the credential's name where absent"},
		{Name: "days", Format: FormatNumber, Help: "how long such a certificate lasts, from 1 to 825 days; 90 where absent"},
		{Name: "passphrase", Secret: true, ImportOnly: true, Help: "what the private key is encrypted with; it is stored without"},
	},
	complete: completeClientCertificate,
	check:    checkClientCertificate,
})

// completeClientCertificate stores the chain in its order, which the private key begins.
func completeClientCertificate(a *secret.Arena, plain map[string]string, value Value) error {
	chain, err := ParseChain("certificate", plain["certificate"])
	if err != nil {
		return err
	}
	if err := decryptKey(a, "private_key", value, encodePKCS8); err != nil {
		return err
	}
	return WithPrivateKey("private_key", value["private_key"], func(key crypto.Signer) error {
		if chain, err = chain.of("certificate", key.Public()); err == nil {
			plain["certificate"] = chain.PEM()
		}
		return err
	})
}

// checkClientCertificate need not look at the private key: where that is weak, so is the certificate that is of it.
func checkClientCertificate(plain map[string]string, _ Value, now time.Time) error {
	chain, err := ParseChain("certificate", plain["certificate"])
	if err != nil {
		return err
	}
	return chain.check("certificate", now)
}
