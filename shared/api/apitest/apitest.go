// Package apitest is the other end for tests of the API's clients: a real TLS
// listener with a certificate chain of its own, and the server's half of
// envelopes. It knows no route but GET /v1/envelope, and no rule; only tests
// import it.
package apitest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

// Chain describes the certificates that a server shows. The zero value is a
// good one for 127.0.0.1 and localhost.
type Chain struct {
	DNS        []string
	IPs        []net.IP
	Usage      x509.ExtKeyUsage // zero: server authentication
	NotAfter   time.Time        // zero: in an hour
	WithoutCA  bool             // the root is not sent along
	Foreign    bool             // the leaf is of another CA than the one that is sent along
	TLSVersion uint16           // zero: 1.3
}

// Server is a running listener.
type Server struct {
	URL           string
	CAFingerprint string
	Arena         *secret.Arena

	lose atomic.Int32
}

// LoseConnections closes the connection behind each of the next n envelopes, so
// that the write comes over another one.
func (s *Server) LoseConnections(n int32) { s.lose.Store(n) }

type conn struct {
	mu        sync.Mutex
	recipient *envelope.Recipient
}

type connKey struct{}

// Start serves h until the test ends. GET /v1/envelope is answered here.
func Start(tb testing.TB, chain Chain, h http.Handler) *Server {
	tb.Helper()
	arena, err := secret.NewArena(2 << 20)
	if err != nil {
		tb.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	config, fingerprint := chain.make(tb)
	s := &Server{URL: "https://" + listener.Addr().String(), CAFingerprint: fingerprint, Arena: arena}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/envelope", s.issue)
	mux.Handle("/", h)
	server := &http.Server{
		Handler:           mux,
		TLSConfig:         config,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, new(conn))
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(listener, "", "")
	}()
	tb.Cleanup(func() {
		_ = server.Close()
		<-done
		_ = arena.Close()
	})
	return s
}

// issue binds a new recipient to the connection.
func (s *Server) issue(w http.ResponseWriter, r *http.Request) {
	recipient, err := envelope.NewRecipient()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	c := r.Context().Value(connKey{}).(*conn)
	c.mu.Lock()
	c.recipient = recipient
	c.mu.Unlock()
	if s.lose.Add(-1) >= 0 {
		w.Header().Set("Connection", "close")
	}
	Answer(w, http.StatusOK, api.Envelope{PublicKey: recipient.PublicKey()})
}

// Open opens the envelopes of one request. Without a recipient on its
// connection it answers the request with the problem and gives false.
func (s *Server) Open(w http.ResponseWriter, r *http.Request, in api.Sealed, credential string, sealed map[string][]byte) (map[string]string, bool) {
	c := r.Context().Value(connKey{}).(*conn)
	c.mu.Lock()
	recipient := c.recipient
	c.recipient = nil
	c.mu.Unlock()
	if recipient == nil {
		Refuse(w, http.StatusConflict, api.CodeEnvelope, "no envelope was asked for on this connection")
		return nil, false
	}
	plain := map[string]string{}
	exporter, err := envelope.Exporter(r.TLS)
	if err == nil {
		var opener *envelope.Opener
		if opener, err = recipient.Opener(s.Arena, in.Enc, envelope.ToServer, exporter); err == nil {
			defer opener.Wipe()
			for field, b := range sealed {
				var value *secret.Buffer
				if value, err = opener.Open(b, envelope.Context{Request: in.Request, Credential: credential, Field: field}); err != nil {
					break
				}
				plain[field] = string(value.Reveal())
				value.Wipe()
			}
		}
	}
	if err != nil {
		Refuse(w, http.StatusBadRequest, api.CodeUsage, "the envelope does not open")
		return nil, false
	}
	return plain, true
}

// Seal puts values into the envelopes of a reveal.
func (s *Server) Seal(r *http.Request, in api.RevealRequest, ref string, version uint64, values map[string]string) (api.RevealAnswer, error) {
	exporter, err := envelope.Exporter(r.TLS)
	if err != nil {
		return api.RevealAnswer{}, err
	}
	sealer, enc, err := envelope.NewSealer(s.Arena, in.PublicKey, envelope.ToClient, exporter)
	if err != nil {
		return api.RevealAnswer{}, err
	}
	defer sealer.Wipe()
	out := api.RevealAnswer{Enc: enc, Version: version, Secrets: map[string][]byte{}}
	for field, value := range values {
		where := envelope.Context{Request: in.Request, Credential: ref, Version: version, Field: field}
		if out.Secrets[field], err = sealer.Seal([]byte(value), where); err != nil {
			return api.RevealAnswer{}, err
		}
	}
	return out, nil
}

// Answer writes a JSON body.
func Answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// Refuse writes a problem.
func Refuse(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code})
}

func (c Chain) make(tb testing.TB) (*tls.Config, string) {
	tb.Helper()
	root, rootKey := authority(tb)
	signer, signerKey := root, rootKey
	if c.Foreign {
		signer, signerKey = authority(tb)
	}
	if c.DNS == nil && c.IPs == nil {
		c.DNS, c.IPs = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	if c.Usage == 0 {
		c.Usage = x509.ExtKeyUsageServerAuth
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	leafKey := newKey(tb)
	leaf := sign(tb, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: c.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{c.Usage},
		DNSNames: c.DNS, IPAddresses: c.IPs,
	}, signer, leafKey, signerKey)
	shown := [][]byte{leaf.Raw}
	if !c.WithoutCA {
		shown = append(shown, root.Raw)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		MaxVersion:   c.TLSVersion,
		Certificates: []tls.Certificate{{Certificate: shown, PrivateKey: leafKey}},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	return config, identity.Fingerprint(root)
}

func authority(tb testing.TB) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key := newKey(tb)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(2 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return sign(tb, template, template, key, key), key
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sign(tb testing.TB, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}
