package store_test

import (
	"testing"

	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/server/internal/store/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Conformance(t, func(t *testing.T, dir string) store.Store { return store.OpenChecked(t, dir) })
}

// TestConformanceOfReruns: an engine that runs updates again is a store as well. The tests of the rooms above stand on it.
func TestConformanceOfReruns(t *testing.T) {
	t.Parallel()
	storetest.Conformance(t, func(t *testing.T, dir string) store.Store { return storetest.Rerun(t, store.OpenChecked(t, dir)) })
}
