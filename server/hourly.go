package server

import (
	"context"
	"time"

	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/server/internal/vault"
)

// hourly is something that is done beside everything else while the vault is
// open: at once, and then each hour until it is closed.
type hourly struct {
	stop  context.CancelFunc
	ended chan struct{}
}

// startHourly begins it. failed is what the server's log says where do fails,
// which is tried again at its next turn.
func (s *Server) startHourly(failed string, do func(context.Context) error) hourly {
	ctx, stop := context.WithCancel(context.Background())
	h := hourly{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(h.ended)
		tick := time.NewTicker(time.Hour)
		defer tick.Stop()
		for {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.Warn(failed+": tried again in an hour", "error", err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return h
}

// close waits until it has stopped.
func (h hourly) close() {
	h.stop()
	<-h.ended
}

// keepUp is all that is done hourly. Of the certificates that the vault makes the
// shortest last a day, and have eight hours left when they are due.
func (s *Server) keepUp(r *rooms, credentials *vault.Vault, settings *setting.Settings) []hourly {
	return []hourly{
		s.startHourly("certificates could not be renewed", func(ctx context.Context) error {
			_, err := credentials.Renew(ctx)
			return err
		}),
		s.startHourly("the audit log could not be pruned", func(ctx context.Context) error {
			return s.prune(ctx, r, settings.Duration(setting.AuditRetention))
		}),
		// So that a server which is never restarted stays reachable.
		s.startHourly("the console's certificate could not be renewed", func(context.Context) error {
			return s.renewConsole(r.fleet)
		}),
	}
}

// prune leaves the log alone while a backup of it is made, which would miss what goes.
func (s *Server) prune(ctx context.Context, r *rooms, age time.Duration) error {
	select {
	case s.backing <- struct{}{}:
		defer func() { <-s.backing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := r.promises.Prune(ctx, r.barrier, age)
	return err
}
