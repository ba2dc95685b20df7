package credential

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Origin is a place that a value may be sent to.
type Origin struct {
	Scheme string `json:"scheme"`
	Host   string `json:"host"`
	Port   string `json:"port"`
}

// String gives scheme://host:port.
func (o Origin) String() string { return o.Scheme + "://" + net.JoinHostPort(o.Host, o.Port) }

// defaultPorts are those of the schemes that an origin may have.
var defaultPorts = map[string]string{
	"https": "443", "http": "80", "ssh": "22", "sftp": "22", "ftp": "21", "ftps": "990", "ldap": "389", "ldaps": "636",
	"smtp": "587", "smtps": "465", "imap": "143", "imaps": "993", "postgres": "5432", "mysql": "3306", "sqlserver": "1433",
	"oracle": "1521", "mongodb": "27017", "redis": "6379", "rediss": "6379",
}

// OriginOf reads the origin of an http or https URL. The error names field and
// does not repeat the URL, which might hold a password.
func OriginOf(field, raw string) (Origin, error) { return originOf(field, raw, "https", "http") }

// OriginOfAny reads the origin of a URL of any scheme that credentials are sent by, such as postgres or ldaps.
func OriginOfAny(field, raw string) (Origin, error) { return originOf(field, raw) }

func originOf(field, raw string, schemes ...string) (Origin, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Hostname() == "":
		return Origin{}, fmt.Errorf("%w field %s: not a URL such as https://api.example.com", ErrInvalid, field)
	case len(schemes) > 0 && !slices.Contains(schemes, u.Scheme):
		return Origin{}, fmt.Errorf("%w field %s: the scheme must be https or http", ErrInvalid, field)
	case defaultPorts[u.Scheme] == "":
		return Origin{}, fmt.Errorf("%w field %s: the scheme is not one that credentials are sent by", ErrInvalid, field)
	case strings.ContainsFunc(u.Host, func(r rune) bool { return r > unicode.MaxASCII }):
		// Lower case is not the same everywhere beyond ASCII: İ is i to some, and another domain to DNS.
		return Origin{}, fmt.Errorf("%w field %s: write the host's name in its ASCII form, which begins with xn--", ErrInvalid, field)
	case u.User != nil:
		return Origin{}, fmt.Errorf("%w field %s: leave the user and password out of the URL", ErrInvalid, field)
	}
	port := u.Port()
	if port == "" {
		port = defaultPorts[u.Scheme]
	}
	return Origin{Scheme: u.Scheme, Host: strings.ToLower(u.Hostname()), Port: port}, nil
}
