package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/claims"
	"github.com/strongroom/strongroom/server/internal/delivery"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/outbound"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/repeat"
	"github.com/strongroom/strongroom/server/internal/rest"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/secret"
)

// rooms is what exists between unseal and seal.
type rooms struct {
	barrier  *barrier.Barrier
	fleet    *fleet.Fleet
	keys     audit.Keys
	promises *audit.Checkpoints
	delivery *delivery.Delivery
	rotation rotation
	hourly   []hourly
	agents   net.Listener
}

// byRequest is who unseals without a token.
const byRequest = "unseal request"

// unsealAtStart opens the vault with the passphrase where one was given, or with
// the key file where it is there, and returns the agents' address. Without both
// the server serves sealed.
func (s *Server) unsealAtStart(ctx context.Context) (agents string, err error) {
	if s.config.Passphrase != nil {
		defer s.config.Passphrase.Wipe()
		agents, err = s.unsealWithPassphrase(ctx, s.config.Passphrase, "system")
		if errors.Is(err, seal.ErrWrongKey) {
			return "", fmt.Errorf("%w: --passphrase is that of another vault, or mistyped", err)
		}
		return agents, err
	}
	if !s.header.Load().HasKeyFile() && s.config.KeyFile == "" {
		s.config.Log.Warn("serving sealed: this vault opens with " + s.header.Load().OpensWith())
		return "", nil
	}
	key, err := seal.ReadKeyFile(s.arena, s.keyFile())
	if errors.Is(err, os.ErrNotExist) {
		s.config.Log.Warn("serving sealed: there is no key file", "path", s.keyFile())
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer key.Wipe()
	agents, err = s.unsealWithKey(ctx, key, "system")
	if errors.Is(err, seal.ErrWrongKey) {
		return "", fmt.Errorf("%w: %s is the key file of another vault; name the right one with --key-file", err, s.keyFile())
	}
	return agents, err
}

// unsealByRequest is what people's unseal does.
func (s *Server) unsealByRequest(ctx context.Context, with rest.Unsealing) (api.Seal, error) {
	if with.Reset {
		if err := s.resetShares(ctx); err != nil {
			return api.Seal{}, err
		}
	}
	var err error
	switch {
	case with.Share != nil:
		return s.unsealWithShare(ctx, with.Share)
	case with.Passphrase != nil:
		_, err = s.unsealWithPassphrase(ctx, with.Passphrase, byRequest)
	case with.KeyFile != nil:
		var key *secret.Buffer
		if key, err = seal.ParseKeyFile(s.arena, with.KeyFile); err == nil {
			defer key.Wipe()
			_, err = s.unsealWithKey(ctx, key, byRequest)
		}
	}
	if err != nil {
		return api.Seal{}, err
	}
	return api.Seal{Sealed: s.sealed.Load(), Shares: s.collected()}, nil
}

func (s *Server) unsealWithKey(ctx context.Context, key *secret.Buffer, actor string) (agents string, err error) {
	root, err := s.header.Load().UnsealKeyFile(s.arena, key)
	return s.unseal(ctx, root, err, actor, "key file")
}

// unsealWithPassphrase tries one at a time, since each takes much memory. Who
// waits does not hold up sealing.
func (s *Server) unsealWithPassphrase(ctx context.Context, passphrase *secret.Buffer, actor string) (agents string, err error) {
	var root *secret.Buffer
	err = s.oneAtATime(ctx, func() (err error) {
		root, err = s.header.Load().UnsealPassphrase(s.arena, passphrase)
		return err
	})
	if err != nil && ctx.Err() != nil {
		return "", err
	}
	return s.unseal(ctx, root, err, actor, "passphrase")
}

// refused writes into the log why nothing was opened, and returns why.
func (s *Server) refused(ctx context.Context, actor, reason string, why error) error {
	entry := audit.Entry{Actor: actor, Action: "vault.unseal", Outcome: audit.Refused, Reason: reason}
	if _, err := s.log.Append(ctx, entry); err != nil {
		return fmt.Errorf("logging that an unseal was refused: %w", err)
	}
	return why
}

// unseal opens the vault with the root key that was found by some means, or logs
// that none was, wipes it, and returns the agents' address. The key is looked for
// also where the vault is open: who asks wants to know whether what he has is
// right.
func (s *Server) unseal(ctx context.Context, root *secret.Buffer, notFound error, actor, means string) (agents string, err error) {
	if notFound != nil {
		return "", s.refused(ctx, actor, "wrong "+means, notFound)
	}
	defer secret.Sweep()
	defer root.Wipe()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms != nil {
		return s.rooms.agents.Addr().String(), nil
	}
	r := &rooms{}
	if err := s.build(ctx, r, root, audit.Entry{Actor: actor, Action: "vault.unseal", Outcome: audit.Allowed, Reason: "by the " + means}); err != nil {
		r.drop()
		return "", err
	}
	s.rooms = r
	s.sealed.Store(false)
	s.shares.reset() // what was collected while another way opened it
	return r.agents.Addr().String(), nil
}

// build opens the rooms from the ground up. What it has opened is in r, also
// where it fails.
func (s *Server) build(ctx context.Context, r *rooms, root *secret.Buffer, entry audit.Entry) (err error) {
	if r.barrier, err = barrier.Open(s.db, s.arena, root, s.header.Load().Vault()); err != nil {
		return err
	}
	if err = s.log.Reconcile(ctx, r.barrier); err != nil {
		return err
	}
	if r.keys, err = getAuditKeys(r.barrier); err != nil {
		return err
	}
	if _, err = s.log.Append(ctx, entry); err != nil {
		return err
	}
	if r.promises, err = s.log.Checkpoints(ctx, r.keys, r.barrier.Epoch()); err != nil {
		return err
	}
	s.promises.Store(r.promises)
	for _, warning := range r.promises.Warnings() {
		s.config.Log.Warn(warning)
	}
	if r.fleet, err = fleet.Open(r.barrier, s.log, s.header.Load().Vault(), time.Now); err != nil {
		return err
	}
	settings, err := setting.Open(r.barrier, s.log)
	if err != nil {
		return err
	}
	credentials, err := vault.Open(r.barrier, s.log, s.arena, s.catalogue, settings, time.Now)
	if err != nil {
		return err
	}
	credentials.IssueWith(r.fleet)
	persons := people.New(r.barrier, s.log, settings, time.Now)
	r.fleet.JudgeJoins(judgeJoins(persons, credentials))
	s.credentials.Store(credentials)
	if err := credentials.Tidy(ctx); err != nil {
		return err
	}
	if err := s.renewConsole(r.fleet); err != nil {
		return err
	}
	if r.agents, err = net.Listen("tcp", s.config.Agents); err != nil {
		return fmt.Errorf("--agents: %w", err)
	}
	tokens := claims.New(settings, outbound.New(s.config.OutboundAllow), s.config.Log, time.Now)
	r.delivery = delivery.New(r.fleet, credentials, tokens, s.log, r.promises, s.arena, s.config.Log, time.Now)
	go func() {
		if err := r.delivery.Serve(r.agents); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.fail <- err
		}
	}()
	r.hourly = s.keepUp(r, credentials, settings)
	repeats, err := repeat.Open(r.barrier, time.Now)
	if err != nil {
		return err
	}
	keep := &keeping{s, r}
	if err := keep.resumeRotation(ctx); err != nil {
		return err
	}
	s.rest.Open(&rest.Rooms{
		Settings: settings, People: persons, Fleet: r.fleet, Vault: credentials,
		Audit: s.log, AuditKeys: r.keys, Checkpoints: r.promises, Delivery: r.delivery, Keeping: keep.control(), Repeats: repeats,
		AgentsAddress: agentsAddress(r.agents.Addr(), s.console.Load()),
	})
	return nil
}

// judgeJoins judges the labels of hosts that join by the people and the grants that there are.
func judgeJoins(persons *people.People, credentials *vault.Vault) fleet.LabelJudge {
	return func(maker string, labels map[string]string, store func(widened string) error) error {
		return credentials.HoldGrants(func() error {
			who, err := persons.Person(maker)
			if err != nil {
				return err
			}
			return store(credentials.WidenedBy(who, labels))
		})
	}
}

// drop seals: requests first, then agents, then the keys.
func (s *Server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms == nil {
		return
	}
	s.sealed.Store(true)
	s.rest.Close()
	s.credentials.Store(nil)
	s.rooms.drop()
	s.rooms = nil
	secret.Sweep()
}

func (r *rooms) drop() {
	r.rotation.close()
	for _, h := range r.hourly {
		h.close()
	}
	if r.delivery != nil {
		r.delivery.Stop()
	}
	if r.agents != nil {
		r.agents.Close()
	}
	if r.promises != nil {
		r.promises.Close()
	}
	r.keys.Wipe()
	if r.barrier != nil {
		r.barrier.Close()
	}
}
