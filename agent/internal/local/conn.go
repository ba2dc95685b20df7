package local

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/strongroom/strongroom/shared/secret"
)

// conn is a caller's connection. net/http hands the body of an answer to its
// ReadFrom, past its own buffers, so that a value goes from locked memory to the
// kernel and nowhere else.
type conn struct {
	*net.UnixConn
	release func()
}

// ReadFrom writes a secret from its place; it is called with nothing else.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	body, ok := r.(*body)
	if !ok {
		return 0, errors.New("local: only a secret is sent this way")
	}
	n, err := c.Write(body.Buffer.Reveal())
	return int64(n), err
}

// Close gives the connection's place free, once.
func (c *conn) Close() error {
	defer c.release()
	return c.UnixConn.Close()
}

// body stands for a secret where net/http wants a reader. Reading it would copy
// it into a buffer of net/http's, so that fails.
type body struct{ *secret.Buffer }

// Read is never to be used.
func (*body) Read([]byte) (int, error) {
	return 0, errors.New("local: a secret is written from its place only")
}

// send answers with a secret. The headers are flushed first, since net/http
// otherwise copies the body's first 512 bytes to guess its type.
func send(w http.ResponseWriter, contentType string, b *secret.Buffer) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	_, _ = w.(io.ReaderFrom).ReadFrom(&body{b})
}

// bounded accepts at most so many connections at a time.
type bounded struct {
	net.Listener
	places chan struct{}
}

// Accept waits for a place.
func (b bounded) Accept() (net.Conn, error) {
	b.places <- struct{}{}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.places
		return nil, err
	}
	return &conn{UnixConn: c.(*net.UnixConn), release: sync.OnceFunc(func() { <-b.places })}, nil
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }
