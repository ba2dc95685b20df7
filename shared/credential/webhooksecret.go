package credential

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// WebhookSecret is the key with which a sender signs its messages and a receiver checks them.
const WebhookSecret AuthType = "webhook_secret"

var _ = define(WebhookSecret, definition{
	title: "Webhook secret",
	fields: []Field{
		{Name: "secret", Secret: true, Required: true, Help: "the key of the signatures, its bytes as they stand; one that is generated is 32 random bytes in hex"},
		{Name: "algorithm", Format: FormatChoice, Choices: []string{"sha256", "sha512", "sha1"}, Default: "sha256", Help: "the hash of the HMAC"},
		{Name: "encoding", Format: FormatChoice, Choices: []string{"hex", "base64"}, Default: "hex", Help: "how the signature is written"},
		{Name: "header", Default: "X-Signature", Help: "the header that carries the signature"},
		{Name: "prefix", Help: "what stands before the signature, such as sha256="},
	},
	check: func(plain map[string]string, value Value, _ time.Time) error {
		if h := plain["header"]; h != "" && !ValidToken(h) {
			return fmt.Errorf("%w field header: it must be a name of letters, digits and !#$%%&'*+-.^_`|~", ErrInvalid)
		}
		if value["secret"].Len() < minWebhookSecret {
			return fmt.Errorf("%w field secret: it must be %d bytes or longer", ErrInvalid, minWebhookSecret)
		}
		return nil
	},
	generate: func(a *secret.Arena, field string) (*secret.Buffer, error) {
		if field != "secret" {
			return nil, fmt.Errorf("%w field %s: only secret can be generated", ErrInvalid, field)
		}
		raw, err := a.Random(32)
		if err != nil {
			return nil, err
		}
		defer raw.Wipe()
		out, err := a.New(hex.EncodedLen(raw.Len()))
		if err != nil {
			return nil, err
		}
		secret.Do(func() { hex.Encode(out.Reveal(), raw.Reveal()) })
		return out, nil
	},
})

// minWebhookSecret is the shortest key in bytes; vendors' own are 16 or longer.
const minWebhookSecret = 16
