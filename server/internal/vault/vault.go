// Package vault holds credentials and grants, and the one gate through which a
// value leaves in the clear: Open takes the caller, the reference and the
// purpose, decides, logs durably and only then decrypts. No other room reads a
// value, and nothing here knows how it travels on.
package vault

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/catalogue"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// Errors that callers tell apart.
var (
	ErrNotFound  = errors.New("no such credential")
	ErrNoGrant   = errors.New("no such grant")
	ErrNoRequest = errors.New("no such request")
	ErrTaken     = errors.New("the name is taken")
	ErrRefused   = errors.New("refused")
	ErrChanged   = errors.New("it was changed meanwhile: look at it again")
	ErrInUse     = errors.New("still in use")
)

const (
	kindCredential barrier.Kind = "credential" // credential.Metadata
	kindVersion    barrier.Kind = "version"    // credential.Version
	kindValue      barrier.Kind = "value"      // credential.Value, its encoding
	kindGrant      barrier.Kind = "grant"      // grant.Grant; its names are claimed as such
	kindRequest    barrier.Kind = "request"    // Request
	kindTransfer   barrier.Kind = "transfer"   // transfer
	kindRetired    barrier.Kind = "retired"    // retired
	kindCounter    barrier.Kind = "counter"    // a number

	kindApplication barrier.Kind = "application" // definition; its names are claimed as such

	counterRequests     = "requests"     // the highest number that a request had
	counterApplications = "applications" // the highest revision that an imported application had
)

// Vault is the room. It is safe for concurrent use.
type Vault struct {
	barrier   *barrier.Barrier
	log       *audit.Log
	arena     *secret.Arena
	catalogue *applications
	settings  *setting.Settings
	now       func() time.Time
	authority *fleet.Fleet // nil: no certificates are made

	// changing lets one change at a time go from its checks to its commit, so
	// that what was checked still holds when it is stored. HoldGrants has the order
	// in which it is taken with the fleet's lock and the log's.
	changing sync.Mutex

	mu          sync.RWMutex
	credentials index
	grants      grantIndex
	requests    map[string]Request // by ID
	lastRequest uint64             // the highest number that one had
	changed     func()
}

// Open loads what is known of credentials and grants, values apart, from an
// unsealed barrier. Values are decrypted into arena.
func Open(b *barrier.Barrier, log *audit.Log, arena *secret.Arena, c *catalogue.Catalogue, settings *setting.Settings, now func() time.Time) (*Vault, error) {
	v := &Vault{
		barrier: b, log: log, arena: arena, catalogue: newApplications(c), settings: settings, now: now,
		grants:   newGrantIndex(),
		requests: map[string]Request{},
		changed:  func() {},
	}
	err := b.View(func(tx *barrier.Tx) error {
		if err := v.catalogue.load(tx); err != nil {
			return err
		}
		var all []*credential.Metadata
		err := barrier.ScanJSON(tx, kindCredential, func(c credential.Metadata) error {
			all = append(all, &c)
			return nil
		})
		if err != nil {
			return err
		}
		v.credentials = newIndex(all)
		err = barrier.ScanJSON(tx, kindRequest, func(r Request) error {
			v.requests[r.ID] = r
			return nil
		})
		if err != nil {
			return err
		}
		if err := tx.GetJSON(kindCounter, counterRequests, &v.lastRequest); err != nil && !errors.Is(err, barrier.ErrNotFound) {
			return err
		}
		return barrier.ScanJSON(tx, kindGrant, func(g grant.Grant) error {
			v.grants.put(g)
			return nil
		})
	})
	return v, err
}

// OnChange sets whom to tell after each durable change of a credential or a
// grant. It is called before serving starts.
func (v *Vault) OnChange(tell func()) { v.changed = tell }

// find resolves a reference without asking who wants to know.
func (v *Vault) find(ref string) (credential.Metadata, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if c := v.credentials.refs[ref]; c != nil {
		return *c, true
	}
	return credential.Metadata{}, false
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
	err := v.log.Change(ctx, v.barrier, e, func(tx *barrier.Tx) error {
		err := store(tx)
		if errors.Is(err, barrier.ErrTaken) {
			return audit.Refusal{Err: ErrTaken}
		}
		return err
	})
	if errors.Is(err, ErrTaken) {
		return fmt.Errorf("%w: %s", ErrTaken, e.Target)
	}
	if err != nil {
		return err
	}
	crash.Point("vault.stored")
	v.mu.Lock()
	done()
	v.mu.Unlock()
	v.changed()
	return nil
}
