package audit

import (
	"fmt"
	"testing"
	"time"
)

// An outcome shares the fsync of the next intent: changes one after the other cost the log one each, not two.
func TestOutcomesShareTheNextSync(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("first")
	before := s.syncs()
	const changes = 40
	for i := range changes {
		s.put(fmt.Sprint(i))
		time.Sleep(500 * time.Microsecond) // in which the writer would have begun
	}
	if n := s.syncs() - before; n < changes || n > changes+changes/2 { // more than one each, where the machine stalled for longer than an outcome waits
		t.Errorf("%d changes took %d fsyncs", changes, n)
	}
}

// Nobody has to come for an outcome to be written.
func TestOutcomesWaitForNobody(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("x")
	for deadline := time.Now().Add(10 * time.Second); s.Size() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d entries after 10 s, of an intent and its outcome", s.Size())
		}
	}
}

func (s *testServer) syncs() (n uint64) {
	for _, class := range s.Stats().Syncs {
		n += class
	}
	return n
}
