package httpauth

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/strongroom/strongroom/shared/credential"
)

// Transport sends requests with a credential. A request to another place than the credential's origins fails with
// ErrOrigin and is not sent at all, so that a client which follows a redirect away from them reaches nobody. What the
// caller gave is left as it was: the credential is in a copy of the request, also in Response.Request's place.
//
// It answers digest challenges, keeps their nonces and counts their use. It may be used by several goroutines.
type Transport struct {
	credential Credential
	base       *http.Transport

	mu       sync.Mutex
	sessions map[credential.Origin]*session // of digest
}

// session is a digest nonce in use.
type session struct {
	challenge Challenge
	cnonce    string
	count     uint32
}

// NewTransport makes a transport over base, of which it makes a copy where the credential is a client certificate. The
// credential's buffers must live as long as it.
func NewTransport(c Credential, base *http.Transport) (*Transport, error) {
	switch c.Type {
	case credential.SSHKey:
		return nil, fmt.Errorf("%w: %s is not for HTTP requests", ErrType, c.Type)
	case credential.ClientCertificate:
		certificate, err := c.Certificate()
		if err != nil {
			return nil, err
		}
		base = base.Clone()
		if base.TLSClientConfig == nil {
			base.TLSClientConfig = &tls.Config{}
		}
		base.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificate, nil
		}
	}
	return &Transport{credential: c, base: base, sessions: map[credential.Origin]*session{}}, nil
}

// Client is an HTTP client over the transport. It follows at most ten redirects, and those within the credential's
// origins only: one that leads away ends with ErrOrigin, and nothing is sent there.
func (t *Transport) Client(timeout time.Duration) *http.Client {
	return &http.Client{Transport: t, Timeout: timeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return fmt.Errorf("%w: more than ten redirects", ErrOrigin)
		}
		return t.credential.allows(r)
	}}
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var resp *http.Response
	err := t.credential.allows(r)
	switch {
	case err != nil:
	case t.credential.Type == credential.Digest:
		return t.digest(r)
	default:
		out := r.Clone(r.Context())
		if err = t.credential.Authenticate(out); err == nil {
			resp, err = t.base.RoundTrip(out)
			return original(resp, r), err
		}
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, err
}

// original takes the copy with the credential out of the response.
func original(resp *http.Response, r *http.Request) *http.Response {
	if resp != nil {
		resp.Request = r
	}
	return resp
}

// digest sends the request with the nonce that it has, or without, and again with the nonce that the server asks for.
// A third time is for a nonce that got stale in between.
func (t *Transport) digest(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	if !replayable(r) {
		return nil, ErrBody
	}
	origin, err := credential.OriginOf("url", r.URL.Scheme+"://"+r.URL.Host)
	if err != nil {
		return nil, ErrOrigin
	}
	used := t.use(origin)
	for try := 1; ; try++ {
		out, err := copyOf(r)
		if err != nil {
			return nil, err
		}
		out.Header.Del("Authorization")
		if used != nil {
			if err := t.credential.Respond(out, used.challenge, used.cnonce, used.count); err != nil {
				return nil, err
			}
		}
		resp, err := t.base.RoundTrip(out)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			if err == nil {
				t.renew(origin, used, nextNonce(resp.Header))
			}
			return original(resp, r), err
		}
		next, err := ParseChallenge(resp.Header)
		if try == 3 || err != nil || !worthAnother(used, next, try) {
			return original(resp, r), nil
		}
		drain(resp)
		t.start(origin, next)
		used = t.use(origin)
	}
}

// worthAnother says whether the server's new challenge asks for more than was answered already. The same nonce again,
// or another one without stale in answer to a fresh one, means that the password is wrong.
func worthAnother(used *session, next Challenge, try int) bool {
	if used == nil {
		return true
	}
	if next.Nonce == used.challenge.Nonce && !next.Stale {
		return false
	}
	return next.Stale || try == 1
}

// use takes the next count of the origin's nonce; nil where there is none yet.
func (t *Transport) use(origin credential.Origin) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[origin]
	if s == nil {
		return nil
	}
	s.count++
	taken := *s
	return &taken
}

func (t *Transport) start(origin credential.Origin, c Challenge) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sessions[origin] = &session{challenge: c, cnonce: rand.Text()}
}

// renew takes up the nonce that the server gave for the next request.
func (t *Transport) renew(origin credential.Origin, used *session, nonce string) {
	if used == nil || nonce == "" {
		return
	}
	c := used.challenge
	c.Nonce = nonce
	t.start(origin, c)
}
