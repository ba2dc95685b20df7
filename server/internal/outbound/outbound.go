// Package outbound makes the server's connections to other systems. Where those are is said by settings, credentials and
// what other systems answer, so it judges each address as it is dialed, whatever name it was found by, and keeps closed
// what only the server's own machine or network should reach. It sends nobody elsewhere and bounds what it reads. It
// knows nothing of what is asked or answered.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrClosed means that a name stands for an address which is closed to the server.
	ErrClosed = errors.New("this address is closed to the server")
	// ErrRedirect means that an answer was to ask elsewhere.
	ErrRedirect = errors.New("the answer is a redirect, which is not followed")
	// ErrTooLong means that an answer has more bytes than are read.
	ErrTooLong = errors.New("the answer is too long")
)

const (
	// connectTime bounds the look-up of a name with the connections that are tried.
	connectTime = 5 * time.Second
	maxHeaders  = 16 << 10
)

// Dialer is the only way out. It is safe for concurrent use.
type Dialer struct {
	dialer net.Dialer
	open   []netip.Prefix
	own    *machine
}

// New makes a dialer. Addresses that are closed by default and lie in one of open are open all the same.
func New(open []netip.Prefix) *Dialer {
	d := &Dialer{open: slices.Clone(open), own: &machine{look: net.InterfaceAddrs}}
	d.dialer = net.Dialer{Timeout: connectTime, KeepAlive: 15 * time.Second, ControlContext: d.control}
	return d
}

// DialContext connects to HOST:PORT. Errors: ErrClosed, or the network's own.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.dialer.DialContext(ctx, network, address)
}

// control is called with the address that a socket is about to be connected to, after every look-up: a name that means
// another address by now is judged by that.
func (d *Dialer) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: it cannot be read", ErrClosed)
	}
	if at := to.Addr(); !d.isOpen(at) {
		return fmt.Errorf("%w: %s; strongroom-server run --outbound-allow %s opens it", ErrClosed, at, alone(at))
	}
	return nil
}

// alone is the prefix that holds nothing but an address.
func alone(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

func (d *Dialer) isOpen(a netip.Addr) bool {
	a = a.Unmap().WithZone("") // a prefix holds no address with a zone
	if within(d.open, a) {
		return true
	}
	if embedded, ok := embeddedIPv4(a); ok {
		return d.isOpen(embedded)
	}
	return !within(closed, a) && !d.own.isAt(a)
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Client makes an HTTP client that connects through the dialer. A request with its answer may last limit, and a body of
// more than most bytes fails with ErrTooLong. Proxies that the environment names are not used: what they connect to
// could not be judged. The certificates are the system's.
func (d *Dialer) Client(limit time.Duration, most int64) *http.Client {
	return &http.Client{
		Timeout:       limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return ErrRedirect },
		Transport: &bounded{most: most, transport: &http.Transport{
			DialContext:            d.DialContext,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // few bytes must not become many
			TLSHandshakeTimeout:    connectTime,
			ResponseHeaderTimeout:  limit,
			MaxResponseHeaderBytes: maxHeaders,
			MaxConnsPerHost:        8,
			IdleConnTimeout:        30 * time.Second,
		}},
	}
}

// bounded cuts off bodies that are too long.
type bounded struct {
	transport *http.Transport
	most      int64
}

// RoundTrip is one request with its answer.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &body{ReadCloser: answer.Body, left: b.most, most: b.most}
	return answer, nil
}

// CloseIdleConnections lets http.Client's method of that name reach the connections.
func (b *bounded) CloseIdleConnections() { b.transport.CloseIdleConnections() }

func tooLong(most int64) error { return fmt.Errorf("%w: more than %d bytes", ErrTooLong, most) }

type body struct {
	io.ReadCloser
	left, most int64
}

// Read reads one byte further than is allowed, to know whether there is one.
func (b *body) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLong(b.most)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, tooLong(b.most)
	}
	return n, err
}
