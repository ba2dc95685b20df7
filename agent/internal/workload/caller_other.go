//go:build !linux

package workload

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// peer is what a Caller holds of the system's: nothing here.
type peer struct{}

// FromConn is not available on this system.
func FromConn(*net.UnixConn) (*Caller, error) {
	return nil, fmt.Errorf("attesting a caller on this system: %w", errors.ErrUnsupported)
}

// Recheck always refuses on this system.
func (c *Caller) Recheck() error { return ErrGone }

// ExeSHA256 is not known on this system.
func (c *Caller) ExeSHA256(context.Context) string { return "" }

// Close releases nothing on this system.
func (c *Caller) Close() error {
	c.peer = peer{}
	return nil
}
