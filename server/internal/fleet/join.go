package fleet

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/bearer"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// ErrJoin is the one answer to every join that is refused, but for those whose
// token is good and has labels that give too much: these get ErrLabels. The log
// has the reason.
var (
	ErrJoin   = errors.New("the join token is not valid for this host: ask an admin for a new one")
	ErrLabels = errors.New("its labels give access that whoever made it may not grant: have somebody who may grant make a new join token")
)

const (
	kindJoinToken  barrier.Kind = "join-token"
	joinPrefix                  = "srj_"
	maxJoinLife                 = 30 * 24 * time.Hour
	maxUses                     = 5000    // its record names every host
	maxCertificate              = 8 << 10 // of a request and of a certificate, in bytes
)

// joinToken is a record of kind "join-token".
type joinToken struct {
	ID      string            `json:"id"`
	Hash    []byte            `json:"hash"` // SHA-256 of the random part
	Labels  map[string]string `json:"labels,omitempty"`
	Created time.Time         `json:"created"`
	By      string            `json:"by"`
	ByID    string            `json:"by_id,omitempty"` // empty: nobody whose labels may give access
	Expires time.Time         `json:"expires"`
	Uses    int               `json:"uses"`
	// Joined has the host that each key became, by the hex SHA-256 of the key,
	// so that a host whose answer was lost can ask again.
	Joined map[string]string `json:"joined,omitempty"`
}

// NewJoinToken makes a token that lets uses hosts join until its end and gives
// them labels. Whether these may give access is judged by who as they are when a
// host joins; without an ID they are nobody.
func (f *Fleet) NewJoinToken(ctx context.Context, who grant.Person, labels map[string]string, life time.Duration, uses int) (token string, expires time.Time, err error) {
	if err := credential.ValidTags("label", labels); err != nil {
		return "", time.Time{}, err
	}
	if life <= 0 || life > maxJoinLife {
		return "", time.Time{}, fmt.Errorf("%w ttl: more than 0 and at most %s", credential.ErrInvalid, maxJoinLife)
	}
	if uses < 1 || uses > maxUses {
		return "", time.Time{}, fmt.Errorf("%w uses: from 1 to %d", credential.ErrInvalid, maxUses)
	}
	id := credential.NewID()
	token, hash := bearer.New(joinPrefix, id)
	t := joinToken{
		ID: id, Hash: hash, Labels: labels, By: who.Name, ByID: who.ID,
		Created: f.now(), Expires: f.now().Add(life), Uses: uses,
	}
	entry := audit.Entry{Actor: who.Name, Action: "host.join-token", Target: t.ID, Outcome: audit.Allowed, Reason: t.terms()}
	err = f.log.Change(ctx, f.barrier, entry, func(tx *barrier.Tx) error {
		if err := f.dropEnded(tx); err != nil {
			return err
		}
		return tx.PutJSON(kindJoinToken, t.ID, t)
	})
	return token, t.Expires, err
}

// terms are what a token gives, for the log.
func (t joinToken) terms() string {
	labels := cmp.Or(audit.Labels(nil, t.Labels), "none")
	return fmt.Sprintf("labels %s; %d uses; until %s", labels, t.Uses, t.Expires.UTC().Format(time.RFC3339))
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
	// Admit, where there is one, is called once the token was found good and before
	// anything is written. Its error ends the join.
	Admit func(context.Context) error
}

// Joined is what it gets.
type Joined struct {
	Host         string
	Certificates [][]byte // the host's and its issuer's, DER
	Root         []byte   // DER
	TrustDomain  string
}

// Join enrols a host. Every refusal is ErrJoin or ErrLabels to the caller and has
// its reason in the log.
func (f *Fleet) Join(ctx context.Context, r JoinRequest) (Joined, error) {
	for what, s := range map[string]string{"name": r.Name, "os": r.OS, "version": r.Version} {
		if err := validLine(what, s); err != nil {
			return Joined{}, err
		}
	}
	public, err := readRequest(r.Certificate)
	if err != nil {
		return Joined{}, err
	}
	key := sha256.Sum256(public.RawSubjectPublicKeyInfo)
	t, random, known, reason := f.checkJoin(r.Token, key)
	if reason != "" {
		return Joined{}, f.refuseJoin(ctx, t.ID, reason, ErrJoin)
	}
	if err := admitted(ctx, r.Admit); err != nil {
		return Joined{}, err
	}
	if err := f.lockChanges(ctx); err != nil {
		return Joined{}, err
	}
	defer f.unlockChanges()
	h := Host{
		ID: cmp.Or(known, credential.NewID()), Name: r.Name, OS: r.OS, Version: r.Version,
		Enrolled: f.now(), Generation: 1, Revision: 1, Key: key[:],
	}
	if known != "" {
		return f.storeJoin(ctx, h, t, random, public)
	}
	var out Joined
	err = f.judgeLabels(t.ByID, t.Labels, func(widened string) (err error) {
		if widened != "" {
			return f.refuseLabels(ctx, t, widened)
		}
		out, err = f.storeJoin(ctx, h, t, random, public)
		return err
	})
	return out, err
}

// storeJoin stores a host, if its token is still good, and makes its certificate; changing is held.
func (f *Fleet) storeJoin(ctx context.Context, h Host, t joinToken, random string, public *x509.CertificateRequest) (out Joined, err error) {
	key, refused := [sha256.Size]byte(h.Key), ""
	var joined Host
	entry := audit.Entry{Actor: "host:" + h.ID, Action: "host.enroll", Target: h.ID, Host: h.ID, Outcome: audit.Allowed, Reason: joinText(h, t)}
	err = f.log.Change(ctx, f.barrier, entry, func(tx *barrier.Tx) error {
		t, refused = f.readJoinToken(tx, t.ID, random, key)
		if refused != "" {
			return audit.Refusal{Err: errors.New(refused)}
		}
		var err error
		if joined, err = f.enrol(tx, h, t); err != nil {
			return err
		}
		chain, err := f.certify(tx, joined.ID, joined.Generation, public.PublicKey)
		out = Joined{Host: joined.ID, Certificates: chain, Root: f.issuers[issuerRoot].Raw, TrustDomain: f.trustDomain}
		return err
	})
	switch {
	case refused != "":
		return Joined{}, f.refuseJoin(ctx, t.ID, refused, ErrJoin)
	case err != nil:
		return Joined{}, err
	}
	crash.Point("fleet.joined")
	f.remember(joined)
	return out, nil
}

// validLine checks what a host says of itself: the log and people's lists have it in one line.
func validLine(what, s string) error {
	if err := credential.ValidText(what, s, 256); err != nil {
		return err
	}
	if strings.ContainsAny(s, "\n\t\u2028\u2029") {
		return fmt.Errorf("%w %s: one line only, without tabs", credential.ErrInvalid, what)
	}
	return nil
}

func admitted(ctx context.Context, admit func(context.Context) error) error {
	if admit == nil {
		return nil
	}
	return admit(ctx)
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

// checkJoin judges a join before anything is written, so that a wrong token
// costs the store nothing. known is the host that this key became already.
func (f *Fleet) checkJoin(token string, key [32]byte) (t joinToken, random, known, reason string) {
	id, random, ok := bearer.Parse(joinPrefix, token)
	if !ok {
		return joinToken{}, "", "", "not a join token"
	}
	t.ID = id
	err := f.barrier.View(func(tx *barrier.Tx) error {
		t, reason = f.readJoinToken(tx, id, random, key)
		known = t.Joined[fmt.Sprintf("%x", key)]
		return nil
	})
	if err != nil {
		reason = "the token cannot be read"
	}
	return t, random, known, reason
}

// refuseLabels refuses a host that would be given by its labels what whoever chose them may not grant: a grant may have
// come to go by them since.
func (f *Fleet) refuseLabels(ctx context.Context, t joinToken, by string) error {
	reason := fmt.Sprintf("the labels of the join token give access by grant %s, and %s, who made it, may not grant", by, t.By)
	return f.refuseJoin(ctx, t.ID, reason, ErrLabels)
}

// readJoinToken returns no more than the ID of a token that is not there.
func (f *Fleet) readJoinToken(tx *barrier.Tx, id, random string, key [32]byte) (t joinToken, refused string) {
	if err := tx.GetJSON(kindJoinToken, id, &t); err != nil {
		return joinToken{ID: id}, "no such join token"
	}
	if !bearer.Matches(random, t.Hash) {
		return t, "wrong join token"
	}
	if !f.now().Before(t.Expires) {
		return t, "the join token has ended"
	}
	if host, ok := t.Joined[fmt.Sprintf("%x", key)]; ok {
		return t, f.checkRepeat(host, key)
	}
	if len(t.Joined) >= t.Uses {
		return t, "the join token was used already, by another key"
	}
	// It would be the way back for a host that was put out.
	for _, host := range t.Joined {
		if h, err := f.Get(host); err == nil && !(h.Revoked.IsZero() && h.Frozen.IsZero()) {
			return t, "a host that joined with this token is revoked or frozen"
		}
	}
	return t, ""
}

// checkRepeat judges a key that joined before. That a key was replaced since
// does not alarm here: a join is no proof that somebody has it now.
func (f *Fleet) checkRepeat(host string, key [32]byte) (refused string) {
	h, err := f.Get(host)
	if err == nil {
		_, err = h.judge(Certificate{Key: key})
	}
	switch {
	case errors.Is(err, ErrRevoked):
		return "the host that this key became is revoked"
	case errors.Is(err, ErrFrozen):
		return "the host that this key became is frozen"
	case err != nil:
		return "the host that this key became has a newer key"
	}
	return ""
}

func (f *Fleet) refuseJoin(ctx context.Context, token, reason string, answer error) error {
	entry := audit.Entry{Actor: "unknown", Action: "host.enroll", Target: token, Outcome: audit.Refused, Reason: reason}
	if _, err := f.log.Append(ctx, entry); err != nil {
		return err
	}
	return answer
}

// readRequest checks the request's own signature, which proves that the host
// has the key, and takes the key alone: names in it are ignored.
func readRequest(der []byte) (*x509.CertificateRequest, error) {
	bad := fmt.Errorf("%w certificate request: it must be PKCS #10, signed, with a P-256 key", credential.ErrInvalid)
	if len(der) > maxCertificate {
		return nil, bad
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil {
		return nil, bad
	}
	key, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, bad
	}
	return csr, nil
}
