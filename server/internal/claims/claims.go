// Package claims verifies the tokens by which jobs show who they are: ID tokens and other JSON Web Tokens that an issuer
// of OpenID Connect signs, such as a CI system. Which issuers are taken and for which audience is a setting, so a change
// of it counts from the next token on. It keeps the issuers' public keys and no token, and decides nothing by what the
// claims are.
package claims

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/strongroom/strongroom/server/internal/outbound"
	"github.com/strongroom/strongroom/server/internal/setting"
)

// Errors that callers tell apart. Their texts may be told to the job: nothing of a token is in one.
var (
	// ErrToken means that a token is not taken, and says why.
	ErrToken = errors.New("the job's token is not taken")
	// ErrIssuer means that a token cannot be judged now, since the keys of its issuer cannot be had.
	ErrIssuer = errors.New("the keys of the token's issuer cannot be had")
)

// MaxToken is the longest token, in bytes.
const MaxToken = 16 << 10

// leeway is how far an issuer's clock may be from ours.
const leeway = time.Minute

// longest is for how long a token is taken at most, whatever it says.
const longest = 24 * time.Hour

// algorithms are those of public keys alone: a secret that both ends have, or none, would let others sign.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

func algorithmNames() []string {
	out := make([]string, len(algorithms))
	for i, a := range algorithms {
		out[i] = string(a)
	}
	return out
}

// Verified is what a token shows.
type Verified struct {
	// Claims are in the form in which grants name them, sorted.
	Claims []string
	// Left is the time until the token's end, with the leeway.
	Left time.Duration
}

// Verifier is the room. It is safe for concurrent use.
type Verifier struct {
	settings *setting.Settings
	client   *http.Client
	log      *slog.Logger
	now      func() time.Time

	mu      sync.Mutex
	issuers map[string]*issuer
}

// New makes a verifier that has asked no issuer yet. It asks through out.
func New(settings *setting.Settings, out *outbound.Dialer, log *slog.Logger, now func() time.Time) *Verifier {
	return &Verifier{
		settings: settings, client: out.Client(askTime, maxDocument), log: log, now: now,
		issuers: map[string]*issuer{},
	}
}

// Verify judges a token. The issuer is as the token names it where the settings trust it, also beside an error, and
// empty otherwise. Errors: ErrToken, ErrIssuer, or that of ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (of Verified, issuer string, err error) {
	if len(token) > MaxToken {
		return of, "", fmt.Errorf("%w: it is longer than %d bytes", ErrToken, MaxToken)
	}
	named, ok := namedIssuer(token)
	if !ok {
		return of, "", errNoToken
	}
	from := v.issuer(named)
	if from == nil {
		return of, "", fmt.Errorf("%w: its issuer is none of the setting %s", ErrToken, setting.JobIssuers)
	}
	checked := &signature{from: from}
	verifier := oidc.NewVerifier(named, checked, &oidc.Config{
		SupportedSigningAlgs: algorithmNames(),
		// judge does these, by the claims' exact names and with our leeway.
		SkipClientIDCheck: true, SkipExpiryCheck: true,
	})
	read, err := verifier.Verify(ctx, token)
	switch {
	case checked.err != nil:
		return of, named, checked.err
	case err != nil:
		return of, named, errNoToken
	}
	var all map[string]json.RawMessage
	if err := read.Claims(&all); err != nil {
		return of, named, errNoToken
	}
	of, err = v.judge(named, all)
	return of, named, err
}

var errNoToken = fmt.Errorf("%w: it is no JSON Web Token that is signed with RS, PS, ES or EdDSA", ErrToken)

// namedIssuer is what a token says of itself, before anything is verified.
func namedIssuer(token string) (string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || strings.ContainsAny(token, "\r\n") { // which decoders pass over
		return "", false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var all map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &all) != nil {
		return "", false
	}
	return textOf(all["iss"])
}

func textOf(raw json.RawMessage) (string, bool) {
	var text *string
	if json.Unmarshal(raw, &text) != nil || text == nil {
		return "", false
	}
	return *text, true
}

// issuer is the one of that name, if the settings trust it.
func (v *Verifier) issuer(name string) *issuer {
	trusted := v.settings.Words(setting.JobIssuers)
	if !slices.Contains(trusted, name) {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for known := range v.issuers {
		if !slices.Contains(trusted, known) {
			delete(v.issuers, known)
		}
	}
	if v.issuers[name] == nil {
		v.issuers[name] = newIssuer(name, v.client, v.log, v.now)
	}
	return v.issuers[name]
}

// judge looks at the claims of a token that its issuer has signed.
func (v *Verifier) judge(issuer string, all map[string]json.RawMessage) (of Verified, err error) {
	audience := v.settings.Words(setting.JobAudience)[0]
	if !slices.Contains(audiences(all["aud"]), audience) {
		return of, fmt.Errorf("%w: it is not for the audience that the setting %s says", ErrToken, setting.JobAudience)
	}
	now := v.now()
	ends, ok := timeOf(all["exp"])
	if !ok {
		return of, fmt.Errorf("%w: it does not say when it ends", ErrToken)
	}
	if of.Left = min(until(now, ends)+leeway, longest); of.Left <= 0 {
		return of, fmt.Errorf("%w: it has ended", ErrToken)
	}
	if raw, given := all["nbf"]; given {
		if begins, ok := timeOf(raw); !ok || until(now, begins) > leeway {
			return of, fmt.Errorf("%w: it is not valid yet", ErrToken)
		}
	}
	of.Claims, err = entries(issuer, all)
	return of, err
}

func audiences(raw json.RawMessage) []string {
	if one, ok := textOf(raw); ok {
		return []string{one}
	}
	var several []string
	if json.Unmarshal(raw, &several) != nil {
		return nil
	}
	return several
}

// timeOf reads a NumericDate (RFC 7519, 2), in seconds.
func timeOf(raw json.RawMessage) (seconds float64, ok bool) {
	var number *float64
	if json.Unmarshal(raw, &number) != nil || number == nil {
		return 0, false
	}
	return *number, true
}

// until is the time from now to then, within bounds that no sum overflows.
func until(now time.Time, then float64) time.Duration {
	const most = float64(2 * longest)
	left := (then - float64(now.UnixMilli())/1000) * float64(time.Second)
	return time.Duration(max(-most, min(left, most)))
}
