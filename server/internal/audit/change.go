package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/crash"
)

// The reasons that the log gives itself: fixed texts, since an error's text may hold what must not be logged.
const (
	reasonFailed    = "the change failed, nothing was stored"
	reasonStore     = "the store failed; whether the change is there shows when the vault is unsealed again"
	reasonStored    = "found stored when the vault was unsealed"
	reasonNotStored = "found not stored when the vault was unsealed"
	reasonUnderWay  = "under way"
)

// Refusal is what the function of a Change ends with where it decided that the change is not for who asked: the entry's
// outcome is then Refused, and its reason the error's text, which must be fit for the log.
type Refusal struct{ Err error }

func (r Refusal) Error() string { return r.Err.Error() }

// Unwrap gives the error that was decided on.
func (r Refusal) Unwrap() error { return r.Err }

// clip makes a text fit into an entry.
func clip(text string) string { return text[:min(len(text), MaxText)] }

// Change changes the vault and logs it: e as the intent, durable before anything is stored, then fn in one transaction
// of the barrier, which keeps the log's size and root as well, then how it ended, which Read shows as part of e. Where
// the intent cannot be written fn does not run. fn's error is returned as it is, and nothing is stored. fn may run more
// than once, and must not call the log.
//
// Changes run one after the other, and all changes of an unsealed vault come through here: the intent states the
// vault's next commit number. ctx bounds the waiting, not the storing.
func (l *Log) Change(ctx context.Context, b *barrier.Barrier, e Entry, fn func(*barrier.Tx) error) error {
	e.locate(ctx)
	fn = withAlso(ctx, fn)
	if err := l.lockChanges(ctx); err != nil {
		return err
	}
	defer l.unlockChanges()
	if !e.essential() {
		if err := l.reserve.admit(); err != nil {
			return err
		}
	}
	end := outcome{kind: notCommitted, entry: Entry{Outcome: Failed, Reason: reasonFailed}}
	defer func() { l.conclude(end) }()
	err := l.reserve.retry(&e, func() error { return l.intend(ctx, b.Commit(), &e, &end) })
	if err != nil {
		return err
	}
	var failed error
	err = l.reserve.retry(&e, func() error {
		failed, err = l.update(b, fn)
		return err
	})
	if err != nil {
		var refusal Refusal
		switch {
		case errors.As(failed, &refusal):
			end.entry = Entry{Outcome: Refused, Reason: clip(refusal.Error())}
		case failed == nil && !errors.Is(err, ErrNoSpace):
			end.entry.Reason = reasonStore
		}
		return err
	}
	crash.Point("audit.change.stored")
	end.kind, end.entry = committed, Entry{Outcome: e.Outcome}
	return nil
}

type alsoKey struct{}

// Also has every change that is made under the context store something more, in the same transaction and behind its own.
// An error of also undoes the change, which returns it.
func Also(ctx context.Context, also func(*barrier.Tx) error) context.Context {
	return context.WithValue(ctx, alsoKey{}, also)
}

func withAlso(ctx context.Context, fn func(*barrier.Tx) error) func(*barrier.Tx) error {
	also, ok := ctx.Value(alsoKey{}).(func(*barrier.Tx) error)
	if !ok {
		return fn
	}
	return func(tx *barrier.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return also(tx)
	}
}

// intend writes the intent of a change at a commit of the vault, and says in end where it is.
func (l *Log) intend(ctx context.Context, commit uint64, e *Entry, end *outcome) error {
	before, err := l.repeatOutcomes()
	if err != nil {
		return err
	}
	if end.seq, end.intent, err = l.enqueue(intent, commit, e, before); err != nil {
		return err
	}
	return end.intent.wait(ctx, end.intent.hashed)
}

// update stores what fn does and what the log now is. failed is fn's own error, if that is what it failed with; if there
// was no room, which undoes it all, it fails with ErrNoSpace.
func (l *Log) update(b *barrier.Barrier, fn func(*barrier.Tx) error) (failed, err error) {
	crash.Point("audit.change.intent")
	size, root := l.treeState()
	err = b.Update(func(tx *barrier.Tx) error {
		if failed = fn(tx); failed != nil {
			return failed
		}
		tx.SetLog(size, root)
		return nil
	})
	if failed == nil && noRoom(err) && !errors.Is(err, barrier.ErrUncertain) {
		err = fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return failed, err
}

// outcome is how a change ended.
type outcome struct {
	kind   kind   // committed or notCommitted
	seq    uint64 // of the intent
	intent *batch // which holds the intent; nil: it could not be enqueued
	entry  Entry
	batch  *batch // which holds the outcome; nil: it could not be enqueued
}

// conclude gives the writer an outcome. Nobody waits for it: if it is lost, the next change gives it again, or the next
// Reconcile finds it out. An intent that was not written gets none.
func (l *Log) conclude(o outcome) {
	if o.intent == nil {
		return
	}
	_, o.batch, _ = l.enqueue(o.kind, o.seq, &o.entry, o.intent)
	l.outcomes = append(l.outcomes, o)
}

// repeatOutcomes gives the writer those outcomes again that were lost, and returns the batch of the newest, if one is
// on its way. The next intent goes behind that: an outcome behind a later intent would not be found. So there is never
// more than one to repeat, that of the last intent that was written.
func (l *Log) repeatOutcomes() (newest *batch, err error) {
	l.outcomes = slices.DeleteFunc(l.outcomes, func(o outcome) bool {
		return o.intent.failure() != nil || o.batch != nil && o.batch.written()
	})
	for i := range l.outcomes {
		o := &l.outcomes[i]
		if o.batch == nil || o.batch.failure() != nil {
			if _, o.batch, err = l.enqueue(o.kind, o.seq, &o.entry, o.intent); err != nil {
				return nil, err
			}
		}
		newest = o.batch
	}
	return newest, nil
}

// Reconcile compares the log with an unsealed vault, and must have succeeded before the vault is used. The log must
// still have every entry that the vault has seen, or it fails with ErrLogRolledBack; the vault must be as it was before
// or after the log's last intent, and not before it if the log says that it was stored, or it fails with
// ErrVaultRolledBack. An intent whose outcome is missing gets one. What it finds is logged.
//
// Entries after the vault's last change are in nothing that the vault has seen: that those are missing it cannot tell.
func (l *Log) Reconcile(ctx context.Context, b *barrier.Barrier) error {
	if err := l.lockChanges(ctx); err != nil {
		return err
	}
	defer l.unlockChanges()
	problem := l.compareTree(ctx, b)
	if problem == nil {
		problem = l.compareChange(ctx, b.Commit())
	}
	if problem == nil {
		l.outcomes = nil // the log has one for its last intent
	}
	if !errors.Is(problem, ErrLogRolledBack) && !errors.Is(problem, ErrVaultRolledBack) {
		return problem
	}
	_, err := l.Append(ctx, Entry{Actor: "system", Action: "log.reconcile", Outcome: Failed, Reason: problem.Error()})
	return errors.Join(problem, err)
}

// compareTree demands that the log begins with the entries that the vault has seen.
func (l *Log) compareTree(ctx context.Context, b *barrier.Barrier) error {
	size, root := b.LogState()
	if size == 0 {
		return nil
	}
	have, err := l.rootAt(ctx, size)
	if err != nil {
		return err
	}
	if have != root {
		return fmt.Errorf("%w: its first %d entries are not those that the vault has seen", ErrLogRolledBack, size)
	}
	return nil
}

// compareChange demands that the vault is where the last intent left it.
func (l *Log) compareChange(ctx context.Context, commit uint64) error {
	l.mu.Lock()
	last := l.state.change
	l.mu.Unlock()
	switch {
	case last.intent == 0:
		return nil
	case commit > last.before+1:
		return fmt.Errorf("%w: the vault is at commit %d, the log ends with the change from %d to %d",
			ErrLogRolledBack, commit, last.before, last.before+1)
	case commit < last.before, commit == last.before && last.outcome == committed:
		return fmt.Errorf("%w: the vault is at commit %d, the log ends with the change from %d to %d",
			ErrVaultRolledBack, commit, last.before, last.before+1)
	case commit == last.before && last.outcome == 0:
		return l.settle(ctx, last.intent, notCommitted, Entry{Outcome: Failed, Reason: reasonNotStored})
	case commit == last.before+1 && last.outcome != committed:
		// Also where the outcome says that it failed: a store that fails may find the change on its disk afterwards.
		return l.settle(ctx, last.intent, committed, Entry{Outcome: Allowed, Reason: reasonStored})
	}
	return nil
}

func (l *Log) settle(ctx context.Context, intent uint64, ended kind, e Entry) error {
	crash.Point("audit.reconcile")
	_, b, err := l.enqueue(ended, intent, &e, nil)
	if err != nil {
		return err
	}
	return b.wait(ctx, b.hashed)
}

func (l *Log) lockChanges(ctx context.Context) error {
	select {
	case l.changing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) unlockChanges() { <-l.changing }

func (l *Log) treeState() (size uint64, root [32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.tree.size, l.state.tree.root()
}
