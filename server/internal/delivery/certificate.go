package delivery

import (
	"crypto/tls"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/identity"
)

// listenerCertificate is the certificate of the agents' port, in memory alone.
type listenerCertificate struct {
	fleet *fleet.Fleet
	now   func() time.Time

	mu   sync.Mutex
	cert *tls.Certificate
}

func (c *listenerCertificate) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cert != nil && c.now().Before(halfLife(c.cert)) {
		return c.cert, nil
	}
	cert, err := c.fleet.ServerCertificate(identity.Server, nil)
	if err != nil {
		return nil, err
	}
	c.cert = &cert
	return c.cert, nil
}

func halfLife(c *tls.Certificate) time.Time {
	return c.Leaf.NotBefore.Add(c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 2)
}
