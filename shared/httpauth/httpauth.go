// Package httpauth authenticates HTTP requests: one piece of code for each auth type, which probes, rotators and the
// injecting proxy share. It puts a credential on a request only where the request goes to one of the credential's own
// origins. It must not decide who may use a credential, log one, or keep one longer than its caller.
//
// # Where secrets cross into ordinary memory
//
// net/http takes headers and URLs as strings and writes them through its own buffers. These are the crossings, each a
// [secret.Lend]:
//
//   - basic: the Authorization header, base64 of name and password;
//   - api_key: the header, the Cookie header or the query that carries the key;
//   - access_token, oauth2: the Authorization header with the token;
//   - oauth1: the token in the Authorization header; its secrets cross nowhere, only signatures made with them do.
//
// Digest and webhook signatures send hashes only; they are worked out inside [secret.Do]. A client certificate's key,
// like an RSA key of oauth1, is parsed inside Do anew for each signature and is garbage afterwards.
package httpauth

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

var (
	// ErrOrigin means that a request goes where the credential may not be sent. Nothing was sent.
	ErrOrigin = errors.New("the credential may not be sent there")
	// ErrType means that requests are not authenticated by this auth type, or not in this way.
	ErrType = errors.New("the auth type does not authenticate this request")
	// ErrBody means that the request's body cannot be read twice, which signing or a challenge needs.
	ErrBody = errors.New("the request's body cannot be read twice: set GetBody")
)

// maxBody bounds, in bytes, a body that has to be read in order to sign it.
const maxBody = 8 << 20

// Credential is one version of a credential, as requests need it. Its buffers stay the caller's, who wipes them after
// the last request.
type Credential struct {
	Type      credential.AuthType
	Plain     map[string]string
	Secrets   credential.Value
	Origins   []credential.Origin  // the only places that it is sent to
	Injection credential.Injection // the application's own way; zero: the auth type's
	Now       func() time.Time     // for signatures with a time; nil: time.Now
}

// Authenticate sets on r what the auth type needs: headers, a query parameter, a cookie. What r has in that place is
// replaced. It fails with ErrOrigin, and leaves r as it is, where r goes to another place than the credential's
// origins; with ErrType for types that need more than one request (digest) or are not for HTTP. For
// client_certificate it checks the origin only: see [Credential.Certificate].
//
// A client that follows redirects copies headers to other places: use [Transport] with one.
func (c Credential) Authenticate(r *http.Request) error {
	if err := c.allows(r); err != nil {
		return err
	}
	switch c.Type {
	case credential.Basic, credential.APIKey, credential.AccessToken, credential.OAuth2:
		return c.inject(r)
	case credential.OAuth1:
		return c.signOAuth1(r)
	case credential.WebhookSecret:
		return c.signWebhookRequest(r)
	case credential.ClientCertificate:
		return nil
	case credential.Digest:
		return fmt.Errorf("%w: digest needs the server's challenge; send it through a Transport", ErrType)
	}
	return fmt.Errorf("%w: %s is not for HTTP requests", ErrType, c.Type)
}

// allows refuses requests that do not go to one of the credential's origins. The Host header counts like the URL: on
// many servers it is what chooses the site.
func (c Credential) allows(r *http.Request) error {
	if r.URL == nil || r.URL.Opaque != "" || r.URL.User != nil {
		return fmt.Errorf("%w: the request's URL must be absolute, without user and password", ErrOrigin)
	}
	origin, err := credential.OriginOf("url", r.URL.Scheme+"://"+r.URL.Host)
	if err != nil {
		return fmt.Errorf("%w: the request's URL has no origin", ErrOrigin)
	}
	if !slices.Contains(c.Origins, origin) {
		return fmt.Errorf("%w: %s is not among its origins", ErrOrigin, origin)
	}
	if r.Host != "" {
		host, err := credential.OriginOf("host", r.URL.Scheme+"://"+r.Host)
		if err != nil || host != origin {
			return fmt.Errorf("%w: the Host header names another site than the URL", ErrOrigin)
		}
	}
	return nil
}

// fieldError names the field of a credential that a request cannot carry, never its content.
func fieldError(field, why string) error {
	return fmt.Errorf("%w field %s: %s", credential.ErrInvalid, field, why)
}

// plain gives a plain field, or fallback where it is empty.
func (c Credential) plain(field, fallback string) string {
	if text := c.Plain[field]; text != "" {
		return text
	}
	return fallback
}

// printable says whether a header carries the text as it is: no control characters, no spaces at its ends.
func printable(b []byte) bool {
	if len(b) > 0 && (b[0] == ' ' || b[len(b)-1] == ' ') {
		return false
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func (c Credential) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}
