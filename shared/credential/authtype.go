package credential

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// AuthType says how a credential authenticates.
type AuthType string

// The auth types that can be stored.
const (
	Basic       AuthType = "basic"
	APIKey      AuthType = "api_key"
	AccessToken AuthType = "access_token"
)

// Field describes one field of an auth type or an application.
type Field struct {
	Name     string `json:"name"`
	Secret   bool   `json:"secret"`
	Required bool   `json:"required"`
	Help     string `json:"help"`
}

var authFields = map[AuthType][]Field{
	Basic: {
		{Name: "username", Required: true, Help: "the account's name"},
		{Name: "password", Secret: true, Required: true, Help: "the account's password"},
	},
	APIKey: {
		{Name: "key", Secret: true, Required: true, Help: "the API key"},
		{Name: "header", Help: "the header that carries the key; X-API-Key where empty"},
	},
	AccessToken: {
		{Name: "token", Secret: true, Required: true, Help: "the access token, sent as a bearer token"},
	},
}

// Fields returns the type's own fields, or nil where the type is not known.
func (t AuthType) Fields() []Field { return slices.Clone(authFields[t]) }

// Origin is a place that a value may be sent to.
type Origin struct {
	Scheme string `json:"scheme"`
	Host   string `json:"host"`
	Port   string `json:"port"`
}

// String gives scheme://host:port.
func (o Origin) String() string { return o.Scheme + "://" + net.JoinHostPort(o.Host, o.Port) }

// OriginOf reads the origin of an http or https URL. The error names field and
// does not repeat the URL, which might hold a password.
func OriginOf(field, raw string) (Origin, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Hostname() == "":
		return Origin{}, fmt.Errorf("%w field %s: not a URL such as https://api.example.com", ErrInvalid, field)
	case u.Scheme != "https" && u.Scheme != "http":
		return Origin{}, fmt.Errorf("%w field %s: the scheme must be https or http", ErrInvalid, field)
	case u.User != nil:
		return Origin{}, fmt.Errorf("%w field %s: leave the user and password out of the URL", ErrInvalid, field)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return Origin{Scheme: u.Scheme, Host: strings.ToLower(u.Hostname()), Port: port}, nil
}
