package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

// How long a call waits when its context sets nothing shorter. Unsealing reads
// every record, and verifying every entry of the log.
const (
	dialTimeout = 10 * time.Second
	callTimeout = 30 * time.Second
	longTimeout = 10 * time.Minute
)

// Config says where the server is and how to know it.
type Config struct {
	Server        string         // https://HOST:PORT, or HOST:PORT
	CAFingerprint string         // sha256:HEX of the root that the server's chain must contain
	Token         *secret.Buffer // the bearer token; nil for calls that need none
	Arena         *secret.Arena  // holds revealed values and keys of envelopes
}

// Client calls one server. It keeps at most one connection, because an envelope
// is good on the connection that it was asked for on. Its methods may be called
// by several goroutines; they take turns.
type Client struct {
	base  string
	token *secret.Buffer
	arena *secret.Arena
	http  http.Client
	seal  sync.Mutex // held from asking for an envelope until the write is answered
}

// New checks the configuration; it does not connect. A faulty one is ErrUsage.
// The client reads the token when it makes a request and never wipes it.
func New(c Config) (*Client, error) {
	base, host, err := parseServer(c.Server)
	if err != nil {
		return nil, err
	}
	if err := identity.ValidFingerprint(c.CAFingerprint); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUsage, err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Client{
		base:  base,
		token: c.Token,
		arena: c.Arena,
		http: http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
				TLSClientConfig:        identity.PinnedClient(strings.ToLower(c.CAFingerprint), host),
				TLSHandshakeTimeout:    dialTimeout,
				Protocols:              protocols,
				MaxConnsPerHost:        1,
				IdleConnTimeout:        90 * time.Second,
				MaxResponseHeaderBytes: 64 << 10,
				DisableCompression:     true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Close drops the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func parseServer(server string) (base, host string, err error) {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return "", "", fmt.Errorf("%w: the server is not a URL such as https://vault.example.com:8443", ErrUsage)
	case u.Scheme != "https":
		return "", "", fmt.Errorf("%w: the server's URL must begin with https://", ErrUsage)
	}
	return "https://" + u.Host, u.Hostname(), nil
}

type keyKey struct{}

// WithKey gives the request that is made under the context an idempotency key of
// 1 to 64 bytes: where it makes something, the same request with the same key
// makes nothing more within 24 hours and gets the same answer, ErrConflict where
// that has a secret, and ErrUsage where it is another request.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// call is one request and what its answer is decoded into.
type call struct {
	method  string
	path    []string // segments behind /v1, escaped here
	query   url.Values
	match   string // the If-Match; empty: none
	absent  bool   // If-None-Match: *
	in, out any    // nil: no body
	timeout time.Duration
}

// do makes a call. The TLS state is that of the connection that answered.
func (c *Client) do(ctx context.Context, k call) (*tls.ConnectionState, error) {
	if k.timeout == 0 {
		k.timeout = callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	req, err := c.request(ctx, k)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, notReachable(c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, refusal(resp)
	}
	body, err := readBody(resp, MaxAnswer)
	if err != nil {
		return nil, notReachable(c.base, err)
	}
	if k.out != nil {
		if err := json.Unmarshal(body, k.out); err != nil {
			// The decoder's error may quote what it read.
			return nil, fmt.Errorf("%w: its answer to %s /v1/%s is not what this client knows; compare the versions of both", ErrFailed, k.method, strings.Join(k.path, "/"))
		}
	}
	return resp.TLS, nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	var body io.Reader
	if k.in != nil {
		text, err := json.Marshal(k.in)
		if err != nil {
			return nil, fmt.Errorf("%w: the request cannot be written as JSON", ErrUsage)
		}
		if len(text) > MaxRequest {
			return nil, fmt.Errorf("%w: the request is larger than %d bytes", ErrUsage, MaxRequest)
		}
		body = bytes.NewReader(text)
	}
	target := c.base + "/v1"
	for _, segment := range k.path {
		if segment == "" || segment == "." || segment == ".." {
			return nil, fmt.Errorf("%w: a name is empty or dots", ErrUsage)
		}
		target += "/" + url.PathEscape(segment)
	}
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, k.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%w: the request cannot be made", ErrUsage)
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.match != "" {
		req.Header.Set("If-Match", k.match)
	}
	if k.absent {
		req.Header.Set("If-None-Match", "*")
	}
	if key, ok := ctx.Value(keyKey{}).(string); ok {
		req.Header.Set("Idempotency-Key", key)
	}
	if c.token != nil {
		// net/http wants a string: this copy and its own live until collected.
		req.Header.Set("Authorization", "Bearer "+string(c.token.Reveal()))
	}
	return req, nil
}

var errTooLarge = errors.New("its answer is too large")

func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = errTooLarge
	}
	return body, err
}

func refusal(resp *http.Response) error {
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return fmt.Errorf("%w: it answered with a redirect, which is never followed; check the server's URL", ErrFailed)
	}
	var p Problem
	// What is not a problem document is judged by its status alone.
	if body, err := readBody(resp, maxProblem); err != nil || json.Unmarshal(body, &p) != nil {
		p = Problem{}
	}
	return problemOf(p, resp.StatusCode)
}

// notReachable says why no answer came. A context that the caller ended stays
// recognisable.
func notReachable(base string, err error) error {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err
	}
	switch {
	case errors.Is(err, identity.ErrUntrusted):
		return fmt.Errorf("%w at %s: %w", ErrNotReachable, base, err)
	case errors.Is(err, errTooLarge):
		return fmt.Errorf("%w: %w", ErrFailed, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w at %s: no answer in time: %w", ErrNotReachable, base, err)
	}
	return fmt.Errorf("%w at %s: %w", ErrNotReachable, base, err)
}
