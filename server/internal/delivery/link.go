package delivery

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/strongroom/strongroom/server/internal/admission"
	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
)

const (
	// handshakeTime is how long a connection has until it is ready for its first
	// call, waiting for its turn included.
	handshakeTime = 10 * time.Second
	// joinTime is how long a connection without a certificate lasts.
	joinTime = 30 * time.Second
)

// bounds of the agents' listener. So many handshakes as may be pending are done
// within handshakeTime.
func bounds() admission.Bounds {
	return admission.Bounds{All: min(20_000, admission.Files()*3/4), Unproven: 4096, Address: 1024, Proven: 16}
}

// link is one connection: what its handshake proved, kept so that no call has
// to read the certificate again.
type link struct {
	credentials.CommonAuthInfo
	conn        net.Conn
	from        netip.Prefix
	began       time.Time
	certificate fleet.Certificate // zero where the peer showed none
	exporter    []byte
	session     atomic.Pointer[session] // set by Watch
}

// AuthType is part of gRPC's contract.
func (*link) AuthType() string { return "strongroom" }

// handshaker wraps gRPC's TLS so that handshakes take turns, each connection
// gets its link, and a certificate that is refused is logged.
type handshaker struct {
	credentials.TransportCredentials
	d     *Delivery
	turns chan struct{}
}

func newHandshaker(c *tls.Config, d *Delivery) credentials.TransportCredentials {
	return handshaker{
		TransportCredentials: credentials.NewTLS(c), d: d,
		// More at a time would only make each take longer, until all are too late.
		turns: make(chan struct{}, 4*runtime.GOMAXPROCS(0)),
	}
}

// ServerHandshake proves the peer and reads its certificate once. raw is an
// *admission.Conn.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	began := h.d.now() // what the peer sends later may have been on its way for long
	admitted, ok := raw.(*admission.Conn)
	if !ok {
		return nil, nil, errors.New("the listener is not bounded")
	}
	inTurn := &turnstile{Conn: raw, turns: h.turns, late: time.Now().Add(handshakeTime)}
	conn, info, err := h.TransportCredentials.ServerHandshake(inTurn)
	inTurn.end()
	if err != nil {
		h.logRefused(admitted.From(), err)
		return nil, nil, err
	}
	proved := info.(credentials.TLSInfo)
	l := &link{CommonAuthInfo: proved.CommonAuthInfo, conn: conn, from: admitted.From(), began: began}
	if err := h.identify(l, admitted, &proved.State); err != nil {
		conn.Close()
		return nil, nil, err
	}
	limitSilence(admitted.Conn)
	return conn, l, nil
}

// identify fills in what a handshake proved.
func (h handshaker) identify(l *link, on *admission.Conn, state *tls.ConnectionState) (err error) {
	if l.exporter, err = envelope.Exporter(state); err != nil {
		return err
	}
	if len(state.PeerCertificates) > 0 {
		if l.certificate, err = fleet.ReadCertificate(state.PeerCertificates[0], l.began); err != nil {
			return err
		}
		_, err := h.d.fleet.Check(l.certificate)
		if err == nil {
			return on.Prove(l.certificate.Host)
		}
		// It is told why on its first call, which may be the one that finds a clone.
	}
	time.AfterFunc(joinTime, func() { l.conn.Close() })
	return nil
}

// logRefused notes a certificate that was not taken; the log itself bounds how
// many of them strangers can bring about. Other handshakes that fail are the
// network's everyday.
func (h handshaker) logRefused(from netip.Prefix, err error) {
	var refused *identity.Refused
	if !errors.As(err, &refused) {
		return
	}
	entry := audit.Entry{
		Actor: "unknown", Action: "host.connect", Target: refused.Host, Host: refused.Host, Outcome: audit.Refused,
		Reason: refused.Reason, From: address(from),
	}
	if refused.Host != "" {
		entry.Actor = "host:" + refused.Host
	}
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	if _, err := h.d.audit.Append(ctx, entry); err != nil {
		h.d.log.Error("a refused certificate could not be logged", "error", err)
	}
}

// address is an IPv4 address alone, or a /64.
func address(from netip.Prefix) string {
	if from.IsSingleIP() {
		return from.Addr().String()
	}
	return from.String()
}

// Clone is part of gRPC's contract.
func (h handshaker) Clone() credentials.TransportCredentials {
	h.TransportCredentials = h.TransportCredentials.Clone()
	return h
}

func linkOf(ctx context.Context) *link {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	l, _ := p.AuthInfo.(*link)
	return l
}

// turnstile lets a handshake compute only in its turn: from when something of
// the peer's first message came until it is answered, or awaited again. What
// follows the answer is little, and goes before what others begin.
type turnstile struct {
	net.Conn
	turns    chan struct{}
	late     time.Time
	mine     bool
	answered atomic.Bool
}

// Read waits for the peer, and then for its turn.
func (t *turnstile) Read(b []byte) (int, error) {
	t.end()
	n, err := t.Conn.Read(b)
	if err != nil || t.answered.Load() {
		return n, err
	}
	late := time.NewTimer(time.Until(t.late))
	defer late.Stop()
	select {
	case t.turns <- struct{}{}:
		t.mine = true
		return n, nil
	case <-late.C:
		return 0, errors.New("too many handshakes at once")
	}
}

// Write is the answer.
func (t *turnstile) Write(b []byte) (int, error) {
	t.answered.Store(true)
	return t.Conn.Write(b)
}

func (t *turnstile) end() {
	if t.mine {
		t.mine = false
		<-t.turns
	}
}
