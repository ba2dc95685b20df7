package credential

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"

	"golang.org/x/crypto/ssh"
)

const (
	encryptedPKCS8 = "ENCRYPTED PRIVATE KEY"
	openSSH        = "OPENSSH PRIVATE KEY"
)

// The most work that an imported key may ask of its passphrase's derivation. A hostile file could name billions.
const (
	maxPBKDF2       = 2_000_000
	maxBcryptRounds = 128
	maxScryptMemory = 64 << 20 // bytes, 128·N·r
)

var errWork = errors.New("its passphrase's derivation asks for too much work; encrypt it anew with the usual settings")

// encryption says whether the key in a PEM block is encrypted, and refuses one that would take too long to open.
func encryption(block *pem.Block) (bool, error) {
	switch block.Type {
	case encryptedPKCS8:
		return true, checkPBES2(block.Bytes)
	case openSSH:
		return checkOpenSSH(block.Bytes)
	}
	return block.Headers["DEK-Info"] != "", nil
}

// checkOpenSSH reads the head of OpenSSH's PROTOCOL.key: cipher, derivation and its options.
func checkOpenSSH(b []byte) (bool, error) {
	rest, ok := bytes.CutPrefix(b, []byte("openssh-key-v1\x00"))
	var head struct {
		Cipher, KDF, Options string
		Rest                 []byte `ssh:"rest"`
	}
	if !ok || ssh.Unmarshal(rest, &head) != nil || head.Cipher == "none" {
		return false, nil // what is damaged, the parser says
	}
	var options struct {
		Salt   string
		Rounds uint32
	}
	if ssh.Unmarshal([]byte(head.Options), &options) != nil || options.Rounds > maxBcryptRounds {
		return true, errWork
	}
	return true, nil
}

var (
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
)

// checkPBES2 reads the derivation of an EncryptedPrivateKeyInfo (RFC 5958, RFC 8018 appendix A.4, RFC 7914 section 7).
func checkPBES2(der []byte) error {
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters struct {
				Derivation struct {
					ID         asn1.ObjectIdentifier
					Parameters asn1.RawValue
				}
				Cipher asn1.RawValue
			}
		}
		Data asn1.RawValue
	}
	errForm := errors.New("an encrypted key must be PKCS#8 with PBES2, as openssl pkcs8 -topk8 -v2 aes-256-cbc makes it")
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return errForm
	}
	derivation := info.Algorithm.Parameters.Derivation
	var work struct {
		Salt  []byte
		Count int
		Rest  asn1.RawValue `asn1:"optional"`
		More  asn1.RawValue `asn1:"optional"`
	}
	var memory struct {
		Salt    []byte
		N, R, P int
		Length  int `asn1:"optional"`
	}
	switch {
	case derivation.ID.Equal(oidPBKDF2):
		if _, err := asn1.Unmarshal(derivation.Parameters.FullBytes, &work); err != nil {
			return errForm
		}
		if work.Count > maxPBKDF2 {
			return errWork
		}
	case derivation.ID.Equal(oidScrypt):
		if _, err := asn1.Unmarshal(derivation.Parameters.FullBytes, &memory); err != nil {
			return errForm
		}
		if n, r, p := memory.N, memory.R, memory.P; n > maxScryptMemory || r > 64 || p > 16 || 128*n*r > maxScryptMemory {
			return errWork
		}
	default:
		return errForm
	}
	return nil
}
