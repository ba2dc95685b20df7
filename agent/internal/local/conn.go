package local

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// conn is a caller's connection. net/http hands the body of an answer to its
// ReadFrom, past its own buffers, so that a value goes from locked memory to the
// kernel and nowhere else.
type conn struct {
	*net.UnixConn
	release func()
}

// Write bounds each write by itself: net/http's own limit counts from the
// request on, and so would include what the server takes to answer.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.UnixConn.Write(b)
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

// How many connections may be open: of one user, whoever that is, and in all.
const (
	maxOfUser      = 32
	maxConnections = 512
)

// writeTime is how long the kernel may take to take a part of an answer.
// Meanwhile a value may stand in the arena for it.
const writeTime = 5 * time.Second

// bounded closes connections that are too many as soon as they come: to let them
// wait would make everybody wait behind them.
type bounded struct {
	net.Listener
	places places
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		accepted, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := accepted.(*net.UnixConn)
		uid, err := peerUID(c)
		if err != nil || !b.places.take(uid) {
			_ = c.Close() // nothing was sent
			continue
		}
		return &conn{UnixConn: c, release: sync.OnceFunc(func() { b.places.give(uid) })}, nil
	}
}

// places counts connections by the user who made them.
type places struct {
	mu    sync.Mutex
	all   int
	users map[uint32]int
}

func (p *places) take(uid uint32) bool { return p.takeOf(uid, maxOfUser, maxConnections) }

func (p *places) takeOf(uid uint32, ofUser, inAll int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == inAll || p.users[uid] == ofUser {
		return false
	}
	if p.users == nil {
		p.users = map[uint32]int{}
	}
	p.all++
	p.users[uid]++
	return true
}

func (p *places) give(uid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	p.users[uid]--
	if p.users[uid] == 0 {
		delete(p.users, uid)
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }
