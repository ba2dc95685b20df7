package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/crash"
	"github.com/strongroom/strongroom/shared/grant"
)

// rotation is the rotation of the keyring that runs beside everything else, one
// at a time. Sealing stops it between two transactions, and the next unsealing
// goes on with it.
type rotation struct {
	mu    sync.Mutex
	state api.Rekey
	stop  context.CancelFunc // nil: none was begun
	ended chan struct{}
}

// close stops it and waits until it has.
func (r *rotation) close() {
	r.mu.Lock()
	stop, ended := r.stop, r.ended
	r.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// rekey begins a rotation, or goes on with one that was cut short. Where one runs
// it says how far that is.
func (k *keeping) rekey(ctx context.Context, who grant.Person) (api.Rekey, error) {
	if err := k.startRotation(ctx, who.Name); err != nil {
		return api.Rekey{}, err
	}
	return k.rekeyState(), nil
}

// resumeRotation is for the time after unsealing.
func (k *keeping) resumeRotation(ctx context.Context) error {
	if underWay, _, _ := k.rooms.barrier.Rekeying(); !underWay {
		return nil
	}
	return k.startRotation(ctx, "system")
}

func (k *keeping) rekeyState() api.Rekey {
	r := &k.rooms.rotation
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.state
	_, out.Records, out.Left = k.rooms.barrier.Rekeying()
	return out
}

func (k *keeping) startRotation(ctx context.Context, actor string) error {
	r, b := &k.rooms.rotation, k.rooms.barrier
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Running {
		return nil
	}
	resumed, _, _ := b.Rekeying()
	if !resumed {
		entry := audit.Entry{Actor: actor, Action: "vault.rekey", Outcome: audit.Allowed, Reason: "new keys"}
		if err := k.log.Change(ctx, b, entry, (*barrier.Tx).BeginRekey); err != nil {
			return err
		}
		crash.Point("rekey.begun")
	}
	now := time.Now()
	r.state = api.Rekey{Running: true, Resumed: resumed, Started: &now}
	ctx, r.stop = context.WithCancel(context.Background())
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		err := k.rotate(ctx, actor)
		if err != nil && ctx.Err() == nil {
			k.config.Log.Error("the rotation of the keys stopped", "error", err)
		}
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.state.Running = false; err == nil {
			r.state.Finished = &now
		} else {
			r.state.Problem = "it stopped before its end, and the server's log says why: strongroom rekey goes on with it"
		}
	}()
	return nil
}

// rotate brings every record under the new keys, a few in a transaction, and
// then drops the old ones. What is written meanwhile is under the new ones at
// once, so one round through the records is enough.
func (k *keeping) rotate(ctx context.Context, actor string) error {
	entry := audit.Entry{Actor: actor, Action: "vault.rekey", Outcome: audit.Allowed}
	b, from := k.rooms.barrier, ""
	for first := true; first || from != ""; first = false {
		_, all, left := b.Rekeying()
		entry.Reason = fmt.Sprintf("%d of %d records are under old keys: bringing some over", left, all)
		var next string
		err := k.log.Change(ctx, b, entry, func(tx *barrier.Tx) (err error) {
			next, err = tx.Rekey(from)
			return err
		})
		if err != nil {
			return err
		}
		from = next
		crash.Point("rekey.step")
	}
	entry.Reason = "old keys dropped"
	err := k.log.Change(ctx, b, entry, (*barrier.Tx).EndRekey)
	crash.Point("rekey.ended")
	if errors.Is(err, barrier.ErrRekeying) {
		return fmt.Errorf("after all records were seen: %w", err)
	}
	return err
}
