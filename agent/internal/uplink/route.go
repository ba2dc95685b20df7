package uplink

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// Route is how a host reaches its servers.
type Route struct {
	// Servers are tried in their order, each HOST:PORT as identity.ValidServer has
	// it. Empty: those that the host's identity names.
	Servers []string
	// Proxy names the HTTP proxy that leads to a server, HOST:PORT, or none with "".
	// nil: there is no proxy.
	Proxy func(server string) string
	// ProxyAuth tells the proxy who asks, as NewProxyAuth makes it; nil: nothing does.
	ProxyAuth *secret.Buffer

	dialer func(ctx context.Context, network, address string) (net.Conn, error) // nil: net.Dialer's
}

// server is one of the servers; without any nothing is reachable.
func (r Route) server(at int) string {
	if at < len(r.Servers) {
		return r.Servers[at]
	}
	return ""
}

const (
	// proxyTime is how long a proxy has for its answer, the connection to the server
	// included.
	proxyTime = 10 * time.Second
	// maxProxyAnswer bounds its status line and headers.
	maxProxyAnswer = 16 << 10
)

// connect makes a connection to a server, through the proxy where one leads there.
func (r Route) connect(ctx context.Context, server string) (net.Conn, error) {
	dial := r.dialer
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	proxy := ""
	if r.Proxy != nil {
		proxy = r.Proxy(server)
	}
	if proxy == "" {
		return dial(ctx, "tcp", server)
	}
	ctx, cancel := context.WithTimeout(ctx, proxyTime)
	defer cancel()
	conn, err := dial(ctx, "tcp", proxy)
	if err != nil {
		return nil, fmt.Errorf("the proxy %s is not reachable: %w", proxy, err)
	}
	if err := r.tunnel(ctx, conn, server); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the proxy %s %w", proxy, err)
	}
	return conn, nil
}

// tunnel has a proxy connect to a server (RFC 9110, 9.3.6). What conn carries
// afterwards is between this host and the server.
func (r Route) tunnel(ctx context.Context, conn net.Conn, server string) error {
	// The context's end is the deadline too, so this wakes reads and writes in any case.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := r.askProxy(conn, server)
	if err == nil {
		err = readProxyAnswer(conn)
	}
	if ctx.Err() != nil || !stop() {
		return fmt.Errorf("did not answer within %s", proxyTime)
	}
	return err
}

func (r Route) askProxy(conn net.Conn, server string) error {
	text := "CONNECT " + server + " HTTP/1.1\r\nHost: " + server + "\r\n"
	if r.ProxyAuth == nil {
		_, err := io.WriteString(conn, text+"\r\n")
		return hungUp(err)
	}
	for _, part := range [][]byte{[]byte(text + "Proxy-Authorization: "), r.ProxyAuth.Reveal(), []byte("\r\n\r\n")} {
		if _, err := conn.Write(part); err != nil {
			return hungUp(err)
		}
	}
	return nil
}

// ErrProxyAuth says that a text is not user:password.
var ErrProxyAuth = errors.New("the proxy's credentials are one line with user:password")

// NewProxyAuth makes of user:password what a proxy is told (RFC 7617). It goes to
// the proxy over the network as readable as it is.
func NewProxyAuth(a *secret.Arena, userPassword *secret.Buffer) (*secret.Buffer, error) {
	const scheme = "Basic "
	text := userPassword.Reveal()
	if !bytes.Contains(text, []byte(":")) || bytes.ContainsAny(text, "\r\n\x00") {
		return nil, ErrProxyAuth
	}
	out, err := a.New(len(scheme) + base64.StdEncoding.EncodedLen(len(text)))
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		copy(out.Reveal(), scheme)
		base64.StdEncoding.Encode(out.Reveal()[len(scheme):], text)
	})
	return out, nil
}

func hungUp(err error) error {
	if err != nil {
		return errors.New("hung up")
	}
	return nil
}

// readProxyAnswer reads no further than the headers of the proxy's answer: what
// follows is the server's, which has nothing to say before this end has.
func readProxyAnswer(from io.Reader) error {
	limited := &io.LimitedReader{R: from, N: maxProxyAnswer}
	r := bufio.NewReader(limited)
	answer, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	switch {
	case err != nil && limited.N == 0:
		return fmt.Errorf("sent headers of more than %d bytes", maxProxyAnswer)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("hung up before it answered")
	case err != nil:
		return errors.New("sent an answer that is not HTTP/1.1: is it an HTTP proxy?")
	case answer.StatusCode == http.StatusProxyAuthRequired:
		return errors.New("answered 407, it wants to know who asks: name a file with user:password in --proxy-auth @FILE")
	case answer.StatusCode/100 != 2:
		// Its own words are not repeated: it is anybody's text.
		return fmt.Errorf("answered %d %s to CONNECT", answer.StatusCode, http.StatusText(answer.StatusCode))
	case r.Buffered() > 0:
		return errors.New("sent something of its own where only the server may")
	}
	return nil
}
