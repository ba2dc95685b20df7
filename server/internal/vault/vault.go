// Package vault holds credentials and grants, and the one gate through which a
// value leaves in the clear: Open takes the caller, the reference and the
// purpose, decides, logs durably and only then decrypts. No other room reads a
// value, and nothing here knows how it travels on.
package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("no such credential")
	ErrNoGrant  = errors.New("no such grant")
	ErrTaken    = errors.New("the name is taken")
	ErrRefused  = errors.New("refused")
)

const (
	kindCredential barrier.Kind = "credential" // credential.Metadata
	kindVersion    barrier.Kind = "version"    // credential.Version
	kindValue      barrier.Kind = "value"      // credential.Value, its encoding
	kindGrant      barrier.Kind = "grant"      // grant.Grant
)

// Vault is the room. It is safe for concurrent use.
type Vault struct {
	barrier   *barrier.Barrier
	log       *audit.Log
	arena     *secret.Arena
	catalogue *catalogue.Catalogue
	now       func() time.Time

	// changing lets one change at a time go from its checks to its commit, so
	// that what was checked still holds when it is stored.
	changing sync.Mutex

	mu          sync.RWMutex
	credentials map[string]credential.Metadata // by ID
	names       map[string]string              // reference → ID
	grants      map[string]grant.Grant         // by ID
	changed     func()
}

// Open loads what is known of credentials and grants, values apart, from an
// unsealed barrier. Values are decrypted into arena.
func Open(b *barrier.Barrier, log *audit.Log, arena *secret.Arena, c *catalogue.Catalogue, now func() time.Time) (*Vault, error) {
	v := &Vault{
		barrier: b, log: log, arena: arena, catalogue: c, now: now,
		credentials: map[string]credential.Metadata{},
		names:       map[string]string{},
		grants:      map[string]grant.Grant{},
		changed:     func() {},
	}
	err := b.View(func(tx *barrier.Tx) error {
		err := barrier.ScanJSON(tx, kindCredential, func(c credential.Metadata) error {
			v.remember(c)
			return nil
		})
		if err != nil {
			return err
		}
		return barrier.ScanJSON(tx, kindGrant, func(g grant.Grant) error {
			v.grants[g.ID] = g
			return nil
		})
	})
	return v, err
}

// OnChange sets whom to tell after each durable change of a credential or a
// grant. It is called before serving starts.
func (v *Vault) OnChange(tell func()) { v.changed = tell }

func (v *Vault) remember(c credential.Metadata) {
	v.credentials[c.ID] = c
	v.names[c.Name] = c.ID
	if c.Default {
		v.names["app:"+c.Application] = c.ID
	}
}

func (v *Vault) forget(c credential.Metadata) {
	delete(v.credentials, c.ID)
	delete(v.names, c.Name)
	if c.Default {
		delete(v.names, "app:"+c.Application)
	}
}

// find resolves a reference without asking who wants to know.
func (v *Vault) find(ref string) (credential.Metadata, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	c, ok := v.credentials[v.names[ref]]
	return c, ok
}

// visible says whether a person may know of a credential at all: an app
// credential is everybody's to see, a custom one its owner's alone.
func visible(who grant.Person, c credential.Metadata) bool {
	return c.Kind == credential.App || c.OwnerID == who.ID
}

// Show returns what is known of a credential and its newest version, without
// secrets.
func (v *Vault) Show(who grant.Person, ref string) (credential.Metadata, credential.Version, error) {
	c, ok := v.find(ref)
	if !ok || !visible(who, c) {
		return credential.Metadata{}, credential.Version{}, ErrNotFound
	}
	var version credential.Version
	err := v.barrier.View(func(tx *barrier.Tx) error {
		var err error
		version, err = getVersion(tx, c.ID, c.Version)
		return err
	})
	return c, version, err
}

// Versions lists the versions of a credential, the newest first.
func (v *Vault) Versions(who grant.Person, ref string) ([]credential.Version, error) {
	c, ok := v.find(ref)
	if !ok || !visible(who, c) {
		return nil, ErrNotFound
	}
	var out []credential.Version
	err := v.barrier.View(func(tx *barrier.Tx) error {
		out = nil
		for n := c.Version; n > 0; n-- {
			version, err := getVersion(tx, c.ID, n)
			if err != nil {
				return err
			}
			out = append(out, version)
		}
		return nil
	})
	return out, err
}

// Filter narrows List; empty members match everything.
type Filter struct {
	Application, Owner, Search string
	Tag                        string // key=value
}

// List returns the credentials that a person may see, by name.
func (v *Vault) List(who grant.Person, f Filter) []credential.Metadata {
	key, value, _ := strings.Cut(f.Tag, "=")
	v.mu.RLock()
	defer v.mu.RUnlock()
	out := []credential.Metadata{}
	for _, c := range v.credentials {
		if visible(who, c) &&
			(f.Application == "" || c.Application == f.Application) &&
			(f.Owner == "" || c.Owner == f.Owner) &&
			(f.Search == "" || strings.Contains(c.Name, f.Search) || strings.Contains(c.Description, f.Search)) &&
			(f.Tag == "" || c.Tags[key] == value) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b credential.Metadata) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func versionID(credentialID string, number uint64) string {
	return fmt.Sprintf("%s.%d", credentialID, number)
}

func getVersion(tx *barrier.Tx, id string, number uint64) (credential.Version, error) {
	var version credential.Version
	err := tx.GetJSON(kindVersion, versionID(id, number), &version)
	return version, err
}

// change stores something with its audit entry and, once it is durable, calls
// done under the lock and tells the room above.
func (v *Vault) change(ctx context.Context, e audit.Entry, store func(*barrier.Tx) error, done func()) error {
	e.Outcome = audit.Allowed
	if err := v.log.Change(ctx, v.barrier, e, store); err != nil {
		if errors.Is(err, barrier.ErrTaken) {
			return fmt.Errorf("%w: %s", ErrTaken, e.Target)
		}
		return err
	}
	v.mu.Lock()
	done()
	v.mu.Unlock()
	v.changed()
	return nil
}
