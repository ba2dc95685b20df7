package storetest

import (
	"errors"
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
)

// Rerun is s, except that it runs the function of every Update twice and throws the first run away, as an engine may
// that finds only at the commit that another was quicker. What a function keeps outside of the transaction is then
// there twice. A benchmark gets s as it is: it measures what the server does.
func Rerun(t testing.TB, s store.Store) store.Store {
	if _, measures := t.(*testing.B); measures {
		return s
	}
	return rerunning{s}
}

type rerunning struct{ store.Store }

var errAgain = errors.New("storetest: once more")

// Update undoes a first run, also one that failed: it may have failed on what another has changed since.
func (r rerunning) Update(fn func(store.Tx) error) error {
	err := r.Store.Update(func(tx store.Tx) error {
		_ = fn(tx)
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return r.Store.Update(fn)
}
