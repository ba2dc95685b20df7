package httpauth

import (
	"crypto/hmac"
	"crypto/sha1" // some senders still sign with it, and HMAC holds where the hash alone does not
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// ErrSignature means that a webhook's message is not signed with the secret.
var ErrSignature = errors.New("the signature is missing or wrong")

// SignWebhook sets the header that proves body to who has the same webhook_secret.
func (c Credential) SignWebhook(h http.Header, body []byte) error {
	mac, err := c.webhookMAC(body)
	if err != nil {
		return err
	}
	text := hex.EncodeToString(mac)
	if c.plain("encoding", "hex") == "base64" {
		text = base64.StdEncoding.EncodeToString(mac)
	}
	h.Set(c.plain("header", "X-Signature"), c.Plain["prefix"]+text)
	return nil
}

// VerifyWebhook checks the signature of a message that was received, in a time that does not depend on it. It fails
// with ErrSignature. A message with the header twice is refused, since two readers might look at different ones.
func (c Credential) VerifyWebhook(h http.Header, body []byte) error {
	want, err := c.webhookMAC(body)
	if err != nil {
		return err
	}
	given := h.Values(c.plain("header", "X-Signature"))
	if len(given) != 1 {
		return ErrSignature
	}
	text, ok := strings.CutPrefix(given[0], c.Plain["prefix"])
	if !ok {
		return ErrSignature
	}
	decode := hex.DecodeString
	if c.plain("encoding", "hex") == "base64" {
		decode = base64.StdEncoding.Strict().DecodeString
	}
	got, err := decode(text)
	if err != nil || !secret.Equal(got, want) {
		return ErrSignature
	}
	return nil
}

func (c Credential) webhookMAC(body []byte) (mac []byte, err error) {
	if c.Type != credential.WebhookSecret {
		return nil, fmt.Errorf("%w: %s signs no webhooks", ErrType, c.Type)
	}
	hashes := map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}
	h := hashes[c.plain("algorithm", "sha256")]
	if h == nil {
		return nil, fieldError("algorithm", "it must be sha256, sha512 or sha1")
	}
	key := c.Secrets["secret"]
	if key.Len() == 0 {
		return nil, fieldError("secret", "it is missing")
	}
	secret.Do(func() {
		m := hmac.New(h, key.Reveal())
		m.Write(body)
		mac = m.Sum(nil)
	})
	return mac, nil
}

func (c Credential) signWebhookRequest(r *http.Request) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	return c.SignWebhook(r.Header, body)
}
