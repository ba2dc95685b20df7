package claims

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/strongroom/strongroom/server/internal/setting"
)

// refused checks that a token is not taken, with words of the reason, and that none of it is in the error.
func (s *site) refused(what, token, words string) {
	s.t.Helper()
	of, _, err := s.Verify(s.t.Context(), token)
	if !errors.Is(err, ErrToken) || !strings.Contains(err.Error(), words) || of.Claims != nil {
		s.t.Errorf("%s: %v, %v, want it refused with %q", what, of.Claims, err, words)
		return
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			s.t.Errorf("%s: the token is in the error", what)
		}
	}
}

func (s *site) taken(what, token string) Verified {
	s.t.Helper()
	of, _, err := s.Verify(s.t.Context(), token)
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	return of
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := newRSA(2048)
	var keys []jose.JSONWebKey
	var all []signing
	add := func(algorithm jose.SignatureAlgorithm, key crypto.Signer) {
		public, private := pair(string(algorithm), algorithm, key)
		keys, all = append(keys, public), append(all, private)
	}
	for _, a := range []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512} {
		add(a, long)
	}
	add(jose.ES256, newECDSA(elliptic.P256()))
	add(jose.ES384, newECDSA(elliptic.P384()))
	add(jose.ES512, newECDSA(elliptic.P521()))
	add(jose.EdDSA, edwards)
	c := newCI(t, keys...)
	s := newSite(t, loopback, c.url)
	for _, with := range all {
		of := s.taken(string(with.algorithm), with.token(t, s.claims(c.url, nil)))
		if !slices.Equal(of.Claims, []string{c.url + ":aud=strongroom", c.url + ":iss=" + c.url, c.url + ":sub=job"}) || of.Left != 6*time.Minute {
			t.Errorf("%s: %q for %s", with.algorithm, of.Claims, of.Left)
		}
	}
	if n := c.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times", n)
	}
}

func TestForgeries(t *testing.T) {
	t.Parallel()
	key := newRSA(2048)
	public, good := pair("one", jose.RS256, key)
	small, weak := pair("weak", jose.RS256, newRSA(1024))
	encrypting, wrong := pair("encrypting", jose.RS256, newRSA(2048))
	encrypting.Use = "enc"
	c := newCI(t, public, small, encrypting)
	s := newSite(t, loopback, c.url)
	claims := s.claims(c.url, nil)
	token := good.token(t, claims)
	s.taken("the control", token)
	parts := strings.Split(token, ".")

	encode := base64.RawURLEncoding.EncodeToString
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"None","kid":"one"}`, `{"kid":"one"}`, `{"alg":"","kid":"one"}`} {
		s.refused(header, encode([]byte(header))+"."+encode(payload)+".", "is signed with RS, PS, ES or EdDSA")
		s.refused(header+" with a signature", encode([]byte(header))+"."+encode(payload)+"."+parts[2], "is signed with RS, PS, ES or EdDSA")
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk, err := public.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string][]byte{"DER": der, "PEM": inPEM, "PEM without its end": bytes.TrimSpace(inPEM), "JWK": jwk} {
		for _, a := range []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512} {
			s.refused(string(a)+" with the public key as "+what, signing{"one", a, secret}.token(t, claims), "is signed with RS, PS, ES or EdDSA")
		}
	}
	s.refused("another key by the same name", signing{"one", jose.RS256, newRSA(2048)}.token(t, claims), "not signed by a key of its issuer")
	s.refused("another key without a name", signing{"", jose.RS256, newRSA(2048)}.token(t, claims), "not signed by a key of its issuer")
	s.refused("a key of its own", signing{"", jose.ES256, newECDSA(elliptic.P256())}.token(t, claims), "not signed by a key of its issuer")
	s.refused("the key with another algorithm than its own", signing{"one", jose.PS256, key}.token(t, claims), "not signed by a key of its issuer")
	s.refused("a key that is too short", weak.token(t, claims), "not signed by a key of its issuer")
	s.refused("a key that is not for signatures", wrong.token(t, claims), "not signed by a key of its issuer")
	s.taken("without a name", signing{"", jose.RS256, key}.token(t, claims))

	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: newRSA(2048)}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := embedded.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	brought, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	s.refused("a key that it brings along", brought, "not signed by a key of its issuer")

	other, err := json.Marshal(s.claims(c.url, map[string]any{"sub": "another"}))
	if err != nil {
		t.Fatal(err)
	}
	s.refused("other claims", parts[0]+"."+encode(other)+"."+parts[2], "not signed by a key of its issuer")
	for what, broken := range map[string]string{
		"nothing":               "",
		"dots":                  "..",
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            token + ".",
		"JSON":                  `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"padding":               parts[0] + "." + parts[1] + "=." + parts[2],
		"spaces":                " " + token,
		"a line end":            token[:len(token)-1] + "\n" + token[len(token)-1:],
		"no JSON":               good.token(t, "claims"),
		"a list":                good.token(t, `["iss"]`),
		"no issuer":             good.token(t, s.claims(c.url, map[string]any{"iss": nil})),
		"an issuer that is 1":   good.token(t, s.claims(c.url, map[string]any{"iss": 1})),
		"an issuer that is two": good.token(t, s.claims(c.url, map[string]any{"iss": []string{c.url}})),
		"claims that are elsewhere": good.token(t, s.claims(c.url, map[string]any{"_claim_names": map[string]string{"group": "src1"},
			"_claim_sources": map[string]any{}})),
	} {
		s.refused(what, broken, "it is no JSON Web Token")
	}
	s.refused("a huge one", strings.Repeat("a", MaxToken+1), "it is longer than 16384 bytes")
	s.refused("one that is huge, and good", good.token(t, s.claims(c.url, map[string]any{"long": strings.Repeat("a", MaxToken)})), "it is longer than 16384 bytes")
}

func TestWhatATokenSays(t *testing.T) {
	t.Parallel()
	public, key := pair("one", jose.ES256, newECDSA(elliptic.P256()))
	c := newCI(t, public)
	other := newCI(t, public)
	s := newSite(t, loopback, c.url)
	at := func(d time.Duration) int64 { return s.clock.At.Add(d).Unix() }
	token := func(more map[string]any) string { return key.token(t, s.claims(c.url, more)) }

	for _, bad := range []struct {
		what  string
		more  map[string]any
		words string
	}{
		{"another issuer with the same keys", map[string]any{"iss": other.url}, "its issuer is none of the setting job-issuers"},
		{"a longer issuer", map[string]any{"iss": c.url + "/"}, "its issuer is none of the setting job-issuers"},
		{"an empty issuer", map[string]any{"iss": ""}, "its issuer is none of the setting job-issuers"},
		{"two issuers in one", map[string]any{"iss": c.url + "," + other.url}, "its issuer is none of the setting job-issuers"},
		{"another audience", map[string]any{"aud": "vault"}, "not for the audience that the setting job-audience says"},
		{"a longer audience", map[string]any{"aud": "strongroom2"}, "not for the audience"},
		{"an audience in capitals", map[string]any{"aud": "Strongroom"}, "not for the audience"},
		{"no audience", map[string]any{"aud": nil}, "not for the audience"},
		{"no audiences", map[string]any{"aud": []string{}}, "not for the audience"},
		{"other audiences", map[string]any{"aud": []string{"a", "b"}}, "not for the audience"},
		{"an audience by another name", map[string]any{"aud": "vault", "AUD": "strongroom"}, "not for the audience"},
		{"ended", map[string]any{"exp": at(-time.Minute)}, "it has ended"},
		{"ended long ago", map[string]any{"exp": 0}, "it has ended"},
		{"ended before there was time", map[string]any{"exp": json.RawMessage("-1e300")}, "it has ended"},
		{"without an end", map[string]any{"exp": nil}, "does not say when it ends"},
		{"with an end that is text", map[string]any{"exp": "2000000000"}, "does not say when it ends"},
		{"ended, but by another name", map[string]any{"exp": at(-time.Hour), "Exp": at(time.Hour)}, "it has ended"},
		{"not valid yet", map[string]any{"nbf": at(time.Minute + time.Second)}, "it is not valid yet"},
		{"not valid for long", map[string]any{"nbf": json.RawMessage("1e300")}, "it is not valid yet"},
		{"not valid, who knows when", map[string]any{"nbf": json.RawMessage("null")}, "it is not valid yet"},
		{"not valid yet, in words", map[string]any{"nbf": "soon"}, "it is no JSON Web Token"},
	} {
		s.refused(bad.what, token(bad.more), bad.words)
	}
	for _, good := range []struct {
		what string
		more map[string]any
		left time.Duration
	}{
		{"one of several audiences", map[string]any{"aud": []string{"a", "strongroom"}}, 6 * time.Minute},
		{"ended within the leeway", map[string]any{"exp": at(-59 * time.Second)}, time.Second},
		{"not valid yet, within the leeway", map[string]any{"nbf": at(time.Minute)}, 6 * time.Minute},
		{"valid since", map[string]any{"nbf": at(-time.Hour)}, 6 * time.Minute},
		{"a fraction", map[string]any{"exp": json.RawMessage("1893499200.5")}, time.Minute + 500*time.Millisecond},
		{"a year", map[string]any{"exp": at(365 * 24 * time.Hour)}, 24 * time.Hour},
		{"for ever", map[string]any{"exp": json.RawMessage("1e15")}, 24 * time.Hour},
		{"of another kind", map[string]any{"typ": "at+jwt", "azp": "other"}, 6 * time.Minute},
	} {
		if of := s.taken(good.what, token(good.more)); of.Left != good.left {
			t.Errorf("%s: %s left, want %s", good.what, of.Left, good.left)
		}
	}

	s.set(setting.JobAudience, "https://vault.example.com")
	s.refused("the audience of before", token(nil), "not for the audience")
	s.taken("the audience of now", token(map[string]any{"aud": "https://vault.example.com"}))
	s.set(setting.JobAudience, "")
	s.taken("the audience of before, again", token(nil))
	s.set(setting.JobIssuers, other.url)
	s.refused("an issuer of before", token(nil), "its issuer is none of the setting job-issuers")
	s.taken("the issuer of now", token(map[string]any{"iss": other.url}))
	s.set(setting.JobIssuers, "")
	s.refused("no issuer is trusted", token(nil), "its issuer is none of the setting job-issuers")
	if _, issuer, _ := s.Verify(t.Context(), token(nil)); issuer != "" {
		t.Errorf("an issuer that nobody trusts is named: %s", issuer)
	}
}
