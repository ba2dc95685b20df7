package claims

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/strongroom/strongroom/server/internal/outbound"
	"github.com/strongroom/strongroom/server/internal/roomtest"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/grant"
)

// authority signs the issuers' certificates. The program trusts it as it does what an administrator adds to the system.
var authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "claims")
	if err != nil {
		panic(err)
	}
	authority.key = newECDSA(elliptic.P256())
	authority.certificate = certify(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, Subject: pkix.Name{CommonName: "test"}}, authority.key.Public())
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.certificate.Raw}), 0o600); err != nil {
		panic(err)
	}
	if err := os.Setenv("SSL_CERT_FILE", file); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func newECDSA(curve elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func newRSA(bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// certify signs a certificate by the authority, or by itself while there is none.
func certify(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := authority.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, authority.key)
	if err != nil {
		panic(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return out
}

// ci is an issuer on loopback, over TLS.
type ci struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	paths map[string]http.HandlerFunc

	asked atomic.Int32 // how often for the keys
}

const (
	aboutPath = "/.well-known/openid-configuration"
	keysPath  = "/keys"
)

// newCI starts one that answers as it should.
func newCI(t *testing.T, keys ...jose.JSONWebKey) *ci {
	t.Helper()
	return newCIWith(t, certified(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}), keys...)
}

// certified shows a certificate of the authority.
func certified(template *x509.Certificate) *tls.Config {
	key := newECDSA(elliptic.P256())
	own := certify(template, key.Public())
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{own.Raw}, PrivateKey: key}}}
}

// newCIWith starts one that shows another certificate; nil: one of an authority that nobody trusts, httptest's.
func newCIWith(t *testing.T, shows *tls.Config, keys ...jose.JSONWebKey) *ci {
	t.Helper()
	c := &ci{t: t, keys: keys}
	c.paths = map[string]http.HandlerFunc{
		aboutPath: func(w http.ResponseWriter, _ *http.Request) { c.about(w, c.url, c.url+keysPath) },
		keysPath: func(w http.ResponseWriter, _ *http.Request) {
			c.asked.Add(1)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.write(w, jose.JSONWebKeySet{Keys: c.keys})
		},
	}
	server := httptest.NewUnstartedServer(c)
	server.TLS = shows
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// ServeHTTP answers by the path.
func (c *ci) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	answer := c.paths[r.URL.Path]
	c.mu.Unlock()
	if answer == nil {
		answer = http.NotFound
	}
	answer(w, r)
}

// answerWith sets what some paths answer from now on.
func (c *ci) answerWith(paths map[string]http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.Copy(c.paths, paths)
}

func (c *ci) about(w http.ResponseWriter, issuer, keys string) {
	c.write(w, map[string]any{"issuer": issuer, "jwks_uri": keys})
}

func (c *ci) write(w http.ResponseWriter, document any) {
	_ = json.NewEncoder(w).Encode(document) // who asked may have gone away
}

func (c *ci) setKeys(keys ...jose.JSONWebKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = keys
}

// pair is a key with what the issuer says of it.
func pair(id string, algorithm jose.SignatureAlgorithm, key crypto.Signer) (jose.JSONWebKey, signing) {
	return jose.JSONWebKey{KeyID: id, Key: key.Public(), Use: "sig", Algorithm: string(algorithm)}, signing{id, algorithm, key}
}

// signing is what a token is signed with.
type signing struct {
	id        string
	algorithm jose.SignatureAlgorithm
	key       any
}

// token signs claims.
func (s signing) token(t *testing.T, claims any) string {
	t.Helper()
	text, ok := claims.(string)
	if !ok {
		b, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	options := &jose.SignerOptions{}
	if s.id != "" {
		options.WithHeader("kid", s.id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// site is a verifier with the settings that it goes by.
type site struct {
	*Verifier
	t        *testing.T
	settings *setting.Settings
	clock    *roomtest.Clock
	logged   *strings.Builder // is read when nobody verifies
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// newSite trusts issuers that lie in open.
func newSite(t *testing.T, open netip.Prefix, issuers ...string) *site {
	t.Helper()
	r := roomtest.Open(t)
	settings, err := setting.Open(r.Barrier, r.Log)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, settings: settings, clock: roomtest.NewClock(), logged: new(strings.Builder)}
	s.Verifier = New(settings, outbound.New([]netip.Prefix{open}), slog.New(slog.NewTextHandler(s.logged, nil)), s.clock.Now)
	t.Cleanup(s.client.CloseIdleConnections)
	s.client.Timeout = time.Minute
	s.set(setting.JobIssuers, strings.Join(issuers, ","))
	return s
}

func (s *site) set(name setting.Name, text string) {
	s.t.Helper()
	if _, err := s.settings.Set(s.t.Context(), grant.Person{Name: "alice", Permissions: grant.AllPermissions}, name, text); err != nil {
		s.t.Fatal(err)
	}
}

// claims are those of a good token, but for what more says.
func (s *site) claims(issuer string, more map[string]any) map[string]any {
	all := map[string]any{"iss": issuer, "aud": "strongroom", "sub": "job", "exp": s.clock.At.Add(5 * time.Minute).Unix()}
	for name, value := range more {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}
