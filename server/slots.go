package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/rest"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/secret"
)

// keeping is what is done with the open vault as a whole. It is made at unseal
// and dropped at seal with its rooms.
type keeping struct {
	*Server
	rooms *rooms
}

func (k *keeping) control() rest.Keeping {
	return rest.Keeping{
		Slots:      func() []seal.Slot { return k.header.Load().Slots() },
		AddSlot:    k.addSlot,
		RemoveSlot: k.removeSlot,
		Rekey:      k.rekey,
		RekeyState: k.rekeyState,
		Backup:     k.backup,
	}
}

// rootKey regains the root key with what a request brought, since none is kept
// while serving. Where that does not open the vault the log says who tried, and
// for what. The caller wipes the key.
func (k *keeping) rootKey(ctx context.Context, who grant.Person, action, target string, with api.Authority) (root *secret.Buffer, err error) {
	open := func() (err error) {
		root, err = openRoot(k.arena, k.header.Load(), with)
		return err
	}
	reason := "wrong shares"
	switch {
	case with.Passphrase != nil:
		reason = "wrong passphrase"
		err = k.oneAtATime(ctx, open)
	case with.KeyFile != nil:
		reason = "wrong key file"
		err = open()
	default:
		err = open()
	}
	if err == nil || ctx.Err() != nil {
		return root, err
	}
	entry := audit.Entry{Actor: who.Name, Action: action, Target: target, Outcome: audit.Refused, Reason: reason}
	if _, logged := k.log.Append(ctx, entry); logged != nil {
		return nil, fmt.Errorf("logging that the root key was not opened: %w", logged)
	}
	return nil, err
}

// openRoot gives the root key, which the caller wipes.
func openRoot(a *secret.Arena, h *seal.Header, with api.Authority) (root *secret.Buffer, err error) {
	switch {
	case with.Passphrase != nil:
		return h.UnsealPassphrase(a, with.Passphrase)
	case with.KeyFile != nil:
		key, err := seal.ParseKeyFile(a, with.KeyFile)
		if err != nil {
			return nil, err
		}
		defer key.Wipe()
		return h.UnsealKeyFile(a, key)
	}
	return openShares(a, h, with.Shares)
}

// errOtherRoot: somebody put another vault's header in the place of ours before
// the server read it.
var errOtherRoot = errors.New("seal.json holds another root key than the open vault's: move DIR/vault away and run strongroom-server restore with the last backup")

// openShares opens with shares that are all there at once.
func openShares(a *secret.Arena, h *seal.Header, lines []*secret.Buffer) (root *secret.Buffer, err error) {
	var shares []*seal.Share
	defer func() { wipeShares(shares) }()
	for _, line := range lines {
		share, err := h.ReadShare(a, line)
		if err != nil {
			return nil, err
		}
		shares = append(shares, share)
	}
	return h.UnsealShares(a, shares)
}

// oneAtATime runs what stretches a passphrase, which takes much memory.
func (s *Server) oneAtATime(ctx context.Context, stretch func() error) error {
	select {
	case s.stretching <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.stretching }()
	return stretch()
}

// addSlot returns the lines of new shares, which the caller wipes.
func (k *keeping) addSlot(ctx context.Context, who grant.Person, with api.Authority, made api.NewSlot) (added seal.Slot, lines []*secret.Buffer, err error) {
	defer secret.Sweep()
	root, err := k.rootKey(ctx, who, "slot.add", "", with)
	if err != nil {
		return added, nil, err
	}
	defer root.Wipe()
	if !k.rooms.barrier.IsRoot(root) {
		return added, nil, errOtherRoot
	}
	k.slotting.Lock()
	defer k.slotting.Unlock()
	var next *seal.Header
	switch h := k.header.Load(); {
	case made.KeyFile != nil:
		var key *secret.Buffer
		if key, err = seal.ParseKeyFile(k.arena, made.KeyFile); err == nil {
			defer key.Wipe()
			next, added, err = h.WithKeyFile(k.arena, root, key, time.Now())
		}
	case made.Passphrase != nil:
		err = k.oneAtATime(ctx, func() (err error) {
			next, added, err = h.WithPassphrase(k.arena, root, made.Passphrase, time.Now())
			return err
		})
	default:
		next, added, lines, err = h.WithShares(k.arena, root, made.Shares, made.Threshold, time.Now())
	}
	if err == nil {
		err = k.replaceHeader(ctx, next, audit.Entry{Actor: who.Name, Action: "slot.add", Target: added.ID, Reason: added.Kind})
	}
	if err != nil {
		wipeLines(lines)
		return added, nil, err
	}
	return added, lines, nil
}

func (k *keeping) removeSlot(ctx context.Context, who grant.Person, with api.Authority, id string) (removed seal.Slot, err error) {
	defer secret.Sweep()
	root, err := k.rootKey(ctx, who, "slot.remove", id, with)
	if err != nil {
		return removed, err
	}
	root.Wipe() // who could regain it may do this
	k.slotting.Lock()
	defer k.slotting.Unlock()
	next, removed, err := k.header.Load().Without(id)
	if err != nil {
		return removed, err
	}
	return removed, k.replaceHeader(ctx, next, audit.Entry{Actor: who.Name, Action: "slot.remove", Target: id, Reason: removed.Kind})
}

// replaceHeader logs what is going to happen, writes the header, and logs how
// that ended. Where the first cannot be logged nothing happens. slotting is held.
func (k *keeping) replaceHeader(ctx context.Context, next *seal.Header, e audit.Entry) error {
	kind := e.Reason
	e.Outcome, e.Reason = audit.Allowed, kind+": begun"
	if _, err := k.log.Append(ctx, e); err != nil {
		return err
	}
	crash.Point("slot.begun")
	path := k.path(sealFile)
	err := next.Save(path)
	crash.Point("slot.written")
	if err != nil {
		// It may be there all the same, and then it is what opens the vault.
		if there, failed := seal.Load(path); failed == nil {
			k.header.Store(there)
		}
		e.Outcome, e.Reason = audit.Failed, kind+": the header could not be written; `slot list` shows what is there"
		_, logged := k.log.Append(ctx, e)
		return errors.Join(err, logged)
	}
	k.header.Store(next)
	e.Reason = kind + ": done"
	_, err = k.log.Append(ctx, e)
	return err
}

func wipeLines(lines []*secret.Buffer) {
	for _, line := range lines {
		line.Wipe()
	}
}
