package fleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
)

// ErrRecover is the one answer to every recovery that is refused; the log has
// the reason.
var ErrRecover = errors.New("this host cannot recover its certificate: enrol it again")

// recoverLife is how long after its end a certificate can be recovered from.
const recoverLife = 30 * 24 * time.Hour

// Certificate is what a host shows of itself. Whoever makes one has verified
// that the hosts' issuer signed it.
type Certificate struct {
	Host       string // ID
	Generation uint64
	Key        [32]byte // SHA-256 of the public key (SPKI)
	Ends       time.Time
	// Shown is when the connection began that it is shown on. Connections from
	// before a newer certificate was used are stragglers, later ones are clones.
	Shown time.Time
}

// ReadCertificate reads a verified certificate, shown on a connection that began
// at the given time.
func ReadCertificate(leaf *x509.Certificate, shown time.Time) (Certificate, error) {
	name, err := identity.NameOf(leaf)
	if err != nil {
		return Certificate{}, err
	}
	generation, err := strconv.ParseUint(leaf.Subject.SerialNumber, 10, 64)
	if err != nil {
		return Certificate{}, fmt.Errorf("%w: it names no generation", identity.ErrUntrusted)
	}
	return Certificate{
		Host: name.ID, Generation: generation, Key: sha256.Sum256(leaf.RawSubjectPublicKeyInfo),
		Ends: leaf.NotAfter, Shown: shown,
	}, nil
}

// certify makes a host's certificate. The generation is in it, so that an older
// one is told from one that this vault, restored from a backup, does not know yet.
func (f *Fleet) certify(tx *barrier.Tx, id string, generation uint64, public any) ([][]byte, error) {
	s, err := f.signer(tx, issuerHosts)
	if err != nil {
		return nil, err
	}
	name := identity.Name{TrustDomain: f.trustDomain, Role: identity.HostEnd, ID: id}
	template := leaf(name, x509.ExtKeyUsageClientAuth, f.now(), crash.Duration("host-certificate", hostLife))
	template.Subject.SerialNumber = strconv.FormatUint(generation, 10)
	cert, err := s.issue(template, public)
	if err != nil {
		return nil, err
	}
	return [][]byte{cert.Raw, f.issuers[issuerHosts].Raw}, nil
}

// judge says whether a certificate is good: ErrRevoked, ErrFrozen,
// ErrSuperseded. next says that it is the successor of the one in use.
func (h Host) judge(c Certificate) (next bool, err error) {
	switch {
	case !h.Revoked.IsZero():
		return false, ErrRevoked
	case !h.Frozen.IsZero():
		return false, ErrFrozen
	case bytes.Equal(h.Key, c.Key[:]):
		return false, nil
	case bytes.Equal(h.Next, c.Key[:]), c.Generation > h.Generation+1, c.Generation > h.Generation && (h.Next == nil || h.Restored):
		// Where it is not the pending one, the vault was restored and has forgotten
		// a renewal that its issuer signed.
		return true, nil
	}
	return false, ErrSuperseded
}

// Check says whether a certificate is good and changes nothing: ErrNotFound,
// ErrRevoked, ErrFrozen, ErrSuperseded.
func (f *Fleet) Check(c Certificate) (grant.Host, error) {
	h, err := f.Get(c.Host)
	if err == nil {
		_, err = h.judge(c)
	}
	if err != nil {
		return grant.Host{}, err
	}
	return h.Caller(), nil
}

// Admit is Check for a host that calls. The first use of a renewed certificate
// ends the one before; one that ended so and is shown on a later connection is a
// clone's and freezes the host.
func (f *Fleet) Admit(ctx context.Context, c Certificate) (grant.Host, error) {
	h, err := f.Get(c.Host)
	if err != nil {
		return grant.Host{}, err
	}
	next, err := h.judge(c)
	switch {
	case next, err == nil && h.Restored:
		err = f.promote(ctx, c)
	case errors.Is(err, ErrSuperseded) && c.Shown.After(h.Since):
		err = f.freeze(ctx, c)
	}
	if err != nil {
		return grant.Host{}, err
	}
	return h.Caller(), nil
}

// promote makes the generation that is used for the first time the current one.
// With it, or with the one that is current, a host is back from a restore.
func (f *Fleet) promote(ctx context.Context, c Certificate) error {
	ended := false
	err := f.change(ctx, c.Host, func(h *Host) (audit.Entry, error) {
		next, err := h.judge(c)
		if err != nil {
			return audit.Entry{}, err
		}
		if !next && !h.Restored {
			return audit.Entry{}, errUnchanged // another call was first
		}
		h.Restored = false
		if ended = next; !next {
			return audit.Entry{
				Actor: "host:" + h.ID, Action: "host.return", Outcome: audit.Allowed,
				Reason: fmt.Sprintf("generation %d, the first time since the vault was restored", c.Generation),
			}, nil
		}
		h.Key, h.Generation, h.Next, h.Since = c.Key[:], c.Generation, nil, f.now()
		return audit.Entry{
			Actor: "host:" + h.ID, Action: "host.switch", Outcome: audit.Allowed,
			Reason: fmt.Sprintf("generation %d is in use, the ones before have ended", c.Generation),
		}, nil
	}, nil)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err == nil && ended {
		f.changed(c.Host)
	}
	return err
}

// freeze stops a host that there are two of, and says so with ErrFrozen.
func (f *Fleet) freeze(ctx context.Context, c Certificate) error {
	// Hanging up must not keep it from being noticed.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := f.change(ctx, c.Host, func(h *Host) (audit.Entry, error) {
		_, err := h.judge(c)
		if err == nil {
			err = errUnchanged
		}
		if !errors.Is(err, ErrSuperseded) {
			return audit.Entry{}, err
		}
		h.Frozen = f.now()
		return audit.Entry{
			Actor: "host:" + h.ID, Action: "host.clone", Outcome: audit.Refused,
			Reason: fmt.Sprintf("a replaced certificate of generation %d was used while generation %d is in use: two machines have this host's identity; it is frozen", c.Generation, h.Generation),
		}, nil
	}, nil)
	if err != nil {
		return err
	}
	f.changed(c.Host)
	return ErrFrozen
}

// Renew certifies a new key, which makes the next generation. c stays good until
// that is first used. The same new key may repeat its renewal until then;
// another one takes its place.
func (f *Fleet) Renew(ctx context.Context, c Certificate, request []byte) ([][]byte, error) {
	public, err := readRequest(request)
	if err != nil {
		return nil, err
	}
	return f.renew(ctx, c, public, "host.renew")
}

func (f *Fleet) renew(ctx context.Context, c Certificate, public *x509.CertificateRequest, action string) (chain [][]byte, err error) {
	if _, err := f.Admit(ctx, c); err != nil {
		return nil, err
	}
	key := sha256.Sum256(public.RawSubjectPublicKeyInfo)
	if key == c.Key {
		return nil, fmt.Errorf("%w certificate request: a renewal needs a new key", credential.ErrInvalid)
	}
	err = f.change(ctx, c.Host, func(h *Host) (audit.Entry, error) {
		next, err := h.judge(c)
		if err == nil && next {
			err = errUnchanged
		}
		h.Next = key[:]
		return audit.Entry{
			Actor: "host:" + h.ID, Action: action, Outcome: audit.Allowed,
			Reason: fmt.Sprintf("generation %d", h.Generation+1),
		}, err
	}, func(tx *barrier.Tx, h Host) (err error) {
		chain, err = f.certify(tx, h.ID, h.Generation+1, public.PublicKey)
		return err
	})
	if err != nil {
		return nil, err
	}
	return chain, nil
}

// RecoverRequest is what a host brings whose certificate has ended.
type RecoverRequest struct {
	Certificate []byte   // the host's last, DER
	Request     []byte   // PKCS #10 DER, with a new key: only that counts
	Signed      [32]byte // what Signature signs: it names the connection and this request
	Signature   []byte   // by the key of Certificate, ECDSA, ASN.1
	Shown       time.Time
	Admit       func(context.Context) error // as JoinRequest has it, once Signature was found good
}

// Recover renews a certificate that ended no more than 30 days ago, or has yet
// to end. Every refusal is ErrRecover to the caller and has its reason in the log.
func (f *Fleet) Recover(ctx context.Context, r RecoverRequest) ([][]byte, error) {
	public, err := readRequest(r.Request)
	if err != nil {
		return nil, err
	}
	c, reason := f.checkRecover(r)
	if reason != "" {
		return nil, f.refuseRecover(ctx, c.Host, reason)
	}
	if err := admitted(ctx, r.Admit); err != nil {
		return nil, err
	}
	chain, err := f.renew(ctx, c, public, "host.recover")
	for _, refusal := range []error{ErrNotFound, ErrRevoked, ErrFrozen, ErrSuperseded} {
		if errors.Is(err, refusal) {
			return nil, f.refuseRecover(ctx, c.Host, refusal.Error())
		}
	}
	return chain, err
}

// checkRecover judges what needs no look at the host.
func (f *Fleet) checkRecover(r RecoverRequest) (c Certificate, refused string) {
	const foreign = "not a certificate of a host of this vault"
	if len(r.Certificate) > maxCertificate {
		return c, foreign
	}
	last, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return c, foreign
	}
	_, err = last.Verify(x509.VerifyOptions{
		Roots: f.HostIssuers(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		CurrentTime: last.NotAfter, // it is not asked to be good now
	})
	if err != nil {
		return c, foreign
	}
	if c, err = ReadCertificate(last, r.Shown); err != nil {
		return c, foreign
	}
	key, ok := last.PublicKey.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, r.Signed[:], r.Signature) {
		return c, "the proof is not by the certificate's key for this connection"
	}
	if f.now().After(c.Ends.Add(recoverLife)) {
		return c, "the certificate ended more than 30 days ago"
	}
	return c, ""
}

func (f *Fleet) refuseRecover(ctx context.Context, host, reason string) error {
	entry := audit.Entry{Actor: "unknown", Action: "host.recover", Target: host, Host: host, Outcome: audit.Refused, Reason: reason}
	if _, err := f.log.Append(ctx, entry); err != nil {
		return err
	}
	return ErrRecover
}
