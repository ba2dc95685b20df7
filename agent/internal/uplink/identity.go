package uplink

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/identity"
)

// ErrNotEnrolled means that the state folder holds no identity.
var ErrNotEnrolled = errors.New("this host is not enrolled: run strongroom-agent enroll")

// The files of the state folder. Each is written whole or not at all, and a key
// is durable before the server hears of it: a crash at any point leaves a host
// that can join or renew again with the same key, or one that has done so.
const (
	identityFile = "identity.json"
	pendingFile  = "enrolling.json"
	nextFile     = "next.json"
)

// Identity is what a host is to its server. It does not change: a renewal makes
// another one.
type Identity struct {
	Host        string
	Servers     []string // HOST:PORT each, the first being where it enrolled
	TrustDomain string
	Expires     time.Time
	own         tls.Certificate
	roots       *x509.CertPool

	state  string // folder
	stored stored
	key    *ecdsa.PrivateKey
	// due is when to renew, by this host's wall clock.
	due time.Time
	// sessions are of this certificate alone: resumed with another in use, they
	// would look like a clone's.
	sessions tls.ClientSessionCache
}

// stored is the file's form. Version 1 is all there is so far.
type stored struct {
	Format       int      `json:"format"`
	Host         string   `json:"host,omitempty"`
	Server       string   `json:"server,omitempty"` // read alone: of when there was one
	Servers      []string `json:"servers,omitempty"`
	TrustDomain  string   `json:"trust_domain,omitempty"`
	Key          []byte   `json:"key"`                    // PKCS #8
	Certificates [][]byte `json:"certificates,omitempty"` // DER, the host's first
	Root         []byte   `json:"root,omitempty"`         // DER
	LogKey       string   `json:"log_key,omitempty"`      // the audit log's verifier string; empty: not told yet
}

const format = 1

// LoadIdentity reads what Enroll or a renewal stored: ErrNotEnrolled where there
// is nothing. A renewal that a crash interrupted is tidied up where it was done,
// and is left to be repeated with the same key where it was not.
func LoadIdentity(state string) (*Identity, error) {
	path := filepath.Join(state, identityFile)
	s, key, err := readStored(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(state, s, key)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: enrol this host again", path)
	}
	id.due = id.halfUsed(id.own.Leaf.NotBefore)
	if next, err := id.pendingNext(); err == nil && next == nil {
		_ = os.Remove(filepath.Join(state, nextFile)) // it is overwritten at the latest
	}
	// The enrolment is done; another one is to make another key.
	if err := os.Remove(filepath.Join(state, pendingFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return id, nil
}

var errIdentity = errors.New("the certificate does not belong to this host and key")

func newIdentity(state string, s stored, key *ecdsa.PrivateKey) (*Identity, error) {
	if len(s.Certificates) == 0 {
		return nil, errIdentity
	}
	leaf, err := x509.ParseCertificate(s.Certificates[0])
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(s.Root)
	if err != nil {
		return nil, err
	}
	if name, err := identity.NameOf(leaf); err != nil || name.ID != s.Host || name.TrustDomain != s.TrustDomain || !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errIdentity
	}
	if len(s.Servers) == 0 && s.Server != "" {
		s.Servers = []string{s.Server}
	}
	s.Server = ""
	id := &Identity{
		Host: s.Host, Servers: s.Servers, TrustDomain: s.TrustDomain, Expires: leaf.NotAfter,
		own:   tls.Certificate{Certificate: s.Certificates, PrivateKey: key, Leaf: leaf},
		roots: x509.NewCertPool(),
		state: state, stored: s, key: key,
		sessions: tls.NewLRUClientSessionCache(2 * max(len(s.Servers), 1)),
	}
	id.roots.AddCert(root)
	return id, id.verify()
}

// verify holds the certificate against the root, at the time when it began: the
// clocks of host and server may differ, and one that has ended can be recovered.
func (id *Identity) verify() error {
	between := x509.NewCertPool()
	for _, der := range id.own.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(cert)
	}
	_, err := id.own.Leaf.Verify(x509.VerifyOptions{
		Roots: id.roots, Intermediates: between, CurrentTime: id.own.Leaf.NotBefore,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err
}

// halfUsed is half a certificate's life after it began, and up to a tenth of it
// later, so that hosts that enrolled together do not renew together.
func (id *Identity) halfUsed(began time.Time) time.Time {
	life := id.own.Leaf.NotAfter.Sub(id.own.Leaf.NotBefore)
	return began.Round(0).Add(life/2 + spread(life/10))
}

// nextKey returns the key of a renewal that was begun, or makes one and stores
// it first.
func (id *Identity) nextKey() (*ecdsa.PrivateKey, error) {
	// A file that cannot be read is no reason to stay with a key that ends: as
	// long as its renewal was not used, the server takes another.
	if key, err := id.pendingNext(); err == nil && key != nil {
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key, writeStored(filepath.Join(id.state, nextFile), stored{Host: id.Host}, key)
}

// pendingNext reads the key of a renewal that was begun: nil where the file is
// left over, from a renewal that was done or from an earlier enrolment.
func (id *Identity) pendingNext() (*ecdsa.PrivateKey, error) {
	s, key, err := readStored(filepath.Join(id.state, nextFile))
	if err != nil || s.Host != id.Host || key.Equal(id.key) {
		return nil, err
	}
	return key, nil
}

// renewed stores the certificate of a next key, in place of the one before, and
// returns the identity that it makes. now is when it was asked for.
func (id *Identity) renewed(certificates [][]byte, key *ecdsa.PrivateKey, now time.Time) (*Identity, error) {
	s := id.stored
	s.Certificates = certificates
	next, err := newIdentity(id.state, s, key)
	if err != nil {
		return nil, fmt.Errorf("the server sent a certificate that is of no use: %w", err)
	}
	// Counted from now, so that a clock that is off neither renews all the time
	// nor too late.
	next.due = next.halfUsed(now)
	if err := writeStored(filepath.Join(id.state, identityFile), s, key); err != nil {
		return nil, err
	}
	crash.Point("renew.replaced")
	_ = os.Remove(filepath.Join(id.state, nextFile)) // LoadIdentity knows it for left over
	return next, nil
}

// pendingKey returns the key of an enrolment that was begun, or makes one and
// stores it first.
func pendingKey(state string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(state, pendingFile)
	if _, key, err := readStored(path); err == nil {
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return key, writeStored(path, stored{}, key)
}

func readStored(path string) (stored, *ecdsa.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stored{}, nil, err
	}
	if info.Size() > 1<<20 {
		return stored{}, nil, fmt.Errorf("%s is too large to be an identity", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return stored{}, nil, err
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return s, nil, fmt.Errorf("%s is damaged: enrol this host again", path)
	}
	if s.Format > format {
		return s, nil, fmt.Errorf("%s has format %d, newer than this agent knows (%d): update the agent", path, s.Format, format)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(s.Key)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok {
		return s, nil, fmt.Errorf("%s is damaged: enrol this host again", path)
	}
	return s, key, nil
}

func writeStored(path string, s stored, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.Format, s.Key = format, der
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.Replace(path, text)
}
