// Package fleet knows the hosts: the certificate authority, join tokens,
// enrolled hosts with their labels, and which of them are revoked. It makes the
// grant.Host that other rooms judge and holds no credential.
package fleet

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/grant"
)

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("no such host")
	ErrRevoked  = errors.New("this host is revoked")
)

const (
	kindHost     barrier.Kind = "host"
	kindSettings barrier.Kind = "fleet"
)

// settings is the one record of kind "fleet".
type settings struct {
	TrustDomain string `json:"trust_domain"`
}

// Host is an enrolled machine.
type Host struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"` // what it called itself when it joined
	Labels   map[string]string `json:"labels,omitempty"`
	OS       string            `json:"os"`
	Version  string            `json:"version"` // of the agent
	Enrolled time.Time         `json:"enrolled"`
	Revoked  time.Time         `json:"revoked,omitzero"`
	// Generation counts certificates with a new key; the first is 1.
	Generation uint64 `json:"generation"`
	// Key is the SHA-256 of the certificate's public key (SPKI).
	Key []byte `json:"key"`

	LastSeen  time.Time `json:"-"`
	Connected bool      `json:"-"`
}

// Fleet is the room. It is safe for concurrent use.
type Fleet struct {
	barrier     *barrier.Barrier
	log         *audit.Log
	now         func() time.Time
	vault       string
	trustDomain string
	issuers     map[string]*x509.Certificate

	mu      sync.RWMutex
	hosts   map[string]Host
	revoked func(host string)
}

// Create makes the certificate authority, as part of making the vault.
func Create(tx *barrier.Tx, trustDomain string, now time.Time) error {
	if err := tx.PutJSON(kindSettings, "settings", settings{TrustDomain: trustDomain}); err != nil {
		return err
	}
	return createIssuers(tx, trustDomain, now)
}

// Open loads issuers and hosts from an unsealed barrier.
func Open(b *barrier.Barrier, log *audit.Log, vault string, now func() time.Time) (*Fleet, error) {
	f := &Fleet{
		barrier: b, log: log, now: now, vault: vault,
		issuers: map[string]*x509.Certificate{}, revoked: func(string) {},
	}
	return f, b.View(f.load)
}

func (f *Fleet) load(tx *barrier.Tx) error {
	var s settings
	if err := tx.GetJSON(kindSettings, "settings", &s); err != nil {
		return err
	}
	f.trustDomain = s.TrustDomain
	for _, name := range []string{issuerRoot, issuerServers, issuerHosts, issuerClients} {
		der, err := tx.Get(kindIssuer, name)
		if err != nil {
			return err
		}
		if f.issuers[name], err = x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("the certificate of issuer %s cannot be read", name)
		}
	}
	f.hosts = map[string]Host{}
	return barrier.ScanJSON(tx, kindHost, func(h Host) error {
		f.hosts[h.ID] = h
		return nil
	})
}

// TrustDomain is the domain of every SPIFFE ID that this server issues.
func (f *Fleet) TrustDomain() string { return f.trustDomain }

// OnRevoke sets whom to tell of each host that is revoked, after it is durable.
// It is called before serving starts.
func (f *Fleet) OnRevoke(tell func(host string)) { f.revoked = tell }

// Admit returns an enrolled host that is not revoked and whose certificate has
// the key it enrolled with: ErrNotFound, ErrRevoked.
func (f *Fleet) Admit(id string, key [32]byte) (grant.Host, error) {
	h, err := f.Get(id)
	if err != nil {
		return grant.Host{}, err
	}
	if !h.Revoked.IsZero() {
		return grant.Host{}, ErrRevoked
	}
	if !bytes.Equal(h.Key, key[:]) {
		return grant.Host{}, ErrNotFound
	}
	return h.Caller(), nil
}

// Caller is the host as the rules know it.
func (h Host) Caller() grant.Host { return grant.Host{ID: h.ID, Name: h.Name, Labels: h.Labels} }

// Get returns one host, revoked or not.
func (f *Fleet) Get(id string) (Host, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	h, ok := f.hosts[id]
	if !ok {
		return Host{}, ErrNotFound
	}
	return h, nil
}

// List returns every host, the oldest first.
func (f *Fleet) List() []Host {
	f.mu.RLock()
	defer f.mu.RUnlock()
	out := make([]Host, 0, len(f.hosts))
	for _, h := range f.hosts {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Host) int {
		if c := a.Enrolled.Compare(b.Enrolled); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// Seen notes that a host is connected, or no longer, in memory alone.
func (f *Fleet) Seen(id string, connected bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h, ok := f.hosts[id]; ok {
		h.LastSeen, h.Connected = f.now(), connected
		f.hosts[id] = h
	}
}

// Revoke ends a host for good. Revoking it again changes nothing.
func (f *Fleet) Revoke(ctx context.Context, who grant.Person, id string) error {
	if h, err := f.Get(id); err != nil || !h.Revoked.IsZero() {
		return err
	}
	entry := audit.Entry{Actor: who.Name, Action: "host.revoke", Target: id, Host: id, Outcome: audit.Allowed}
	var revoked time.Time
	err := f.log.Change(ctx, f.barrier, entry, func(tx *barrier.Tx) error {
		var h Host
		if err := tx.GetJSON(kindHost, id, &h); err != nil {
			return err
		}
		revoked = f.now()
		h.Revoked = revoked
		return tx.PutJSON(kindHost, id, h)
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	h := f.hosts[id]
	h.Revoked = revoked
	f.hosts[id] = h
	f.mu.Unlock()
	f.revoked(id)
	return nil
}
