package claims

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// askTime bounds one request, and learnTime both that keys take: the agent that waits for them gives up after 10 s.
	askTime   = 5 * time.Second
	learnTime = 8 * time.Second
	// maxDocument is the most that an issuer may answer, in bytes.
	maxDocument = 256 << 10
	maxKeys     = 64
	maxURL      = 2 << 10 // where its keys are, which the server's log may have

	// Keys are asked for again after freshTime, so that one which the issuer takes back is not good for longer. Where it
	// does not answer then, those that are known stay good until lastTime.
	freshTime = time.Hour
	lastTime  = 24 * time.Hour
	// An issuer is asked again for a key that it did not have after againTime, and after retryTime where it has given
	// none yet: a token can name any key, and who sends one must not set the pace.
	againTime = time.Minute
	retryTime = 5 * time.Second
)

// errSignature says the same of a key that is not there, so that the issuer's keys are not to be found out.
var errSignature = fmt.Errorf("%w: it is not signed by a key of its issuer", ErrToken)

// issuer has the keys of one.
type issuer struct {
	name   string
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	turn   chan struct{} // has room for one: who asks

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	learned time.Time // when the keys came
	asked   time.Time // when they were last asked for
	failed  bool      // then
}

func newIssuer(name string, client *http.Client, log *slog.Logger, now func() time.Time) *issuer {
	return &issuer{name: name, client: client, log: log, now: now, turn: make(chan struct{}, 1)}
}

// signature verifies that of one token for package oidc, which does not hand on what an error wraps.
type signature struct {
	from *issuer
	err  error // ErrToken, ErrIssuer, or that of the context
}

// VerifySignature is part of oidc's contract.
func (s *signature) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	payload, s.err = s.from.verify(ctx, token)
	return payload, s.err
}

func (i *issuer) verify(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, errNoToken
	}
	by := signed.Signatures[0].Protected
	keys, err := i.find(ctx, by.KeyID)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if key.Algorithm != "" && key.Algorithm != by.Algorithm {
			continue
		}
		if payload, err := signed.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errSignature
}

// find gives the keys of an ID, or all for a token that names none. It asks the issuer where that may help.
func (i *issuer) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	if keys, known, err := i.known(id); known {
		return keys, err
	}
	select {
	case i.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-i.turn }()
	if keys, known, err := i.known(id); known { // who waited for his turn need not ask the same
		return keys, err
	}
	i.learn(context.WithoutCancel(ctx)) // others must not suffer from this one's going away
	keys, _, err := i.known(id)
	return keys, err
}

// known answers from what is known, or says that the issuer is to be asked.
func (i *issuer) known(id string) (keys []jose.JSONWebKey, known bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	age := now.Sub(i.learned)
	if age < lastTime {
		for _, key := range i.keys {
			if id == "" || key.KeyID == id {
				keys = append(keys, key)
			}
		}
	}
	pause := againTime
	if i.failed && len(i.keys) == 0 {
		pause = retryTime
	}
	switch {
	case len(keys) > 0 && age < freshTime:
		return keys, true, nil
	case now.Sub(i.asked) >= pause:
		return nil, false, nil
	case len(keys) > 0:
		return keys, true, nil
	case i.failed:
		return nil, true, ErrIssuer
	}
	return nil, true, errSignature
}

// learn asks the issuer for its keys.
func (i *issuer) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, learnTime)
	defer cancel()
	keys, err := i.ask(ctx)
	if err != nil {
		i.log.Warn("the keys of an issuer of jobs' tokens cannot be had", "issuer", i.name, "error", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked, i.failed = i.now(), err != nil
	if err == nil {
		i.keys, i.learned = keys, i.asked
	}
}

// ask follows OpenID Connect Discovery 1.0, section 4, and reads a key set (RFC 7517). Its errors have nothing of what
// was answered but the URL of the keys.
func (i *issuer) ask(ctx context.Context) ([]jose.JSONWebKey, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(ctx, strings.TrimSuffix(i.name, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != i.name {
		return nil, errors.New("its configuration is that of another issuer: set job-issuers to what stands there as issuer")
	}
	if at, err := url.Parse(about.Keys); err != nil || at.Scheme != "https" || at.Hostname() == "" || at.User != nil || len(about.Keys) > maxURL {
		return nil, fmt.Errorf("the jwks_uri of its configuration is no https URL without a password, of at most %d bytes", maxURL)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := i.get(ctx, about.Keys, &set); err != nil {
		return nil, err
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// A key of a kind that is not known is nothing to the others.
		if json.Unmarshal(raw, &key) == nil && usable(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("its key set has %d keys that can be used, of the 1 to %d that are taken", len(keys), maxKeys)
	}
	return keys, nil
}

// get reads a JSON document of an issuer.
func (i *issuer) get(ctx context.Context, from string, to any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return errors.New("its URL cannot be asked")
	}
	request.Header.Set("Accept", "application/json")
	answer, err := i.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d %s", from, answer.StatusCode, http.StatusText(answer.StatusCode))
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if json.Unmarshal(text, to) != nil {
		return fmt.Errorf("%s answers no JSON of the kind that was asked for", from)
	}
	return nil
}

// usable takes public keys for signatures that are long enough (RFC 7518, 3.3) and no longer than what is quick.
func usable(key jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || key.Algorithm != "" && !slices.Contains(algorithms, jose.SignatureAlgorithm(key.Algorithm)) {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= 2048 && public.N.BitLen() <= 8192
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key.Valid()
	}
	return false
}
