// Package fleet knows the hosts: the certificate authority, join tokens,
// enrolled hosts with their labels, and which of them are revoked. It makes the
// grant.Host that other rooms judge and holds no credential.
package fleet

import (
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
	ErrNotFound   = errors.New("no such host")
	ErrRevoked    = errors.New("this host is revoked")
	ErrFrozen     = errors.New("this host is frozen: a replaced certificate of it was used again")
	ErrSuperseded = errors.New("a newer certificate of this host is in use")
	ErrChanged    = errors.New("the host was changed meanwhile: look at it again")
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
	// Frozen is when an older generation was seen after a newer one was in use:
	// two machines have this identity, and which one is genuine only people know.
	// Revoking the host and enrolling anew is the way out.
	Frozen time.Time `json:"frozen,omitzero"`
	// Generation counts certificates with a new key; the first is 1.
	Generation uint64 `json:"generation"`
	// Key is the SHA-256 of the certificate's public key (SPKI).
	Key []byte `json:"key"`
	// Since is when this generation was first used; zero for the first.
	Since time.Time `json:"since,omitzero"`
	// Next is the key of a renewal that has not been used yet.
	Next []byte `json:"next,omitempty"`
	// Restored: the vault was put back from a backup, and the host was not seen
	// since. It may have a certificate that the vault has forgotten.
	Restored bool `json:"restored,omitempty"`
	// Revision counts what people change about a host, from 1 on.
	Revision uint64 `json:"revision,omitempty"`

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

	// changing is held by whoever changes the record of a host, from looking at
	// it until memory has the change, so that two changes never undo each other. Where
	// labels are judged, the vault's lock is taken with this one held, and the log's
	// with both; with the vault's held nobody takes this one.
	changing chan struct{}
	changed  func(host string)

	leasesBy    func(host string) []string
	judgeLabels LabelJudge

	mu    sync.RWMutex
	hosts map[string]Host
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
		issuers:  map[string]*x509.Certificate{},
		changing: make(chan struct{}, 1), changed: func(string) {},
		leasesBy:    func(string) []string { return nil },
		judgeLabels: noJudge,
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
		h.Revision = max(h.Revision, 1) // an earlier version began at 0
		f.hosts[h.ID] = h
		return nil
	})
}

// TrustDomain is the domain of every SPIFFE ID that this server issues.
func (f *Fleet) TrustDomain() string { return f.trustDomain }

// OnChange sets whom to tell of each host some of whose certificates ended: it
// was revoked or frozen, or a newer one is in use. It is told once that is
// durable. OnChange is called before serving starts.
func (f *Fleet) OnChange(tell func(host string)) { f.changed = tell }

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
	err := f.change(ctx, id, func(h *Host) (audit.Entry, error) {
		if !h.Revoked.IsZero() {
			return audit.Entry{}, errUnchanged
		}
		h.Revoked = f.now()
		return audit.Entry{Actor: who.Name, Action: "host.revoke", Outcome: audit.Allowed, Reason: revokeText(*h, f.leasesBy(id))}, nil
	}, nil)
	if errors.Is(err, errUnchanged) {
		return nil
	}
	if err == nil {
		f.changed(id)
	}
	return err
}

// errUnchanged ends a change that turns out not to be one.
var errUnchanged = errors.New("nothing to change")

// change stores what judge makes of a host, with judge's entry in the log. Where
// judge fails nothing is written, there or here. also, where given, is part of
// the transaction.
func (f *Fleet) change(ctx context.Context, id string, judge func(*Host) (audit.Entry, error), also func(*barrier.Tx, Host) error) error {
	if err := f.lockChanges(ctx); err != nil {
		return err
	}
	defer f.unlockChanges()
	h, err := f.Get(id)
	if err != nil {
		return err
	}
	entry, err := judge(&h)
	if err != nil {
		return err
	}
	return f.store(ctx, h, entry, also)
}

// store makes a host durable with its entry and remembers it; changing is held.
func (f *Fleet) store(ctx context.Context, h Host, entry audit.Entry, also func(*barrier.Tx, Host) error) error {
	entry.Target, entry.Host = h.ID, h.ID
	err := f.log.Change(ctx, f.barrier, entry, func(tx *barrier.Tx) error {
		if err := tx.PutJSON(kindHost, h.ID, h); err != nil || also == nil {
			return err
		}
		return also(tx, h)
	})
	if err == nil {
		f.remember(h)
	}
	return err
}

// remember puts a stored host into memory; changing is held.
func (f *Fleet) remember(h Host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.hosts[h.ID] // Seen goes on meanwhile
	h.LastSeen, h.Connected = seen.LastSeen, seen.Connected
	f.hosts[h.ID] = h
}

func (f *Fleet) lockChanges(ctx context.Context) error {
	select {
	case f.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Fleet) unlockChanges() { <-f.changing }
