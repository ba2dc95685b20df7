// Package repeat remembers which requests have made something, for people's programs that did not get the answer and
// ask again with the same key: the second time nothing is made. What it remembers is stored in the transaction that makes
// the thing, so a crash leaves both or neither.
//
// It keeps no answer and no secret: of a request a salted hash, and what it made by name. Who may ask for what is
// decided before.
package repeat

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"slices"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// The bounds: how long a key is known, how many a person has (the oldest go), how many of those that go leave the store
// with one change.
const (
	Life      = 24 * time.Hour
	MaxKeys   = 1000
	dropAtOne = 10
)

// MaxKey is the longest key in bytes.
const MaxKey = 64

// ErrKnown means that a request with this key came first, while this one was on its way.
var ErrKnown = errors.New("a request with this idempotency key came first")

const kindRepeat barrier.Kind = "repeat"

// record is what is stored; its name is the person's ID, "/" and the key.
type record struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Person string    `json:"person"`
	Route  string    `json:"route"`
	What   string    `json:"what"`
	Salt   []byte    `json:"salt"`
	Digest []byte    `json:"digest"`
	At     time.Time `json:"at"`
}

// Requests is the room. It is safe for concurrent use.
type Requests struct {
	barrier *barrier.Barrier
	now     func() time.Time

	mu    sync.Mutex
	known []place                  // the oldest first
	under map[string]chan struct{} // requests under way, by name; closed when they end
}

type place struct {
	id, name, person string
	at               time.Time
}

// Open reads what is known from an unsealed barrier.
func Open(b *barrier.Barrier, now func() time.Time) (*Requests, error) {
	r := &Requests{barrier: b, now: now, under: map[string]chan struct{}{}}
	err := b.View(func(tx *barrier.Tx) error {
		r.known = nil
		return barrier.ScanJSON(tx, kindRepeat, func(k record) error {
			r.known = append(r.known, k.place())
			return nil
		})
	})
	slices.SortFunc(r.known, func(a, b place) int { return a.at.Compare(b.at) })
	return r, err
}

func (k record) place() place { return place{k.ID, k.Name, k.Person, k.At} }

// Request is one that makes something.
type Request struct {
	Who   grant.Person
	Key   string
	Route string
	What  string // the name of what it makes
	// Content writes what the request says, secrets in the clear too: only a salted hash of it is kept.
	Content func(hash.Hash)
}

func (q Request) name() string { return q.Who.ID + "/" + q.Key }

func (q Request) digest(salt []byte) []byte {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(q.Route + "\x00"))
	q.Content(h)
	return h.Sum(nil)
}

// Enter waits while another request with this key is under way, so that what Find tells of can be looked up: a change is
// durable before it is in memory. leave is called when the request has ended.
func (r *Requests) Enter(ctx context.Context, q Request) (leave func(), err error) {
	ended := make(chan struct{})
	for {
		r.mu.Lock()
		other := r.under[q.name()]
		if other == nil {
			r.under[q.name()] = ended
		}
		r.mu.Unlock()
		if other == nil {
			return func() { r.leave(q, ended) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *Requests) leave(q Request, ended chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.under, q.name())
	close(ended)
}

// Find tells whether a request with this key made something, what that was, and whether it said the same.
func (r *Requests) Find(q Request) (what string, known, same bool, err error) {
	var k record
	err = r.barrier.View(func(tx *barrier.Tx) error {
		id, err := tx.Lookup(kindRepeat, q.name())
		if err != nil {
			return err
		}
		return tx.GetJSON(kindRepeat, id, &k)
	})
	if errors.Is(err, barrier.ErrNotFound) {
		return "", false, false, nil
	}
	if err != nil || r.ended(k.At) {
		return "", false, false, err
	}
	return k.What, true, k.Route == q.Route && hmac.Equal(k.Digest, q.digest(k.Salt)), nil
}

func (r *Requests) ended(at time.Time) bool { return r.now().Sub(at) >= Life }

// Keep has the change that is made under the context it returns remember the request as well, or fail with ErrKnown
// where one with this key came first. done is called when the change was made.
func (r *Requests) Keep(ctx context.Context, q Request) (with context.Context, done func()) {
	k := record{
		ID: credential.NewID(), Name: q.name(), Person: q.Who.ID, Route: q.Route, What: q.What, Salt: make([]byte, 32), At: r.now(),
	}
	rand.Read(k.Salt) // never fails: it ends the program first
	k.Digest = q.digest(k.Salt)
	drop := r.due(k)
	with = audit.Also(ctx, func(tx *barrier.Tx) error {
		for _, old := range drop {
			if err := forget(tx, old); err != nil {
				return err
			}
		}
		err := tx.Claim(kindRepeat, k.Name, k.ID)
		if id, _ := tx.Lookup(kindRepeat, k.Name); errors.Is(err, barrier.ErrTaken) && id == k.ID {
			return nil // the second change of one request
		}
		if errors.Is(err, barrier.ErrTaken) {
			return ErrKnown
		}
		if err != nil {
			return err
		}
		return tx.PutJSON(kindRepeat, k.ID, k)
	})
	return with, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.known = slices.DeleteFunc(r.known, func(p place) bool { return slices.Contains(drop, p) })
		r.known = append(r.known, k.place())
	}
}

// due lists what is to go: the key itself if its time is over, others whose time is, and the person's oldest if there
// are too many.
func (r *Requests) due(k record) (out []place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := 0
	for _, p := range r.known {
		if p.person == k.Person {
			own++
		}
	}
	for _, p := range r.known {
		excess := p.person == k.Person && own >= MaxKeys
		if ended := r.ended(p.at); ended && p.name == k.Name || (ended || excess) && len(out) < dropAtOne {
			out = append(out, p)
			if p.person == k.Person {
				own--
			}
		}
	}
	return out
}

// forget also takes what another change has dropped already.
func forget(tx *barrier.Tx, p place) error {
	if id, err := tx.Lookup(kindRepeat, p.name); errors.Is(err, barrier.ErrNotFound) || err == nil && id != p.id {
		return nil
	}
	return errors.Join(tx.Release(kindRepeat, p.name), tx.Delete(kindRepeat, p.id))
}
