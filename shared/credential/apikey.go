package credential

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// APIKey is a key that is sent in a header, a query parameter or a cookie.
const APIKey AuthType = "api_key"

var _ = define(APIKey, definition{
	title: "API key",
	fields: []Field{
		{Name: "key", Secret: true, Required: true, Help: "the API key"},
		{Name: "header", Place: true, Help: "the header that carries the key; X-API-Key where no place is named"},
		{Name: "query", Place: true, Help: "the query parameter that carries the key, instead of a header; such keys end in logs"},
		{Name: "cookie", Place: true, Help: "the cookie that carries the key, instead of a header"},
		{Name: "prefix", Place: true, Help: "what stands before the key in its header, such as \"Token \""},
	},
	check: checkAPIKey,
})

// framing are headers that net/http sets or reads itself: a key in one would not arrive, or break the message.
var framing = []string{"host", "content-length", "transfer-encoding", "connection", "trailer", "te", "upgrade", "expect", "cookie"}

func checkAPIKey(plain map[string]string, _ Value, _ time.Time) error {
	given := ""
	for _, name := range []string{"header", "query", "cookie"} {
		place := plain[name]
		switch {
		case place == "":
			continue
		case given != "":
			return fmt.Errorf("%w field %s: the key has a %s already; name one place for it", ErrInvalid, name, given)
		case name != "query" && !ValidToken(place):
			return fmt.Errorf("%w field %s: it must be a name of letters, digits and !#$%%&'*+-.^_`|~", ErrInvalid, name)
		case name == "header" && slices.Contains(framing, strings.ToLower(place)):
			return fmt.Errorf("%w field header: HTTP itself uses that one; take another, or field cookie", ErrInvalid)
		}
		given = name
	}
	switch prefix := plain["prefix"]; {
	case prefix == "":
	case given == "query" || given == "cookie":
		return fmt.Errorf("%w field prefix: only a header has one", ErrInvalid)
	case strings.ContainsFunc(prefix, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("%w field prefix: it must be printable ASCII", ErrInvalid)
	}
	return nil
}

// ValidToken says whether s is a token of HTTP, such as the name of a header or a cookie (RFC 9110 section 5.6.2).
func ValidToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
