package credential

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"

	"github.com/strongroom/strongroom/shared/secret"
)

// WithPrivateKey reads a stored private key in PEM and calls f with it, as [crypto.Signer]. Errors name field.
// The key is in ordinary memory only meanwhile; f must keep nothing of it.
func WithPrivateKey(field string, text *secret.Buffer, f func(crypto.Signer) error) error {
	return withPrivateKey(field, text, nil, func(key any) error {
		signer, ok := key.(crypto.Signer)
		if !ok {
			return fmt.Errorf("%w field %s: it must be an RSA, ECDSA or Ed25519 key", ErrInvalid, field)
		}
		return f(signer)
	})
}

// withPrivateKey reads one private key in PEM and calls f with it: *rsa.PrivateKey, *ecdsa.PrivateKey,
// ed25519.PrivateKey or *dsa.PrivateKey. Errors name field.
//
// This is where keys cross into ordinary memory: Go's parsers copy the PEM text, and Go's keys are big integers on the
// heap. All of it happens inside [secret.Do], whose garbage is erased when it is collected; f must keep nothing.
func withPrivateKey(field string, text, passphrase *secret.Buffer, f func(key any) error) error {
	var err error
	secret.Do(func() {
		var key any
		if key, err = parsePrivateKey(field, text.Reveal(), passphrase.Reveal()); err == nil {
			err = f(key)
		}
	})
	return err
}

// parsePrivateKey is called inside Do. The parsers' own errors are not passed on: they may quote what they read.
func parsePrivateKey(field string, text, passphrase []byte) (any, error) {
	block, err := keyBlock(field, text)
	if err != nil {
		return nil, err
	}
	wrong := func(why string) error { return fmt.Errorf("%w field %s: %s", ErrInvalid, field, why) }
	encrypted, err := encryption(block)
	switch {
	case err != nil:
		return nil, wrong(err.Error())
	case encrypted && len(passphrase) == 0:
		return nil, wrong("the key is encrypted; give its passphrase in field passphrase")
	case !encrypted && len(passphrase) > 0:
		return nil, wrong("the key is not encrypted; leave the field passphrase out")
	}
	var key any
	switch {
	case block.Type == encryptedPKCS8:
		key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, passphrase)
	case encrypted:
		key, err = ssh.ParseRawPrivateKeyWithPassphrase(pem.EncodeToMemory(block), passphrase)
	default:
		key, err = ssh.ParseRawPrivateKey(pem.EncodeToMemory(block))
	}
	switch {
	case err != nil && encrypted:
		return nil, wrong("the key does not open with this passphrase, or is damaged")
	case err != nil && block.Type == "PRIVATE KEY" && isDSA(block.Bytes):
		return nil, wrong("a weak key: " + weakDSA)
	case err != nil:
		return nil, wrong("it must be a private key in PEM: PKCS#8, PKCS#1, SEC1 or OpenSSH; this one cannot be read")
	}
	return key, nil
}

// keyBlock finds the one private key among the PEM blocks. OpenSSL writes the curve's parameters before an EC key.
func keyBlock(field string, text []byte) (*pem.Block, error) {
	var found *pem.Block
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "EC PARAMETERS", "DSA PARAMETERS":
		case "CERTIFICATE":
			return nil, fmt.Errorf("%w field %s: it holds a certificate; only the private key belongs there", ErrInvalid, field)
		default:
			if found != nil {
				return nil, fmt.Errorf("%w field %s: it holds more than one key", ErrInvalid, field)
			}
			found = block
		}
	}
	if found == nil || !bytes.HasSuffix([]byte(found.Type), []byte("PRIVATE KEY")) {
		return nil, fmt.Errorf("%w field %s: it must be a private key in PEM, such as -----BEGIN PRIVATE KEY-----", ErrInvalid, field)
	}
	return found, nil
}

// decryptKey replaces an encrypted key by what encode makes of it, with the field passphrase, so that the passphrase
// need not be kept. A key that is not encrypted stays as it was given.
func decryptKey(a *secret.Arena, field string, value Value, encode func(key any) (*pem.Block, error)) error {
	if value["passphrase"].Len() == 0 {
		return nil
	}
	return withPrivateKey(field, value[field], value["passphrase"], func(key any) error {
		block, err := encode(key)
		if err != nil {
			return fmt.Errorf("%w field %s: this kind of key is not accepted", ErrInvalid, field)
		}
		clear, err := a.From(pem.EncodeToMemory(block))
		if err != nil {
			return err
		}
		value[field].Wipe()
		value[field] = clear
		return nil
	})
}

func encodePKCS8(key any) (*pem.Block, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}, err
}
