// Package client is what a Go job links to read its credentials from the agent on its host. It speaks to the agent's
// socket and to nothing else, keeps no values, and leaves it to the agent who may have what.
//
//	c := client.New(client.Options{})
//	credential, err := c.Get(ctx, "salesforce-prod")
//	if errors.Is(err, client.ErrRefused) {
//		// no grant allows it, or there is no such credential: the agent does not tell which
//	}
//	password := credential.Fields["password"]
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// The ways in which the agent says no. Other errors mean that it failed.
var (
	// ErrRefused means that no grant lets this job have it, or that it does not exist.
	ErrRefused = errors.New("refused")
	// ErrNotReachable means that no agent answers on the socket, or that the agent has neither a connection to its
	// server nor a copy of what was asked for.
	ErrNotReachable = errors.New("not reachable")
	// ErrUsage means that the request itself is wrong, such as a reference that is none.
	ErrUsage = errors.New("wrong usage")
)

const (
	// attempt bounds one request; the agent may have to ask its server.
	attempt = 30 * time.Second
	// maxDocument holds the largest credential, 64 fields of 64 KiB, with every byte escaped.
	maxDocument = 32 << 20
	maxValue    = 64 << 10
	maxProblem  = 64 << 10
	maxToken    = 16 << 10
	// queueing is how long to try again while too many others connect.
	queueing = 5 * time.Second
	// Between tries the pause doubles from the first to the last.
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// Options say where the agent is. The zero value suits a job.
type Options struct {
	// Socket is the agent's socket; where it is empty, STRONGROOM_SOCKET, and else DefaultSocket.
	Socket string
	// Wait is how long to try again while the agent is not reachable, for jobs that start beside it.
	Wait time.Duration
	// JobToken is a token by which the job's CI system says which job it is: a JSON Web Token of at most 16 KiB, for
	// grants that ask for its claims. Where it is empty, STRONGROOM_JOB_TOKEN. One that is not taken, such as one that
	// has ended, fails all questions but Status with ErrRefused.
	JobToken string
	// JobTokenFrom, where it is set, is asked for that token in place of JobToken, for each request anew: a job may outlive
	// a token that its platform renews. Where it fails the request fails, with ErrUsage. Several goroutines may call it.
	JobTokenFrom func(context.Context) (string, error)
}

// Client asks one agent. It is safe for concurrent use.
type Client struct {
	socket string
	wait   time.Duration
	token  func(context.Context) (string, error)
	http   http.Client
}

// New answers a client; it connects when it is used. Idle connections are closed after a while by themselves.
func New(o Options) *Client {
	c := &Client{socket: cmp.Or(o.Socket, os.Getenv("STRONGROOM_SOCKET"), DefaultSocket()), wait: o.Wait}
	c.token = o.JobTokenFrom
	if c.token == nil {
		token := cmp.Or(o.JobToken, strings.TrimSpace(os.Getenv("STRONGROOM_JOB_TOKEN")))
		c.token = func(context.Context) (string, error) { return token, nil }
	}
	c.http.Transport = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, c.socket) },
		DisableCompression: true,
		IdleConnTimeout:    10 * time.Second,
		// Values travel in bodies only.
		MaxResponseHeaderBytes: 16 << 10,
	}
	// The agent sends nobody elsewhere.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// dial connects, and waits a while for its place where too many others connect: a Unix socket whose queue is full refuses
// at once.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	deadline := time.Now().Add(queueing)
	for {
		conn, err := d.DialContext(ctx, "unix", socket)
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(deadline) {
			return conn, err
		}
		select {
		case <-time.After(firstPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// List answers the credentials that this job may read.
func (c *Client) List(ctx context.Context) (*List, error) {
	return document[List](ctx, c, "/v1/credentials", nil)
}

// Get answers a credential with all its fields. It may be stale: see [Lease].
func (c *Client) Get(ctx context.Context, ref string) (*Credential, error) {
	return document[Credential](ctx, c, "/v1/credentials/value", url.Values{"ref": {ref}})
}

// Field answers the value of one field, at most 64 KiB.
func (c *Client) Field(ctx context.Context, ref, field string) ([]byte, error) {
	return c.get(ctx, "/v1/credentials/value", url.Values{"ref": {ref}, "field": {field}}, maxValue)
}

// Explain answers whether this job may read a credential, and why. A refusal is an answer here, not an error.
func (c *Client) Explain(ctx context.Context, ref string) (*Explanation, error) {
	return document[Explanation](ctx, c, "/v1/explain", url.Values{"ref": {ref}})
}

// Status answers how the agent is.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return document[Status](ctx, c, statusPath, nil)
}

func document[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	body, err := c.get(ctx, path, query, maxDocument)
	if err != nil {
		return nil, err
	}
	defer clear(body)
	return decode[T](body)
}

// get asks, again and again for as long as the client waits, where the agent is not reachable.
func (c *Client) get(ctx context.Context, path string, query url.Values, most int64) ([]byte, error) {
	deadline := time.Now().Add(c.wait)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		body, err := c.ask(ctx, path, query, most)
		left := time.Until(deadline)
		if !errors.Is(err, ErrNotReachable) || left <= 0 || ctx.Err() != nil {
			return body, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(min(pause, left)):
		}
	}
}

func (c *Client) ask(ctx context.Context, path string, query url.Values, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	response, err := c.request(ctx, path, query)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxProblem))
		return nil, problem(response.StatusCode, body)
	}
	if response.ContentLength > most {
		return nil, errTooLong(most)
	}
	// One buffer of the right size: a growing one would leave pieces of the value behind.
	body := make([]byte, 0, max(response.ContentLength+1, 512))
	body, err = readAll(body, io.LimitReader(response.Body, most+1))
	if err != nil {
		clear(body)
		return nil, c.unreachable(err)
	}
	if int64(len(body)) > most {
		clear(body)
		return nil, errTooLong(most)
	}
	return body, nil
}

// request asks once, whatever the answer is.
func (c *Client) request(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	target := url.URL{Scheme: "http", Host: "strongroom", Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("X-Strongroom", "1")
	if path != statusPath {
		if err := c.showToken(request); err != nil {
			return nil, err
		}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	return response, nil
}

const statusPath = "/v1/status"

func (c *Client) showToken(request *http.Request) error {
	token, err := c.token(request.Context())
	switch {
	case err != nil:
		return fmt.Errorf("%w: the job's token: %w", ErrUsage, err)
	case token == "":
		return nil
	case !isToken(token):
		return fmt.Errorf("%w: the job's token is no JSON Web Token of at most %d bytes", ErrUsage, maxToken)
	}
	request.Header.Set("X-Strongroom-Job-Token", token)
	return nil
}

// isToken takes what a JSON Web Token can be made of: anything else may be another secret, put in the wrong place.
func isToken(s string) bool {
	return len(s) <= maxToken && strings.Count(s, ".") == 2 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

func errTooLong(most int64) error {
	return fmt.Errorf("the agent's answer is longer than %d bytes: is it of another version?", most)
}

// unreachable words why there was no whole answer.
func (c *Client) unreachable(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return fmt.Errorf("%w: the agent at %s does not answer: %w", ErrNotReachable, c.socket, err)
}

// readAll is io.ReadAll into a given buffer, which it clears where it has to take a larger one.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			larger := append(make([]byte, 0, 2*cap(b)), b...)
			clear(b)
			b = larger
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}
