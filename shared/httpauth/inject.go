package httpauth

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// secretField is the field that a type sends.
var secretField = map[credential.AuthType]string{
	credential.Basic: "password", credential.APIKey: "key", credential.AccessToken: "token", credential.OAuth2: "access_token",
}

// way is how this credential goes on a request: as its own fields say, else as its application does, else as its type.
func (c Credential) way() credential.Injection {
	way := c.Injection
	placed := way.Header != "" || way.Query != "" || way.Cookie != "" || way.Basic != ""
	switch c.Type {
	case credential.APIKey:
		if c.Plain["header"] != "" || c.Plain["query"] != "" || c.Plain["cookie"] != "" {
			return credential.Injection{Header: c.Plain["header"], Query: c.Plain["query"], Cookie: c.Plain["cookie"],
				Prefix: c.Plain["prefix"], Headers: way.Headers, None: way.None}
		}
		if !placed {
			way.Header, way.Prefix = "X-API-Key", c.plain("prefix", way.Prefix)
		}
	case credential.Basic:
		if !placed {
			way.Basic = "{username}:{password}"
		}
	default: // RFC 6750 section 2.1
		if !placed {
			way.Header = "Authorization"
			if way.Prefix == "" {
				way.Prefix = "Bearer "
			}
		}
	}
	return way
}

// inject puts the secret in its place.
func (c Credential) inject(r *http.Request) error {
	way, field := c.way(), secretField[c.Type]
	if way.None {
		return fmt.Errorf("%w: this application's requests are not authenticated with the value itself", ErrType)
	}
	value := c.Secrets[field]
	if value.Len() == 0 && way.Basic == "" {
		return fieldError(field, "it is missing")
	}
	headers, err := c.expandHeaders(way.Headers)
	if err != nil {
		return err
	}
	switch {
	case way.Basic != "":
		err = c.injectBasic(r, way.Basic)
	case way.Query != "":
		err = injectQuery(r, way.Query, value)
	case way.Cookie != "":
		err = injectCookie(r, way.Cookie, field, value)
	default:
		err = injectHeader(r, way, field, value)
	}
	if err != nil {
		return err
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for name, text := range headers {
		r.Header.Set(name, text)
	}
	return nil
}

// expandHeaders fills the further headers, which are made of plain fields. One with an empty field is left out.
func (c Credential) expandHeaders(templates map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for name, template := range templates {
		empty := false
		text, err := credential.Expand(template, func(field string) (string, bool) {
			empty = empty || c.Plain[field] == ""
			return c.Plain[field], true
		})
		switch {
		case err != nil:
			return nil, err
		case empty:
			continue
		case !printable([]byte(text)):
			return nil, fieldError(name, "a header cannot carry its text")
		}
		out[name] = text
	}
	return out, nil
}

func injectHeader(r *http.Request, way credential.Injection, field string, value *secret.Buffer) error {
	var text string
	ok := false
	secret.Do(func() {
		b := value.Reveal()
		if ok = way.Base64 || printable(b); !ok {
			return
		}
		line := make([]byte, 0, len(way.Prefix)+base64.StdEncoding.EncodedLen(len(b)))
		line = append(line, way.Prefix...)
		if way.Base64 {
			line = base64.StdEncoding.AppendEncode(line, b)
		} else {
			line = append(line, b...)
		}
		text = secret.Lend(line)
		secret.Wipe(line)
	})
	if !ok {
		return fieldError(field, "a header cannot carry it: control characters, line ends and outer spaces are not allowed")
	}
	setHeader(r, way.Header, text)
	return nil
}

func setHeader(r *http.Request, name, text string) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set(name, text)
}

// injectBasic is RFC 7617: base64 of name, colon, password, as UTF-8. The template's first colon is that colon.
func (c Credential) injectBasic(r *http.Request, template string) error {
	user, password, _ := strings.Cut(template, ":")
	var text string
	var err error
	secret.Do(func() {
		var pair []byte
		if pair, err = c.expand(nil, user); err != nil {
			return
		}
		if slices.Contains(pair, ':') {
			err = fieldError("username", "basic authentication allows no colon in it")
			return
		}
		if pair, err = c.expand(append(pair, ':'), password); err != nil {
			return
		}
		defer secret.Wipe(pair)
		line := append(make([]byte, 0, 6+base64.StdEncoding.EncodedLen(len(pair))), "Basic "...)
		line = base64.StdEncoding.AppendEncode(line, pair)
		text = secret.Lend(line)
		secret.Wipe(line)
	})
	if err != nil {
		return err
	}
	setHeader(r, "Authorization", text)
	return nil
}

// expand appends a template of plain and secret fields to b. It is called inside Do.
func (c Credential) expand(b []byte, template string) ([]byte, error) {
	for template != "" {
		before, rest, found := strings.Cut(template, "{")
		b = append(b, before...)
		if !found {
			return b, nil
		}
		field, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("%w template: a { without }", credential.ErrInvalid)
		}
		value := []byte(c.Plain[field])
		if hidden := c.Secrets[field]; hidden != nil {
			value = hidden.Reveal()
		}
		for _, x := range value {
			if x < ' ' || x == 0x7f {
				return nil, fieldError(field, "basic authentication allows no control characters in it")
			}
		}
		b, template = append(b, value...), after
	}
	return b, nil
}

// injectQuery sets a query parameter and leaves the others as they are written.
func injectQuery(r *http.Request, name string, value *secret.Buffer) error {
	var kept []string
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		key, _, _ := strings.Cut(part, "=")
		if decoded, err := url.QueryUnescape(key); part != "" && (err != nil || decoded != name) {
			kept = append(kept, part)
		}
	}
	secret.Do(func() {
		line := append([]byte(strings.Join(kept, "&")), '&')
		if len(kept) == 0 {
			line = line[:0]
		}
		line = appendEscaped(line, []byte(name))
		line = appendEscaped(append(line, '='), value.Reveal())
		u := *r.URL
		u.RawQuery = secret.Lend(line)
		secret.Wipe(line)
		r.URL = &u
	})
	return nil
}

// injectCookie sets a cookie and leaves the others as they are.
func injectCookie(r *http.Request, name, field string, value *secret.Buffer) error {
	others := r.Cookies()
	ok := true
	secret.Do(func() {
		for _, c := range value.Reveal() { // cookie-octet, RFC 6265 section 4.1.1
			ok = ok && c > ' ' && c < 0x7f && !strings.ContainsRune("\",;\\", rune(c))
		}
	})
	if !ok {
		return fieldError(field, "a cookie cannot carry it: spaces, control characters and \" , ; \\ are not allowed")
	}
	lines := make([]string, 0, len(others)+1)
	for _, o := range others {
		if o.Name != name {
			lines = append(lines, o.Name+"="+o.Value)
		}
	}
	lines = append(lines, name+"="+secret.Lend(value.Reveal()))
	setHeader(r, "Cookie", strings.Join(lines, "; "))
	return nil
}
