package httpauth

import (
	"cmp"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // the signatures of RFC 5849 are made with it
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// parameter is one name and value that OAuth 1.0 signs, not encoded.
type parameter struct{ name, value string }

// signOAuth1 sets the Authorization header of RFC 5849. The parameters of the query and of a form in the body are
// signed with it; every other body is not, as the RFC has it.
func (c Credential) signOAuth1(r *http.Request) error {
	return c.signOAuth1At(r, rand.Text(), c.now().Unix())
}

func (c Credential) signOAuth1At(r *http.Request, nonce string, timestamp int64) error {
	method := c.plain("signature_method", credential.HMACSHA1)
	signed, err := formParameters(r)
	if err != nil {
		return err
	}
	own := []parameter{
		{"oauth_consumer_key", c.Plain["consumer_key"]},
		{"oauth_signature_method", method},
		{"oauth_timestamp", strconv.FormatInt(timestamp, 10)},
		{"oauth_nonce", nonce},
		{"oauth_version", "1.0"}, // optional in the RFC, and missed by some servers
	}
	if token := c.Secrets["token"]; token.Len() > 0 {
		own = append(own, parameter{"oauth_token", secret.Lend(token.Reveal())})
	}
	var signature []byte
	secret.Do(func() {
		base := baseString(r, append(signed, own...))
		signature, err = c.signatureOf(method, base)
	})
	if err != nil {
		return err
	}
	own = append(own, parameter{"oauth_signature", base64.StdEncoding.EncodeToString(signature)})
	var header strings.Builder
	header.WriteString("OAuth ")
	if realm := c.Plain["realm"]; realm != "" {
		fmt.Fprintf(&header, "realm=%s, ", quoted(realm))
	}
	for i, p := range own {
		if i > 0 {
			header.WriteString(", ")
		}
		header.WriteString(escape(p.name) + `="` + escape(p.value) + `"`)
	}
	setHeader(r, "Authorization", header.String())
	return nil
}

// formParameters are those of the query and, where the body is a form, of the body (RFC 5849 section 3.4.1.3.1).
func formParameters(r *http.Request) ([]parameter, error) {
	out, err := parseForm(nil, "query", r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" {
		return out, nil
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return parseForm(out, "body", string(body))
}

// parseForm keeps duplicates and empty values, which url.ParseQuery's map keeps too, and refuses what a server might
// read in another way than we sign it.
func parseForm(out []parameter, where, text string) ([]parameter, error) {
	for part := range strings.SplitSeq(text, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if cmp.Or(err1, err2) != nil {
			return nil, fmt.Errorf("%w: its %s has a broken %%-escape, which cannot be signed", ErrType, where)
		}
		out = append(out, parameter{name, value})
	}
	return out, nil
}

// baseString is RFC 5849 section 3.4.1: method, base URI and the normalized parameters.
func baseString(r *http.Request, parameters []parameter) []byte {
	encoded := make([]parameter, len(parameters))
	for i, p := range parameters {
		encoded[i] = parameter{escape(p.name), escape(p.value)}
	}
	slices.SortFunc(encoded, func(a, b parameter) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var normal []byte
	for i, p := range encoded {
		if i > 0 {
			normal = append(normal, '&')
		}
		normal = append(append(append(normal, p.name...), '='), p.value...)
	}
	out := append([]byte(strings.ToUpper(cmp.Or(r.Method, http.MethodGet))), '&')
	out = append(appendEscaped(out, []byte(baseURI(r.URL))), '&')
	return appendEscaped(out, normal)
}

// baseURI is RFC 5849 section 3.4.1.2: scheme and host in lower case, the port unless it is the scheme's own.
func baseURI(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	if port := u.Port(); scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return scheme + "://" + host + cmp.Or(u.EscapedPath(), "/")
}

// signatureOf is called inside Do.
func (c Credential) signatureOf(method string, base []byte) ([]byte, error) {
	var h func() hash.Hash
	switch method {
	case credential.HMACSHA1:
		h = sha1.New
	case credential.HMACSHA256:
		h = sha256.New
	case credential.RSASHA1:
		return c.signRSA(base)
	default:
		return nil, fieldError("signature_method", "it is not one that is known")
	}
	key := appendEscaped(nil, c.Secrets["consumer_secret"].Reveal())
	key = appendEscaped(append(key, '&'), c.Secrets["token_secret"].Reveal())
	defer secret.Wipe(key)
	mac := hmac.New(h, key)
	mac.Write(base)
	return mac.Sum(nil), nil
}

func (c Credential) signRSA(base []byte) (signature []byte, err error) {
	key := c.Secrets["private_key"]
	if key.Len() == 0 {
		return nil, fieldError("private_key", "RSA-SHA1 needs it")
	}
	sum := sha1.Sum(base)
	err = credential.WithPrivateKey("private_key", key, func(s crypto.Signer) error {
		if _, ok := s.(*rsa.PrivateKey); !ok {
			return fieldError("private_key", "it must be an RSA key")
		}
		signature, err = s.Sign(rand.Reader, sum[:], crypto.SHA1)
		return err
	})
	return signature, err
}
