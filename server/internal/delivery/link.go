package delivery

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
)

// link is one connection: what its handshake proved, kept so that no call has
// to read the certificate again.
type link struct {
	credentials.CommonAuthInfo
	conn     net.Conn
	host     string   // ID; empty where the peer showed no certificate
	key      [32]byte // SHA-256 of the certificate's public key
	notAfter time.Time
	exporter []byte
	session  atomic.Pointer[session] // set by Watch
}

// AuthType is part of gRPC's contract.
func (*link) AuthType() string { return "strongroom" }

// handshaker wraps gRPC's TLS so that each connection gets its link.
type handshaker struct {
	credentials.TransportCredentials
}

func newHandshaker(c *tls.Config) credentials.TransportCredentials {
	return handshaker{credentials.NewTLS(c)}
}

// ServerHandshake proves the peer and reads its certificate once.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	proved := info.(credentials.TLSInfo)
	l := &link{CommonAuthInfo: proved.CommonAuthInfo, conn: conn}
	if l.exporter, err = envelope.Exporter(&proved.State); err != nil {
		conn.Close()
		return nil, nil, err
	}
	if certs := proved.State.PeerCertificates; len(certs) > 0 {
		name, err := identity.NameOf(certs[0])
		if err != nil {
			conn.Close()
			return nil, nil, err
		}
		l.host, l.notAfter = name.ID, certs[0].NotAfter
		l.key = sha256.Sum256(certs[0].RawSubjectPublicKeyInfo)
	}
	return conn, l, nil
}

// Clone is part of gRPC's contract.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone()}
}

func linkOf(ctx context.Context) *link {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	l, _ := p.AuthInfo.(*link)
	return l
}
