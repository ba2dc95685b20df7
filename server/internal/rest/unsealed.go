package rest

import (
	"context"
	"sync"
	"time"
)

// unsealed is the time between one unseal and the next seal: its rooms, and how
// many requests are in them.
type unsealed struct {
	rooms  *Rooms
	ending context.Context // ends when requests are to stop
	end    context.CancelFunc

	mu       sync.Mutex
	requests int
	closed   bool
	empty    chan struct{} // closed once closed is set and the last request has left
}

func newUnsealed(rooms *Rooms) *unsealed {
	u := &unsealed{rooms: rooms, empty: make(chan struct{})}
	u.ending, u.end = context.WithCancel(context.Background())
	return u
}

// enter counts a request in. leave is to be called when it is done, any number
// of times; ok is false once the rooms are closed.
func (u *unsealed) enter() (leave func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, false
	}
	u.requests++
	return sync.OnceFunc(u.leave), true
}

func (u *unsealed) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests--
	if u.closed && u.requests == 0 {
		close(u.empty)
	}
}

// close returns how many requests are left in the rooms after it has waited for
// them, canceled them, and waited again.
func (u *unsealed) close(patience, after time.Duration) (left int) {
	defer u.end()
	u.mu.Lock()
	u.closed = true
	if u.requests == 0 {
		close(u.empty)
	}
	u.mu.Unlock()
	for _, wait := range []time.Duration{patience, after} {
		select {
		case <-u.empty:
			return 0
		case <-time.After(wait):
			u.end()
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}
