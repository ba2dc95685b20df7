package audit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// An outcome shares the fsync of the next intent: changes one after the other cost the log one each, not two.
func TestOutcomesShareTheNextSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.limit, s.room = segmentLimit, segmentLimit // no batch is shared between two
		s.put("first")
		before := s.syncs()
		const changes = 40
		for i := range changes {
			s.put(fmt.Sprint(i))
			time.Sleep(outcomeDelay / 4) // in which the writer would have begun
		}
		if n := s.syncs() - before; n != changes {
			t.Errorf("%d changes took %d fsyncs", changes, n)
		}
	})
}

// Nobody has to come for an outcome to be written.
func TestOutcomesWaitForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.put("x")
		if n := s.Size(); n != 1 {
			t.Errorf("%d entries at once, of an intent and its outcome", n)
		}
		time.Sleep(outcomeDelay)
		synctest.Wait()
		if n := s.Size(); n != 2 {
			t.Errorf("%d entries afterwards, of an intent and its outcome", n)
		}
	})
}

func (s *testServer) syncs() (n uint64) {
	for _, class := range s.Stats().Syncs {
		n += class
	}
	return n
}
