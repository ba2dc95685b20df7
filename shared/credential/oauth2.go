package credential

import (
	"fmt"
	"time"
)

// The grants by which an access token is had (RFC 6749, RFC 8628, RFC 7523).
const (
	GrantCode   = "authorization_code"
	GrantClient = "client_credentials"
	GrantDevice = "device_code"
	GrantJWT    = "jwt_bearer"
)

// OAuth2 is a connection to an authorization server: what it takes to get access tokens, and the tokens themselves.
// Client secret, signing key and refresh token never leave the server; agents and jobs are given access tokens.
const OAuth2 AuthType = "oauth2"

var _ = define(OAuth2, definition{
	title: "OAuth 2.0",
	fields: []Field{
		{Name: "client_id", Required: true, Help: "the client's ID at the authorization server"},
		{Name: "client_secret", Secret: true, ServerOnly: true, Help: "the client's secret; public clients have none"},
		{Name: "grant", Format: FormatChoice, Choices: []string{GrantCode, GrantClient, GrantDevice, GrantJWT}, Default: GrantCode,
			Help: "how access tokens are had"},
		{Name: "authorize_url", Format: FormatURL, Help: "where people give their consent"},
		{Name: "token_url", Format: FormatURL, Help: "where tokens are issued and refreshed"},
		{Name: "scopes", Help: "what the token is for, separated by spaces"},
		{Name: "private_key", Secret: true, ServerOnly: true, Format: FormatPEM,
			Help: "the key that signs the client's assertions, in PEM, where jwt_bearer or the server asks for it"},
		{Name: "access_token", Secret: true, Help: "the access token; connecting and refreshing set it"},
		{Name: "refresh_token", Secret: true, ServerOnly: true, Help: "the refresh token; connecting and refreshing set it"},
		{Name: "expiry", Format: FormatTime, Help: "when the access token ends"},
	},
	check: checkOAuth2,
})

func checkOAuth2(plain map[string]string, value Value, _ time.Time) error {
	switch plain["grant"] {
	case GrantJWT:
		if value["private_key"].Len() == 0 {
			return fmt.Errorf("%w field private_key: the grant jwt_bearer needs it", ErrInvalid)
		}
	case GrantClient:
		if value["client_secret"].Len() == 0 && value["private_key"].Len() == 0 {
			return fmt.Errorf("%w field client_secret: the grant client_credentials needs it, or a private_key", ErrInvalid)
		}
	}
	if value["private_key"].Len() == 0 {
		return nil
	}
	return withPrivateKey("private_key", value["private_key"], nil, func(key any) error { return weakKey("private_key", key) })
}
