package fleet

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

// ErrJoin is the one answer to every join that is refused; the log has the
// reason.
var ErrJoin = errors.New("the join token is not valid for this host: ask an admin for a new one")

const (
	kindJoinToken barrier.Kind = "join-token"
	joinPrefix                 = "srj_"
	maxJoinLife                = 30 * 24 * time.Hour
)

// joinToken is a record of kind "join-token".
type joinToken struct {
	ID      string            `json:"id"`
	Hash    []byte            `json:"hash"` // SHA-256 of the random part
	Labels  map[string]string `json:"labels,omitempty"`
	Created time.Time         `json:"created"`
	By      string            `json:"by"`
	Expires time.Time         `json:"expires"`
	Uses    int               `json:"uses"`
	// Joined has the host that each key became, by the hex SHA-256 of the key,
	// so that a host whose answer was lost can ask again.
	Joined map[string]string `json:"joined,omitempty"`
}

// NewJoinToken makes a token that lets uses hosts join until its end and gives
// them labels.
func (f *Fleet) NewJoinToken(ctx context.Context, who grant.Person, labels map[string]string, life time.Duration, uses int) (token string, expires time.Time, err error) {
	if err := credential.ValidTags("label", labels); err != nil {
		return "", time.Time{}, err
	}
	if life <= 0 || life > maxJoinLife {
		return "", time.Time{}, fmt.Errorf("%w ttl: more than 0 and at most %s", credential.ErrInvalid, maxJoinLife)
	}
	if uses < 1 || uses > 100_000 {
		return "", time.Time{}, fmt.Errorf("%w uses: from 1 to 100000", credential.ErrInvalid)
	}
	random := strings.ToLower(rand.Text())
	hash := sha256.Sum256([]byte(random))
	t := joinToken{
		ID: credential.NewID(), Hash: hash[:], Labels: labels, By: who.Name,
		Created: f.now(), Expires: f.now().Add(life), Uses: uses,
	}
	entry := audit.Entry{Actor: who.Name, Action: "host.join-token", Target: t.ID, Outcome: audit.Allowed}
	err = f.log.Change(ctx, f.barrier, entry, func(tx *barrier.Tx) error {
		if err := f.dropEnded(tx); err != nil {
			return err
		}
		return tx.PutJSON(kindJoinToken, t.ID, t)
	})
	return joinPrefix + t.ID + "_" + random, t.Expires, err
}

// dropEnded removes a few tokens that have ended, so that they do not pile up.
func (f *Fleet) dropEnded(tx *barrier.Tx) error {
	var ended []string
	err := barrier.ScanJSON(tx, kindJoinToken, func(t joinToken) error {
		if len(ended) < 10 && f.now().After(t.Expires) {
			ended = append(ended, t.ID)
		}
		return nil
	})
	for _, id := range ended {
		err = errors.Join(err, tx.Delete(kindJoinToken, id))
	}
	return err
}

// JoinRequest is what a host brings.
type JoinRequest struct {
	Token       string
	Certificate []byte // certificate request, PKCS #10 DER: only its key counts
	Name        string
	OS          string
	Version     string
}

// Joined is what it gets.
type Joined struct {
	Host         string
	Certificates [][]byte // the host's and its issuer's, DER
	Root         []byte   // DER
	TrustDomain  string
}

// Join enrols a host. Every refusal is ErrJoin to the caller and has its reason
// in the log.
func (f *Fleet) Join(ctx context.Context, r JoinRequest) (Joined, error) {
	public, err := readRequest(r)
	if err != nil {
		return Joined{}, err
	}
	key := sha256.Sum256(public.RawSubjectPublicKeyInfo)
	id, random, known, reason := f.checkJoin(r.Token, key)
	if reason != "" {
		return Joined{}, f.refuseJoin(ctx, id, reason)
	}
	h := Host{
		ID: credential.NewID(), Name: r.Name, OS: r.OS, Version: r.Version,
		Enrolled: f.now(), Generation: 1, Key: key[:],
	}
	if known != "" {
		h.ID = known
	}
	var out Joined
	entry := audit.Entry{Actor: "host:" + h.ID, Action: "host.enroll", Target: h.ID, Host: h.ID, Outcome: audit.Allowed, Reason: "join token " + id}
	refused := ""
	err = f.log.Change(ctx, f.barrier, entry, func(tx *barrier.Tx) error {
		var t joinToken
		t, refused = f.readJoinToken(tx, id, random, key)
		if refused != "" {
			return ErrJoin
		}
		var err error
		if h, err = f.enrol(tx, h, t); err != nil {
			return err
		}
		out, err = f.certify(tx, h, public.PublicKey)
		return err
	})
	switch {
	case refused != "":
		return Joined{}, f.refuseJoin(ctx, id, refused)
	case err != nil:
		return Joined{}, err
	}
	f.mu.Lock()
	f.hosts[h.ID] = h
	f.mu.Unlock()
	return out, nil
}

// enrol stores a new host, or finds the one that this key became already.
func (f *Fleet) enrol(tx *barrier.Tx, h Host, t joinToken) (Host, error) {
	key := fmt.Sprintf("%x", h.Key)
	if known, ok := t.Joined[key]; ok {
		return f.Get(known)
	}
	h.Labels = maps.Clone(t.Labels)
	if t.Joined == nil {
		t.Joined = map[string]string{}
	}
	t.Joined[key] = h.ID
	return h, errors.Join(tx.PutJSON(kindJoinToken, t.ID, t), tx.PutJSON(kindHost, h.ID, h))
}

func (f *Fleet) certify(tx *barrier.Tx, h Host, public any) (Joined, error) {
	s, err := f.signer(tx, issuerHosts)
	if err != nil {
		return Joined{}, err
	}
	name := identity.Name{TrustDomain: f.trustDomain, Role: identity.HostEnd, ID: h.ID}
	cert, err := s.issue(name, public, x509.ExtKeyUsageClientAuth, f.now(), hostLife, nil)
	if err != nil {
		return Joined{}, err
	}
	return Joined{
		Host:         h.ID,
		Certificates: [][]byte{cert.Raw, f.issuers[issuerHosts].Raw},
		Root:         f.issuers[issuerRoot].Raw,
		TrustDomain:  f.trustDomain,
	}, nil
}

// checkJoin judges a join before anything is written, so that a wrong token
// costs the store nothing. known is the host that this key became already.
func (f *Fleet) checkJoin(token string, key [32]byte) (id, random, known, reason string) {
	id, random, ok := strings.Cut(strings.TrimPrefix(token, joinPrefix), "_")
	if !ok || !strings.HasPrefix(token, joinPrefix) || len(token) > 256 || credential.ValidName("token", id) != nil {
		return "", "", "", "not a join token"
	}
	err := f.barrier.View(func(tx *barrier.Tx) error {
		var t joinToken
		t, reason = f.readJoinToken(tx, id, random, key)
		known = t.Joined[fmt.Sprintf("%x", key)]
		return nil
	})
	if err != nil {
		reason = "the token cannot be read"
	}
	return id, random, known, reason
}

func (f *Fleet) readJoinToken(tx *barrier.Tx, id, random string, key [32]byte) (t joinToken, refused string) {
	if err := tx.GetJSON(kindJoinToken, id, &t); err != nil {
		return t, "no such join token"
	}
	hash := sha256.Sum256([]byte(random))
	if !secret.Equal(hash[:], t.Hash) {
		return t, "wrong join token"
	}
	if !f.now().Before(t.Expires) {
		return t, "the join token has ended"
	}
	if host, ok := t.Joined[fmt.Sprintf("%x", key)]; ok {
		if _, err := f.Admit(host, key); err != nil {
			return t, "the host that this key became is revoked"
		}
		return t, ""
	}
	if len(t.Joined) >= t.Uses {
		return t, "the join token was used already, by another key"
	}
	return t, ""
}

func (f *Fleet) refuseJoin(ctx context.Context, token, reason string) error {
	entry := audit.Entry{Actor: "unknown", Action: "host.enroll", Target: token, Outcome: audit.Refused, Reason: reason}
	if _, err := f.log.Append(ctx, entry); err != nil {
		return err
	}
	return ErrJoin
}

// readRequest checks the request's own signature, which proves that the host
// has the key, and takes the key alone: names in it are ignored.
func readRequest(r JoinRequest) (*x509.CertificateRequest, error) {
	for what, s := range map[string]string{"name": r.Name, "os": r.OS, "version": r.Version} {
		if err := credential.ValidText(what, s, 256); err != nil {
			return nil, err
		}
	}
	bad := fmt.Errorf("%w certificate request: it must be PKCS #10, signed, with a P-256 key", credential.ErrInvalid)
	if len(r.Certificate) > 8<<10 {
		return nil, bad
	}
	csr, err := x509.ParseCertificateRequest(r.Certificate)
	if err != nil || csr.CheckSignature() != nil {
		return nil, bad
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, bad
	}
	return csr, nil
}
