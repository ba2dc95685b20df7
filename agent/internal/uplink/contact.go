package uplink

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// contact is when the server was last heard of on one connection. A network that
// swallows packets says nothing, so that a connection is dead for up to 15 s
// before anybody knows: what counts from the last contact must not count from
// then.
type contact struct {
	mu sync.Mutex
	at time.Time
}

func (c *contact) made() {
	c.mu.Lock()
	c.at = time.Now()
	c.mu.Unlock()
}

func (c *contact) last() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// heardConn notes what comes from the server: bytes that its TLS has proved, and
// that its machine ended the connection. Neither side is silent for longer than a
// ping takes to be due, so the note is at most that old.
type heardConn struct {
	net.Conn
	heard *contact
}

// Read is net.Conn's.
func (c heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		c.heard.made()
	}
	return n, err
}
