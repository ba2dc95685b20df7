package fleet

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
)

// restoreAtOnce is how many records a transaction changes.
const restoreAtOnce = 80

var errEnough = errors.New("enough for one transaction")

// Restore makes a fleet of what a backup was put back to: every join token ends, and every host may show a certificate
// once that it got after the backup was made, since hosts went on renewing theirs. A host that was revoked or frozen
// then stays so. It changes a few in a transaction, that e is logged for, before the fleet is opened.
func Restore(ctx context.Context, b *barrier.Barrier, log *audit.Log, e audit.Entry) (hosts, joinTokens int, err error) {
	hosts, err = inSteps(ctx, b, log, e, kindHost, func(h Host) bool { return !h.Restored }, func(tx *barrier.Tx, h Host) error {
		h.Restored = true
		return tx.PutJSON(kindHost, h.ID, h)
	})
	if err != nil {
		return hosts, 0, err
	}
	joinTokens, err = inSteps(ctx, b, log, e, kindJoinToken, func(joinToken) bool { return true }, func(tx *barrier.Tx, t joinToken) error {
		return tx.Delete(kindJoinToken, t.ID)
	})
	return hosts, joinTokens, err
}

// inSteps changes every record of a kind that is wanted, which it must not be any more then.
func inSteps[T any](ctx context.Context, b *barrier.Barrier, log *audit.Log, e audit.Entry, kind barrier.Kind,
	wanted func(T) bool, change func(*barrier.Tx, T) error) (changed int, err error) {
	for {
		var found []T
		err := b.View(func(tx *barrier.Tx) error {
			found = nil
			return barrier.ScanJSON(tx, kind, func(record T) error {
				if wanted(record) {
					found = append(found, record)
				}
				if len(found) == restoreAtOnce {
					return errEnough
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, errEnough) || len(found) == 0 {
			return changed, err
		}
		if err := log.Change(ctx, b, e, func(tx *barrier.Tx) error {
			for _, record := range found {
				if err := change(tx, record); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return changed, err
		}
		changed += len(found)
	}
}
