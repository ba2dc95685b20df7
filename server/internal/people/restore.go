package people

import (
	"context"
	"errors"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
)

// voidAtOnce is how many tokens fit a transaction: one with a name takes two writes.
const voidAtOnce = 40

// VoidTokens ends every session and every API token, of everybody, a few in a transaction that e is logged for. It is
// for a vault that was put back from a backup: what was ended since would be good again.
func VoidTokens(ctx context.Context, b *barrier.Barrier, log *audit.Log, e audit.Entry) (sessions, tokens int, err error) {
	for {
		var found []Token
		err := b.View(func(tx *barrier.Tx) error {
			found = nil
			return barrier.ScanJSON(tx, kindToken, func(t Token) error {
				if found = append(found, t); len(found) == voidAtOnce {
					return errEnough
				}
				return nil
			})
		})
		if err != nil && !errors.Is(err, errEnough) || len(found) == 0 {
			return sessions, tokens, err
		}
		if err := log.Change(ctx, b, e, func(tx *barrier.Tx) error {
			for _, t := range found {
				if err := removeToken(tx, t); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return sessions, tokens, err
		}
		for _, t := range found {
			if t.session() {
				sessions++
			} else {
				tokens++
			}
		}
	}
}

var errEnough = errors.New("enough for one transaction")
