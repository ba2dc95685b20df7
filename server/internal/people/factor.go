package people

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// A second factor is TOTP (RFC 6238) as authenticator apps have it: HMAC-SHA1,
// six digits, steps of 30 seconds. A code of the step before or after counts as
// well, since clocks differ, and none counts twice.
const (
	totpSecret    = 20 // bytes
	totpStep      = 30 // seconds
	totpDigits    = 1_000_000
	recoveryCodes = 10
)

// factor is what is stored of a second factor beside its secret.
type factor struct {
	Confirmed time.Time `json:"confirmed,omitzero"` // zero: begun, and not asked for yet
	Step      uint64    `json:"step,omitempty"`     // of the last code that was used
	Recovery  [][]byte  `json:"recovery,omitempty"` // SHA-256 of the codes that are left
}

func (f *factor) confirmed() bool { return f != nil && !f.Confirmed.IsZero() }

// BeginFactor makes the secret of a person's second factor, which the caller
// shows once and wipes. Nothing asks for it until ConfirmFactor. It takes the
// password, so that a session that was left open does not suffice.
func (p *People) BeginFactor(ctx context.Context, who grant.Person, password *secret.Buffer, a *secret.Arena) (key *secret.Buffer, err error) {
	if err := p.ownPassword(ctx, who, password); err != nil {
		return nil, err
	}
	if key, err = a.Random(totpSecret); err != nil {
		return nil, err
	}
	entry := audit.Entry{Actor: who.Name, Action: "factor.begin", Target: who.Name, Reason: "a new secret; it counts once its first code was given"}
	err = p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, who.Name)
		if err != nil {
			return nil, err
		}
		if u.Factor.confirmed() {
			return nil, fmt.Errorf("%w: this user has a second factor; remove it first", ErrInUse)
		}
		u.Factor = &factor{}
		return func() error {
			return errors.Join(tx.Put(kindTOTP, u.ID, key.Reveal()), tx.PutJSON(kindUser, u.ID, u))
		}, nil
	})
	if err != nil {
		key.Wipe()
		return nil, err
	}
	return key, nil
}

// ConfirmFactor takes the first code and turns the second factor on. It returns
// the recovery codes, each good once, which are shown this once.
func (p *People) ConfirmFactor(ctx context.Context, who grant.Person, code string) (recovery []string, err error) {
	entry := audit.Entry{Actor: who.Name, Action: "factor.add", Target: who.Name, Reason: fmt.Sprintf("by its first code; %d recovery codes", recoveryCodes)}
	err = p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, who.Name)
		if err != nil {
			return nil, err
		}
		if u.Factor == nil || u.Factor.confirmed() {
			return nil, fmt.Errorf("%w code: there is no second factor to confirm", credential.ErrInvalid)
		}
		step, ok, err := p.matchStep(tx, u, code)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%w code: it is not the one of this moment; compare the clocks of this server and of your device", credential.ErrInvalid)
		}
		u.Factor = &factor{Confirmed: p.now(), Step: step}
		recovery = u.Factor.newRecovery()
		return func() error { return tx.PutJSON(kindUser, u.ID, u) }, nil
	})
	if err != nil {
		return nil, err
	}
	return recovery, nil
}

// newRecovery makes the recovery codes, of which the factor keeps the hashes.
func (f *factor) newRecovery() (codes []string) {
	for range recoveryCodes {
		text := strings.ToLower(rand.Text())[:20] // 100 bits
		sum := sha256.Sum256([]byte(text))
		f.Recovery = append(f.Recovery, sum[:])
		codes = append(codes, text)
	}
	return codes
}

// RemoveFactor takes a second factor away: one's own with a code of it,
// somebody else's by who may reset them.
func (p *People) RemoveFactor(ctx context.Context, who grant.Person, name, code string) error {
	own := name == who.Name
	entry := audit.Entry{Actor: who.Name, Action: "factor.remove", Target: name, Reason: "by somebody else; " + resetText}
	if own {
		entry.Reason = "by a code of it"
		switch err := p.checkCode(name, code); {
		case errors.Is(err, ErrLogin):
			entry.Reason = reasonCode
			return p.refused(ctx, entry, fmt.Errorf("%w code: it is not the one of this moment, nor a recovery code", credential.ErrInvalid))
		case err != nil && !errors.Is(err, errNoFactor):
			return err
		}
	}
	return p.change(ctx, entry, func(tx *barrier.Tx) (func() error, error) {
		u, err := find(tx, name)
		if err != nil {
			return nil, err
		}
		if !own {
			if err := mayReset(tx, who, u); err != nil {
				return nil, err
			}
			p.reset(&u)
		}
		if u.Factor == nil {
			return nil, fmt.Errorf("%w second factor: this user has none", credential.ErrInvalid)
		}
		u.Factor = nil
		return func() error { return errors.Join(tx.Delete(kindTOTP, u.ID), tx.PutJSON(kindUser, u.ID, u)) }, nil
	})
}

var errNoFactor = errors.New("there is no second factor")

// checkCode tells with ErrLogin that a code is not good, and counts that.
func (p *People) checkCode(name, code string) error {
	return p.barrier.View(func(tx *barrier.Tx) error {
		u, err := find(tx, name)
		if err != nil {
			return err
		}
		if !u.Factor.confirmed() {
			return errNoFactor
		}
		_, err = p.useCode(tx, u, code)
		if errors.Is(err, ErrLogin) {
			p.delays.wrongCode(u.ID, p.now())
		}
		return err
	})
}

// useCode returns the factor as it is once code was used, or ErrLogin.
func (p *People) useCode(tx *barrier.Tx, u user, code string) (*factor, error) {
	f := *u.Factor
	code = strings.ToLower(strings.TrimSpace(code))
	sum := sha256.Sum256([]byte(code))
	for i, left := range f.Recovery {
		if secret.Equal(sum[:], left) {
			f.Recovery = slices.Delete(slices.Clone(f.Recovery), i, i+1)
			return &f, nil
		}
	}
	if !p.delays.mayGuess(u.ID, p.now()) {
		return nil, ErrLogin
	}
	step, ok, err := p.matchStep(tx, u, code)
	if err != nil {
		return nil, err
	}
	if !ok || step <= f.Step {
		return nil, ErrLogin
	}
	f.Step = step
	return &f, nil
}

// matchStep finds the step that a code is of.
func (p *People) matchStep(tx *barrier.Tx, u user, code string) (step uint64, ok bool, err error) {
	key, err := tx.GetSecret(kindTOTP, u.ID)
	if err != nil {
		return 0, false, err
	}
	defer key.Wipe()
	now := uint64(p.now().Unix()) / totpStep
	for _, at := range []uint64{now - 1, now, now + 1} {
		if secret.Equal([]byte(codeAt(key, at)), []byte(code)) {
			step, ok = at, true
		}
	}
	return step, ok, nil
}

// codeAt is RFC 4226's code for a counter.
func codeAt(key *secret.Buffer, counter uint64) (code string) {
	secret.Do(func() {
		mac := hmac.New(sha1.New, key.Reveal())
		_ = binary.Write(mac, binary.BigEndian, counter) // a hash takes everything
		sum := mac.Sum(nil)
		at := sum[len(sum)-1] & 15
		code = fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%totpDigits)
	})
	return code
}
