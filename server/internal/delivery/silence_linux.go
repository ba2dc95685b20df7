package delivery

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledged is how long what was sent to an agent may lie there without its kernel having taken it. An agent sends
// a ping every ten seconds, which is answered, so a connection on which nothing reaches the agent any more is known to
// be dead within 18 s, also where everything that the agent sends still arrives: its own pings keep such a connection
// alive in gRPC's eyes, and the end that it sends waits behind what was not acknowledged to it.
const unacknowledged = 8 * time.Second

// limitSilence sets TCP_USER_TIMEOUT (RFC 5482), which gRPC sets on bare TCP connections alone. Where it cannot be set
// the connection is noticed later, by its retransmissions.
func limitSilence(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds()))
	})
}
