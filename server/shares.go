package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

// shareLife is how long shares wait for the next one.
const shareLife = 10 * time.Minute

// collection holds the shares that were given until they are enough. They lie in
// the arena, and are wiped when nobody adds one for ten minutes.
type collection struct {
	mu     sync.Mutex
	shares []*seal.Share
	timer  *time.Timer // nil while there are none
}

// add keeps a share, or wipes it where it is in already. With need of them it
// hands all over and keeps none.
func (c *collection) add(share *seal.Share, need int) (in int, enough []*seal.Share, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, have := range c.shares {
		if have.Index() == share.Index() {
			share.Wipe()
			return 0, nil, fmt.Errorf("%w: share %d is in already, %d of %d are; give another one", seal.ErrShare, share.Index(), len(c.shares), need)
		}
	}
	c.shares = append(c.shares, share)
	in = len(c.shares)
	c.stop()
	if in >= need {
		enough, c.shares = c.shares, nil
		return in, enough, nil
	}
	var timer *time.Timer
	timer = time.AfterFunc(shareLife, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.timer == timer { // otherwise a share came in at the last moment
			c.drop()
		}
	})
	c.timer = timer
	return in, nil, nil
}

// reset wipes what is there, and says how many there were.
func (c *collection) reset() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.shares)
	c.stop()
	c.drop()
	return n
}

func (c *collection) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.shares)
}

func (c *collection) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

func (c *collection) drop() {
	wipeShares(c.shares)
	c.shares = nil
	secret.Sweep()
}

func wipeShares(shares []*seal.Share) {
	for _, share := range shares {
		share.Wipe()
	}
}

// unsealWithShare adds a share, and opens the vault with the last one that was
// missing.
func (s *Server) unsealWithShare(ctx context.Context, line *secret.Buffer) (api.Seal, error) {
	share, err := s.header.Load().ReadShare(s.arena, line)
	if err != nil {
		return api.Seal{}, s.refused(ctx, byRequest, "share refused", err)
	}
	if !s.sealed.Load() {
		share.Wipe()
		return api.Seal{}, nil
	}
	index := share.Index()
	need, _ := s.header.Load().Shares()
	in, enough, err := s.shares.add(share, need)
	if err != nil {
		return api.Seal{}, s.refused(ctx, byRequest, "share refused", err)
	}
	defer wipeShares(enough)
	entry := audit.Entry{Actor: byRequest, Action: "share.add", Outcome: audit.Allowed, Reason: fmt.Sprintf("share %d, %d of %d are in", index, in, need)}
	if _, err := s.log.Append(ctx, entry); err != nil {
		return api.Seal{}, err
	}
	if enough == nil {
		return api.Seal{Sealed: true, Shares: &api.Shares{In: in, Need: need}}, nil
	}
	root, err := s.header.Load().UnsealShares(s.arena, enough)
	_, err = s.unseal(ctx, root, err, byRequest, "shares")
	return api.Seal{}, err
}

// resetShares wipes the shares that are in.
func (s *Server) resetShares(ctx context.Context) error {
	n := s.shares.reset()
	if n == 0 {
		return nil
	}
	entry := audit.Entry{Actor: byRequest, Action: "share.reset", Outcome: audit.Allowed, Reason: fmt.Sprintf("%d shares wiped", n)}
	_, err := s.log.Append(ctx, entry)
	return err
}

// collected is what status says of shares: nil where none are wanted.
func (s *Server) collected() *api.Shares {
	need, _ := s.header.Load().Shares()
	if need == 0 || !s.sealed.Load() {
		return nil
	}
	return &api.Shares{In: s.shares.count(), Need: need}
}
