package helper

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// place is where a credential may be sent, or a tool wants to send one.
type place struct{ scheme, host, port string }

func (p place) String() string { return p.scheme + "://" + p.hostPort() }

// hostPort leaves out the port that the scheme stands for.
func (p place) hostPort() string {
	if p.port == defaultPorts[p.scheme] {
		return strings.TrimSuffix(net.JoinHostPort(p.host, ""), ":")
	}
	return net.JoinHostPort(p.host, p.port)
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// placeOf reads scheme and HOST[:PORT]. Plain http is for loopback alone, where nobody else listens in.
func placeOf(scheme, hostPort string) (place, error) {
	scheme = strings.ToLower(scheme)
	if defaultPorts[scheme] == "" {
		return place{}, fmt.Errorf("%w: only https is spoken to, and http on loopback", ErrOtherHost)
	}
	// What a URL's host may be is asked of the URL parser, and nothing may stand beside it.
	u, err := url.Parse(scheme + "://" + hostPort)
	if err != nil || u.Host != hostPort || u.Hostname() == "" || u.User != nil || strings.ContainsAny(hostPort, "/?#@\\ \t") {
		return place{}, fmt.Errorf("%w: the host is not HOST or HOST:PORT", ErrInput)
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		// Lower case is not the same everywhere beyond ASCII: İ is i to some, and another domain to DNS.
		return place{}, fmt.Errorf("%w: the host's name is wanted in its ASCII form, which begins with xn--", ErrInput)
	}
	p := place{scheme: scheme, host: strings.ToLower(u.Hostname()), port: u.Port()}
	if p.port == "" {
		p.port = defaultPorts[scheme]
	}
	if scheme == "http" && !loopback(p.host) {
		return place{}, fmt.Errorf("%w: %s is asked for without TLS, where everybody on the way would read it", ErrOtherHost, p.host)
	}
	return p, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// For tells whether a credential is for the place that a tool asks for: for host (HOST[:PORT]) where that is given,
// otherwise for the host of the credential's field url. It fails with ErrOtherHost, which says what would help.
func (c Credential) isFor(asked place, host string) error {
	if host != "" {
		own, err := placeOf(asked.scheme, host)
		if err != nil {
			return fmt.Errorf("--host: %w", err)
		}
		if own != asked {
			return fmt.Errorf("%w: --host says %s, and %s is asked for", ErrOtherHost, own, asked)
		}
		return nil
	}
	own, err := c.place()
	if err != nil {
		return err
	}
	if own != asked {
		return fmt.Errorf("%w: %s is for %s, and %s is asked for; if it is for that as well, say --host %s",
			ErrOtherHost, c.Reference, own, asked, asked.hostPort())
	}
	return nil
}

// place is that of the field url.
func (c Credential) place() (place, error) {
	text := c.optional("url")
	if text == "" {
		return place{}, fmt.Errorf("%w: %s does not say for which host it is; say it with --host HOST[:PORT]", ErrOtherHost, c.Reference)
	}
	u, err := url.Parse(text)
	if err != nil {
		return place{}, fmt.Errorf("%w: the field url of %s is no URL; say with --host HOST[:PORT] for which host it is", ErrOtherHost, c.Reference)
	}
	return placeOf(u.Scheme, u.Host)
}
