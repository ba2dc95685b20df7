package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"
)

// Refused is why a listener did not take a client's certificate. It is an
// ErrUntrusted.
type Refused struct {
	// Reason is for the log: words of this package, and times of certificates that
	// are genuine. Nothing in it is the client's choice, so that refusals of one
	// kind read alike.
	Reason string
	Host   string // ID, of a genuine certificate; else empty
	cause  error
}

// Error is the reason.
func (r *Refused) Error() string { return ErrUntrusted.Error() + ": " + r.Reason }

// Unwrap gives ErrUntrusted and what the verification said.
func (r *Refused) Unwrap() []error { return []error{ErrUntrusted, r.cause} }

// refused finds words for a certificate that was not taken. Only one that the
// hosts' issuer signed is looked at closer: the dates of others mean nothing.
func refused(cs tls.ConnectionState, hosts *x509.CertPool, now time.Time, cause error) *Refused {
	const kind = "certificate of another kind than a host's"
	leaf := cs.PeerCertificates[0]
	r := &Refused{Reason: kind, cause: cause}
	_, err := verifyChain(cs, hosts, x509.ExtKeyUsageClientAuth, leaf.NotAfter)
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return r
	case err != nil:
		r.Reason = "certificate of another issuer"
		return r
	}
	name, err := NameOf(leaf)
	if err != nil || name.Role != HostEnd {
		return r
	}
	switch {
	case now.After(leaf.NotAfter):
		r.Reason, r.Host = "certificate ended at "+stamp(leaf.NotAfter), name.ID
	case now.Before(leaf.NotBefore):
		r.Reason, r.Host = "certificate begins at "+stamp(leaf.NotBefore)+": was this server's clock set back?", name.ID
	}
	return r
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
