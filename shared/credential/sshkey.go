package credential

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/strongroom/strongroom/shared/secret"
)

// SSHKey is an SSH key pair: made here (Ed25519) or imported.
const SSHKey AuthType = "ssh_key"

var _ = define(SSHKey, definition{
	title: "SSH key",
	fields: []Field{
		{Name: "private_key", Secret: true, Required: true, Format: FormatPEM,
			Help: "the private key in OpenSSH's format or PEM; one that is generated is Ed25519"},
		{Name: "passphrase", Secret: true, ImportOnly: true, Help: "what the private key is encrypted with; it is stored without"},
		{Name: "public_key", Derived: true, Help: "the public half, as in authorized_keys; worked out of the private key"},
		{Name: "fingerprint", Derived: true, Help: "the public half's SHA-256, as ssh-keygen -l shows it; worked out of the private key"},
	},
	complete: completeSSHKey,
	generate: generateSSHKey,
})

func completeSSHKey(a *secret.Arena, plain map[string]string, value Value) error {
	if err := decryptKey(a, "private_key", value, encodeOpenSSH); err != nil {
		return err
	}
	return withPrivateKey("private_key", value["private_key"], nil, func(key any) error {
		if err := weakKey("private_key", key); err != nil {
			return err
		}
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			return fmt.Errorf("%w field private_key: it must be an RSA, ECDSA or Ed25519 key", ErrInvalid)
		}
		public := signer.PublicKey()
		plain["public_key"] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
		plain["fingerprint"] = ssh.FingerprintSHA256(public)
		return nil
	})
}

func encodeOpenSSH(key any) (*pem.Block, error) {
	return ssh.MarshalPrivateKey(crypto.PrivateKey(key), "")
}

// generateSSHKey makes an Ed25519 key in OpenSSH's format. It crosses ordinary memory as withPrivateKey's keys do.
func generateSSHKey(a *secret.Arena, field string) (*secret.Buffer, error) {
	if field != "private_key" {
		return nil, fmt.Errorf("%w field %s: only private_key can be generated", ErrInvalid, field)
	}
	var out *secret.Buffer
	var err error
	secret.Do(func() {
		var key ed25519.PrivateKey
		if _, key, err = ed25519.GenerateKey(rand.Reader); err != nil {
			return
		}
		defer secret.Wipe(key)
		var block *pem.Block
		if block, err = encodeOpenSSH(key); err != nil {
			return
		}
		defer secret.Wipe(block.Bytes)
		out, err = a.From(pem.EncodeToMemory(block))
	})
	return out, err
}
