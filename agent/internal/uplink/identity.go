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

	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/identity"
)

// ErrNotEnrolled means that the state folder holds no identity.
var ErrNotEnrolled = errors.New("this host is not enrolled: run strongroom-agent enroll")

// The files of the state folder. Each is written whole or not at all, and the
// key is durable before the server hears of it: a crash at any point leaves
// either a host that can join again with the same key, or one that is enrolled.
const (
	identityFile = "identity.json"
	pendingFile  = "enrolling.json"
)

// Identity is what a host is to its server.
type Identity struct {
	Host        string
	Server      string // HOST:PORT
	TrustDomain string
	Expires     time.Time
	own         tls.Certificate
	roots       *x509.CertPool
}

// stored is the file's form. Version 1 is all there is so far.
type stored struct {
	Format       int      `json:"format"`
	Host         string   `json:"host,omitempty"`
	Server       string   `json:"server,omitempty"`
	TrustDomain  string   `json:"trust_domain,omitempty"`
	Key          []byte   `json:"key"`                    // PKCS #8
	Certificates [][]byte `json:"certificates,omitempty"` // DER, the host's first
	Root         []byte   `json:"root,omitempty"`         // DER
}

const format = 1

// LoadIdentity reads what Enroll stored: ErrNotEnrolled where there is nothing.
func LoadIdentity(state string) (*Identity, error) {
	path := filepath.Join(state, identityFile)
	s, key, err := readStored(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotEnrolled
	}
	if err != nil {
		return nil, err
	}
	damaged := fmt.Errorf("%s is damaged: enrol this host again", path)
	if len(s.Certificates) == 0 {
		return nil, damaged
	}
	leaf, err := x509.ParseCertificate(s.Certificates[0])
	if err != nil {
		return nil, damaged
	}
	root, err := x509.ParseCertificate(s.Root)
	if err != nil || !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, damaged
	}
	id := &Identity{
		Host: s.Host, Server: s.Server, TrustDomain: s.TrustDomain, Expires: leaf.NotAfter,
		own:   tls.Certificate{Certificate: s.Certificates, PrivateKey: key, Leaf: leaf},
		roots: x509.NewCertPool(),
	}
	id.roots.AddCert(root)
	if name, err := identity.NameOf(leaf); err != nil || name.ID != s.Host {
		return nil, damaged
	}
	return id, nil
}

// pendingKey returns the key of an enrolment that was begun, or makes one and
// stores it first.
func pendingKey(state string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(state, pendingFile)
	if _, key, err := readStored(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err
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
