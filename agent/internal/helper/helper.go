// Package helper speaks the protocols by which other tools ask for credentials: git's, Docker's, AWS's and kubectl's. It
// turns a tool's question and a credential's fields into the answer that the tool reads, and decides for which hosts a
// credential is; it fetches nothing and writes nothing.
package helper

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	// ErrInput means that what the tool asked is not of its protocol.
	ErrInput = errors.New("what was asked is not of the protocol")
	// ErrOtherHost means that the credential is not for the host that the tool asks for. It is nothing but an answer:
	// the tool has others to ask.
	ErrOtherHost = errors.New("the credential is not for this host")
	// ErrCredential means that the credential has not what the tool needs.
	ErrCredential = errors.New("the credential does not fit this tool")
)

// MaxInput bounds what a tool asks, in bytes.
const MaxInput = 64 << 10

// Credential is what answers are made of.
type Credential struct {
	Reference string
	Fields    map[string][]byte
	// Ends is when the agent no longer vouches for it.
	Ends time.Time
}

// login says where an auth type has what goes as a password, and which user name goes with it.
type login struct {
	secret string // the field
	// username is the user name where the credential has no field of that name; empty: there must be one. The names
	// are what most git servers take together with a token; of those that have their own --username tells.
	username string
}

// logins is the one table of them. A credential's type is told by which of these fields it has; the first that is there
// counts.
var logins = []login{
	{secret: "password"},                          // basic, digest
	{secret: "token", username: "x-access-token"}, // access_token
	{secret: "access_token", username: "oauth2"},  // oauth2
	{secret: "key", username: "x-access-token"},   // api_key
}

// login answers the user name and the password. Where the name is neither given nor a field, named is false.
func (c Credential) login(username string) (user, password string, named bool, err error) {
	for _, l := range logins {
		value, ok := c.Fields[l.secret]
		if !ok || len(value) == 0 {
			continue
		}
		user, password = username, string(value)
		if user == "" {
			user = string(c.Fields["username"])
		}
		if named = user != ""; !named {
			user = l.username
		}
		if user == "" {
			return "", "", false, fmt.Errorf("%w: %s has no field username; give one with --username", ErrCredential, c.Reference)
		}
		return user, password, named, nil
	}
	return "", "", false, fmt.Errorf("%w: %s has none of the fields %s", ErrCredential, c.Reference, secretFields())
}

func secretFields() string {
	var names []string
	for _, l := range logins {
		names = append(names, l.secret)
	}
	return strings.Join(names, ", ")
}

// text answers a field that a JSON string can hold.
func (c Credential) text(field string) (string, error) {
	value, ok := c.Fields[field]
	if !ok || len(value) == 0 {
		return "", fmt.Errorf("%w: %s has no field %s", ErrCredential, c.Reference, field)
	}
	if !utf8.Valid(value) {
		return "", fmt.Errorf("%w: the field %s of %s is not UTF-8", ErrCredential, field, c.Reference)
	}
	return string(value), nil
}

// oneLine fails where a value would become more than one line, or end early, in a protocol of lines.
func oneLine(what string, value string) error {
	if strings.ContainsAny(value, "\n\r\x00") {
		return fmt.Errorf("%w: its %s holds a line break or a NUL byte, which would be read as something else", ErrCredential, what)
	}
	return nil
}

// optional answers a field, or nothing where it is not there.
func (c Credential) optional(field string) string { return string(c.Fields[field]) }

// ends is when the tool has to ask again, as RFC 3339 in whole seconds.
func (c Credential) ends() string { return c.Ends.UTC().Truncate(time.Second).Format(time.RFC3339) }
