//go:build !linux

package local

import "net"

// peerUID does not tell callers apart on this system, where none of them gets
// anything.
func peerUID(*net.UnixConn) (uint32, error) { return 0, nil }
