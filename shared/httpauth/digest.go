package httpauth

import (
	"crypto/md5" // the digest algorithm that most servers still have
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// hash gives the challenge's hash function, whether it is one of the -sess forms, and whether it is known at all.
func (c Challenge) hash() (h func() hash.Hash, session, known bool) {
	name, session := strings.CutSuffix(strings.ToUpper(c.Algorithm), "-SESS")
	switch name {
	case "", "MD5":
		return md5.New, session, true
	case "SHA-256":
		return sha256.New, session, true
	}
	return nil, false, false
}

// answer is what one request answers a challenge with.
type answer struct {
	challenge Challenge
	cnonce    string
	count     uint32 // of the requests with this nonce, from 1
}

// Respond sets the Authorization header that answers the challenge for this request (RFC 7616 section 3.4). count is
// the number of this request among those with the challenge's nonce, from 1; cnonce is the client's own nonce, the
// same for all of them. A body is read where the server asks for its integrity (auth-int), and must be replayable.
func (c Credential) Respond(r *http.Request, challenge Challenge, cnonce string, count uint32) error {
	if err := c.allows(r); err != nil {
		return err
	}
	if c.Type != credential.Digest {
		return fmt.Errorf("%w: %s answers no challenges", ErrType, c.Type)
	}
	if !challenge.answerable() {
		return ErrChallenge
	}
	if !printable([]byte(c.Plain["username"])) || !printable([]byte(challenge.Realm+challenge.Nonce+challenge.Opaque)) {
		return fieldError("username", "a header cannot carry it or the server's challenge")
	}
	var body []byte
	if challenge.qop() == "auth-int" {
		if !replayable(r) {
			return ErrBody
		}
		var err error
		if body, err = readBody(r); err != nil {
			return err
		}
	}
	a := answer{challenge, cnonce, count}
	setHeader(r, "Authorization", c.digestHeader(r, a, body))
	return nil
}

func (c Credential) digestHeader(r *http.Request, a answer, body []byte) string {
	ch, user := a.challenge, c.Plain["username"]
	uri := r.URL.RequestURI()
	response := c.digestResponse(r, a, uri, body)
	var out strings.Builder
	out.WriteString("Digest ")
	switch {
	case ch.Userhash:
		fmt.Fprintf(&out, `username="%s", userhash=true`, hexHash(ch, user, ":", ch.Realm))
	case strings.ContainsFunc(user, func(r rune) bool { return r > '~' }):
		fmt.Fprintf(&out, "username*=UTF-8''%s", escape(user)) // RFC 8187
	default:
		out.WriteString("username=" + quoted(user))
	}
	fmt.Fprintf(&out, `, realm=%s, nonce=%s, uri=%s, response="%s"`, quoted(ch.Realm), quoted(ch.Nonce), quoted(uri), response)
	if ch.Algorithm != "" {
		out.WriteString(", algorithm=" + ch.Algorithm)
	}
	if ch.hasOpaque {
		out.WriteString(", opaque=" + quoted(ch.Opaque))
	}
	if qop := ch.qop(); qop != "" {
		fmt.Fprintf(&out, `, qop=%s, nc=%08x, cnonce=%s`, qop, a.count, quoted(a.cnonce))
	}
	return out.String()
}

// digestResponse is RFC 7616 section 3.4.1; without qop it is RFC 2069's form, which RFC 2617 kept.
func (c Credential) digestResponse(r *http.Request, a answer, uri string, body []byte) string {
	ch := a.challenge
	_, session, _ := ch.hash()
	qop := ch.qop()
	a2 := method(r) + ":" + uri
	if qop == "auth-int" {
		a2 += ":" + hexHash(ch, string(body))
	}
	var response string
	secret.Do(func() {
		// H(A1) is as good as the password for this realm.
		a1 := c.hashA1(ch)
		if session {
			a1 = hexHash(ch, a1, ":", ch.Nonce, ":", a.cnonce)
		}
		if qop == "" {
			response = hexHash(ch, a1, ":", ch.Nonce, ":", hexHash(ch, a2))
			return
		}
		count := fmt.Sprintf("%08x", a.count)
		response = hexHash(ch, a1, ":", ch.Nonce, ":", count, ":", a.cnonce, ":", qop, ":", hexHash(ch, a2))
	})
	return response
}

// hashA1 is called inside Do.
func (c Credential) hashA1(ch Challenge) string {
	newHash, _, _ := ch.hash()
	h := newHash()
	_, _ = io.WriteString(h, c.Plain["username"]+":"+ch.Realm+":")
	h.Write(c.Secrets["password"].Reveal())
	sum := hex.EncodeToString(h.Sum(nil))
	h.Reset()
	return sum
}

func hexHash(ch Challenge, parts ...string) string {
	newHash, _, _ := ch.hash()
	h := newHash()
	for _, p := range parts {
		_, _ = io.WriteString(h, p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func method(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// nextNonce reads the nonce that the server wants for the following request (RFC 7616 section 3.5).
func nextNonce(h http.Header) string {
	line := h.Get("Authentication-Info")
	if len(line) > maxChallenge {
		return ""
	}
	// The header has a challenge's parameters without a scheme before them.
	for _, s := range schemes("Info " + line) {
		return s.parameters["nextnonce"]
	}
	return ""
}

// drain lets the connection of a response that is thrown away be used again.
func drain(resp *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
}
