package test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// failing stands for a test that is expected to fail, as a control: it notes what is said, and does not fail.
type failing struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

// expectFailure runs a check that must fail, and gives what it said.
func expectFailure(t *testing.T, check func(testing.TB)) []string {
	t.Helper()
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(f)
	}()
	<-done
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.said) == 0 {
		t.Fatal("the control: what is broken on purpose was not noticed")
	}
	return f.said
}

func (f *failing) note(said string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, said)
}

// Failed is of the control alone.
func (f *failing) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.said) > 0
}

func (f *failing) Error(args ...any)                 { f.note(fmt.Sprint(args...)) }
func (f *failing) Errorf(format string, args ...any) { f.note(fmt.Sprintf(format, args...)) }
func (f *failing) Fatal(args ...any)                 { f.Error(args...); runtime.Goexit() }
func (f *failing) Fatalf(format string, args ...any) { f.Errorf(format, args...); runtime.Goexit() }
func (f *failing) FailNow()                          { f.Fatal("failed") }
