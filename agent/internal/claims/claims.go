// Package claims keeps what the server found in jobs' tokens, so that a job which shows its token with each request
// makes no question of each. It knows a token by its SHA-256 alone, so what was found helps nobody who cannot show the
// token itself. It verifies nothing by itself, and writes nothing to disk.
package claims

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/grant"
)

const (
	// freshTime is for how long the server is not asked again, and so how long it takes at most until a connected agent
	// goes by changed settings.
	freshTime = time.Minute
	// askTime bounds one question to the server, with its repetitions.
	askTime = 15 * time.Second
	// maxTokens is how many are known at a time.
	maxTokens = 1000
)

// Cache is the room. It is safe for concurrent use.
type Cache struct {
	verify  func(ctx context.Context, token string, job grant.Job) (uplink.Verified, error)
	now     func() time.Time
	flights singleflight.Group

	mu    sync.Mutex
	known map[digest]entry
}

type digest [sha256.Size]byte

// entry is what is known of one token. Its times count from before it was asked for.
type entry struct {
	uplink.Verified
	came time.Time
}

// New makes an empty cache. verify asks the server, as uplink.Uplink.Verify does.
func New(verify func(ctx context.Context, token string, job grant.Job) (uplink.Verified, error), now func() time.Time) *Cache {
	return &Cache{verify: verify, now: now, known: map[digest]entry{}}
}

// Of gives the claims of the token that a job shows; none is no token. While the server cannot be asked, what it found
// before counts until the token's end: how long a credential is served then is for its grants to say, as with all that
// may have changed meanwhile. Errors: as uplink.Uplink.Verify has them, and that of ctx.
func (c *Cache) Of(ctx context.Context, token string, job grant.Job) ([]string, error) {
	if token == "" {
		return nil, nil
	}
	of := digest(sha256.Sum256([]byte(token)))
	if claims, ok := c.held(of, freshTime); ok {
		return claims, nil
	}
	answer := c.flights.DoChan(string(of[:]), func() (any, error) {
		// The others must not suffer from the first one's going away.
		shared, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		return c.ask(shared, of, token, job)
	})
	select {
	case r := <-answer:
		claims, _ := r.Val.([]string)
		return claims, r.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask asks the server and notes what it says.
func (c *Cache) ask(ctx context.Context, of digest, token string, job grant.Job) ([]string, error) {
	came := c.now() // what the server counts began later
	found, err := c.verify(ctx, token, job)
	switch {
	case err == nil:
		c.keep(of, entry{found, came})
		return found.Claims, nil
	case errors.Is(err, uplink.ErrNotReachable), errors.Is(err, uplink.ErrUnjudged):
		if claims, ok := c.held(of, maxAge); ok {
			return claims, nil
		}
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, of)
	return nil, err
}

// maxAge is no limit: the token's own end counts.
const maxAge = time.Duration(1<<63 - 1)

// held gives what is known of a token for no longer than limit, and not to have ended.
func (c *Cache) held(of digest, limit time.Duration) ([]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[of]
	age := e.age(c.now())
	if age >= e.Left {
		delete(c.known, of)
	}
	return e.Claims, ok && age < min(limit, e.Left)
}

// age is the longer by the two clocks: the monotonic one stands still while the machine sleeps, and the wall clock can
// be set back.
func (e entry) age(now time.Time) time.Duration {
	return max(now.Sub(e.came), now.Round(0).Sub(e.came.Round(0)))
}

// keep makes room where there is none, first by what has ended.
func (c *Cache) keep(of digest, e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	maps.DeleteFunc(c.known, func(_ digest, e entry) bool { return e.age(now) >= e.Left })
	if _, again := c.known[of]; !again && len(c.known) >= maxTokens {
		var oldest digest
		most := time.Duration(-1)
		for one, e := range c.known {
			if age := e.age(now); age > most {
				oldest, most = one, age
			}
		}
		delete(c.known, oldest)
	}
	c.known[of] = e
}
