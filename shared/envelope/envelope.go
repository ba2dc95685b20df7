// Package envelope seals values to the receiving end, so that everything between the two ends (TLS records, HTTP/2,
// protobuf, JSON, logs) holds ciphertext only. One HPKE encapsulation (RFC 9180, export-only) agrees on a key for one
// connection or request; values are then sealed with AES-256-GCM and opened straight into locked memory.
//
// An envelope is bound to its direction, to the TLS connection it travels on and to what it carries. It says nothing of
// who the ends are: that is for TLS. It must not look at values, keep them, or know how they are transported.
package envelope

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrEnvelope says that an envelope was not made for this recipient, direction, connection or context, was changed, or
// that its recipient was used before.
var ErrEnvelope = errors.New("the envelope does not open")

// Direction says whom an envelope is for. An envelope for one end is refused by every other.
type Direction string

const (
	ToAgent  Direction = "to agent"
	ToServer Direction = "to server"
	ToClient Direction = "to client"
)

// MaxPlaintext is the longest value that is sealed or opened, in bytes; a record of the vault holds less.
const MaxPlaintext = 1 << 20

// ExporterSize is the length of a connection's exporter in bytes.
const ExporterSize = 32

// suite names everything that both ends must agree on. A change of any algorithm or encoding here changes the name.
const suite = "strongroom envelope v1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, export-only; AES-256-GCM, counter nonce"

const keyLabel = "strongroom envelope key"

// The parts of the HPKE suite. Export-only, because hpke.Recipient.Open returns the plaintext on the heap.
func kem() hpke.KEM   { return hpke.DHKEM(ecdh.X25519()) }
func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.ExportOnly() }

// Context is what a sealed value is: it opens only under the same context. Request is the identifier of the request
// that asked for the value or carries it; it makes an envelope of an earlier request useless.
type Context struct {
	Request    string
	Credential string
	Version    uint64
	Field      string
}

// associated encodes the context so that no two contexts share an encoding: every text is preceded by its length.
func (c Context) associated() []byte {
	b := make([]byte, 0, 3*8+8+len(c.Request)+len(c.Credential)+len(c.Field))
	b = appendText(b, c.Request)
	b = appendText(b, c.Credential)
	b = binary.BigEndian.AppendUint64(b, c.Version)
	return appendText(b, c.Field)
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

// info is what HPKE binds the key to.
func info(d Direction, exporter []byte) ([]byte, error) {
	switch d {
	case ToAgent, ToServer, ToClient:
	default:
		return nil, fmt.Errorf("envelope direction %q: must be one of the declared ones", string(d))
	}
	if len(exporter) != ExporterSize {
		return nil, fmt.Errorf("TLS exporter of %d bytes: must be the %d that Exporter gives", len(exporter), ExporterSize)
	}
	b := appendText(nil, suite)
	b = appendText(b, string(d))
	return append(b, exporter...), nil
}

// Exporter returns the keying material (RFC 9266 in its way, under a label of its own) that ties envelopes to the TLS
// connection; both ends of one connection get the same 32 bytes, and no other connection does. TLS 1.3 only, since an
// earlier version's exporter does not cover the whole handshake.
func Exporter(cs *tls.ConnectionState) ([]byte, error) {
	if cs == nil || !cs.HandshakeComplete {
		return nil, errors.New("TLS exporter: the connection has no finished TLS handshake")
	}
	if cs.Version != tls.VersionTLS13 {
		return nil, fmt.Errorf("TLS exporter: the connection speaks %s, TLS 1.3 is required", tls.VersionName(cs.Version))
	}
	b, err := cs.ExportKeyingMaterial("EXPORTER-strongroom-envelope", nil, ExporterSize)
	if err != nil {
		return nil, fmt.Errorf("TLS exporter: %w", err)
	}
	return b, nil
}
