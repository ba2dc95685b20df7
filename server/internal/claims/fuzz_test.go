package claims

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What RFC 7515, A.3, signs, and the public part of what signs it.
const (
	publishedToken = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	publishedKey = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
)

// documents answer as an issuer does, without a network.
type documents struct {
	t           *testing.T
	about, keys []byte
}

// RoundTrip is part of http.Client's contract.
func (d documents) RoundTrip(r *http.Request) (*http.Response, error) {
	text := d.keys
	if r.URL.String() == "https://a"+aboutPath {
		text = d.about
	} else if r.URL.Scheme != "https" || r.URL.Hostname() == "" || r.URL.User != nil {
		d.t.Errorf("the keys are asked for at %q", r.URL)
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

// FuzzKeys: whatever an issuer answers, it is a few public keys or an error of bounded length, and no token is taken but by
// one of those.
func FuzzKeys(f *testing.F) {
	const about = `{"issuer":"https://a","jwks_uri":"https://a/keys"}`
	f.Add([]byte(about), []byte(`{"keys":[`+publishedKey+`]}`))
	f.Add([]byte(about), []byte(`{"keys":[{"kty":"of later"},7,`+publishedKey+`]}`))
	f.Add([]byte(`{"issuer":"https://b"}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, about, keys []byte) {
		if len(about) > maxDocument || len(keys) > maxDocument {
			return // cut off by the client: TestIssuersThatFail
		}
		i := newIssuer("https://a", &http.Client{Transport: documents{t, about, keys}}, slog.New(slog.DiscardHandler), time.Now)
		known, err := i.ask(t.Context())
		if (err == nil) != (len(known) >= 1 && len(known) <= maxKeys) {
			t.Fatalf("%d keys, %v", len(known), err)
		}
		if err != nil && len(err.Error()) > 2500 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		good := false
		for _, key := range known {
			good = keyAgain(t, key) || good
		}
		payload, err := i.verify(t.Context(), publishedToken)
		if (err == nil) != good || err == nil && !strings.Contains(string(payload), `"iss":"joe"`) {
			t.Errorf("%q is verified, %v; its key is there: %v", payload, err, good)
		}
	})
}

// keyAgain writes and reads a key, and says whether it is the published one, good for what that signed.
func keyAgain(t *testing.T, key jose.JSONWebKey) bool {
	t.Helper()
	text, err := json.Marshal(key)
	var again jose.JSONWebKey
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err != nil || !key.IsPublic() || !usable(again) || again.KeyID != key.KeyID || again.Algorithm != key.Algorithm {
		t.Errorf("a key that does not stay what it is: %v", err)
	}
	var published jose.JSONWebKey
	if err := json.Unmarshal([]byte(publishedKey), &published); err != nil {
		t.Fatal(err)
	}
	one, isEC := key.Key.(*ecdsa.PublicKey)
	return isEC && one.Equal(published.Key) && (key.Algorithm == "" || key.Algorithm == string(jose.ES256))
}
