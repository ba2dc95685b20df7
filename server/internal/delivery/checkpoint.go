package delivery

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/wire"
)

// answerCheckpoint is what welcome says of the log to a host that saw text last.
// The host judges; what it shows of a log that was put back, the log notes.
func (d *Delivery) answerCheckpoint(ctx context.Context, s *session, text []byte) (*wire.Checkpoint, error) {
	latest, proof, err := d.checkpoints.Since(ctx, s.host, text)
	if err != nil {
		return nil, err
	}
	s.told = latest.Size
	return fromSigned(latest, proof), nil
}

// checkpointLoop tells every host of each new checkpoint, so that as many as
// possible have seen as much as possible of the log.
func (d *Delivery) checkpointLoop() {
	for {
		select {
		case <-d.grown:
		case <-d.done:
			return
		}
		for _, s := range d.all() {
			if err := d.pushCheckpoint(s); err != nil {
				d.log.Error("a checkpoint was not sent", "host", s.host, "error", err)
			}
		}
	}
}

// pushCheckpoint is called by the loop alone once the session has entered.
func (d *Delivery) pushCheckpoint(s *session) error {
	latest, proof, err := d.checkpoints.From(context.Background(), s.told)
	if err != nil || latest.Size == s.told {
		return err
	}
	s.told = latest.Size
	s.push(&wire.WatchEvent{Event: &wire.WatchEvent_Checkpoint{Checkpoint: fromSigned(latest, proof)}})
	return nil
}

func fromSigned(s audit.Signed, proof []tlog.Hash) *wire.Checkpoint {
	return &wire.Checkpoint{Text: s.Text, Consistency: checkpoint.Raw(proof)}
}
