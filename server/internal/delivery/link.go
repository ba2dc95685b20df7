package delivery

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/envelope"
)

// link is one connection: what its handshake proved, kept so that no call has
// to read the certificate again.
type link struct {
	credentials.CommonAuthInfo
	conn        net.Conn
	began       time.Time
	certificate fleet.Certificate // zero where the peer showed none
	exporter    []byte
	session     atomic.Pointer[session] // set by Watch
}

// AuthType is part of gRPC's contract.
func (*link) AuthType() string { return "strongroom" }

// handshaker wraps gRPC's TLS so that each connection gets its link.
type handshaker struct {
	credentials.TransportCredentials
	now func() time.Time
}

func newHandshaker(c *tls.Config, now func() time.Time) credentials.TransportCredentials {
	return handshaker{credentials.NewTLS(c), now}
}

// ServerHandshake proves the peer and reads its certificate once.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	began := h.now() // what the peer sends later may have been on its way for long
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	proved := info.(credentials.TLSInfo)
	l := &link{CommonAuthInfo: proved.CommonAuthInfo, conn: conn, began: began}
	if l.exporter, err = envelope.Exporter(&proved.State); err != nil {
		conn.Close()
		return nil, nil, err
	}
	if certs := proved.State.PeerCertificates; len(certs) > 0 {
		if l.certificate, err = fleet.ReadCertificate(certs[0], began); err != nil {
			conn.Close()
			return nil, nil, err
		}
		return conn, l, nil
	}
	time.AfterFunc(joinTime, func() { conn.Close() })
	return conn, l, nil
}

// Clone is part of gRPC's contract.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone(), h.now}
}

func linkOf(ctx context.Context) *link {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	l, _ := p.AuthInfo.(*link)
	return l
}
