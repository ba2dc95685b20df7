package credential

import (
	"crypto/rsa"
	"fmt"
	"time"
)

// The signature methods of OAuth 1.0: RFC 5849 section 3.4, and HMAC-SHA256 as it is used in the field.
const (
	HMACSHA1   = "HMAC-SHA1"
	HMACSHA256 = "HMAC-SHA256"
	RSASHA1    = "RSA-SHA1"
)

// OAuth1 signs each request with a consumer's and a token's secrets (RFC 5849).
const OAuth1 AuthType = "oauth1"

var _ = define(OAuth1, definition{
	title: "OAuth 1.0a",
	fields: []Field{
		{Name: "consumer_key", Required: true, Help: "the consumer key, which names the client"},
		{Name: "consumer_secret", Secret: true, Help: "the consumer's secret; HMAC signatures need it"},
		{Name: "token", Secret: true, Help: "the access token; empty where the client acts for itself"},
		{Name: "token_secret", Secret: true, Help: "the access token's secret"},
		{Name: "signature_method", Format: FormatChoice, Choices: []string{HMACSHA1, HMACSHA256, RSASHA1}, Default: HMACSHA1,
			Help: "how requests are signed"},
		{Name: "private_key", Secret: true, Format: FormatPEM, Help: "the RSA key that RSA-SHA1 signs with, in PEM"},
		{Name: "realm", Help: "the realm to name in the header, where the server asks for one"},
	},
	check: checkOAuth1,
})

func checkOAuth1(plain map[string]string, value Value, _ time.Time) error {
	switch plain["signature_method"] {
	case RSASHA1:
		if value["private_key"].Len() == 0 {
			return fmt.Errorf("%w field private_key: RSA-SHA1 needs it", ErrInvalid)
		}
		return withPrivateKey("private_key", value["private_key"], nil, func(key any) error {
			if _, ok := key.(*rsa.PrivateKey); !ok {
				return fmt.Errorf("%w field private_key: it must be an RSA key, since RSA-SHA1 signs with it", ErrInvalid)
			}
			return weakKey("private_key", key)
		})
	default:
		if value["consumer_secret"].Len() == 0 {
			return fmt.Errorf("%w field consumer_secret: HMAC signatures need it", ErrInvalid)
		}
	}
	if value["token_secret"].Len() > 0 && value["token"].Len() == 0 {
		return fmt.Errorf("%w field token: there is a token_secret without it", ErrInvalid)
	}
	return nil
}
