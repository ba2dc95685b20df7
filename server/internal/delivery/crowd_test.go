package delivery

import (
	"crypto/tls"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom/strongroom/shared/wire"
	"github.com/strongroom/strongroom/test/kit"
)

// helloStart begins a TLS handshake message of 512 bytes and brings four of them.
var helloStart = []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc}

// Connections that say nothing, or stop in the middle of their first message, take no turn of those who mean it, and
// are bounded. It runs alone, since it counts goroutines.
func TestSilentConnectionsHoldUpNobody(t *testing.T) {
	f := open(t)
	a := f.enrol()
	before := runtime.NumGoroutine()
	for n := range 1500 {
		c, err := net.Dial("tcp", f.address)
		f.must(err)
		t.Cleanup(func() { _ = c.Close() })
		if n%3 == 0 {
			_, _ = c.Write(helloStart)
		}
	}
	began := time.Now()
	if _, err := f.dial(a.own).calls.List(t.Context(), &wire.ListRequest{}); err != nil {
		t.Error(err)
	}
	// Where the silent ones had turns they would have had them for handshakeTime, which is all the time that it has.
	if took := time.Since(began); took > kit.Patience {
		t.Errorf("an enrolled host waited %s", took)
	}
	// Without the bound there were 1500 more until handshakeTime is over; those of closed connections end by and by.
	for n := 1301; n > 1300; time.Sleep(5 * time.Millisecond) {
		n = runtime.NumGoroutine() - before
		if n > 1300 && time.Since(began) > handshakeTime-2*time.Second {
			t.Fatalf("%d goroutines more", n)
		}
	}
}

// Handshakes take turns: so many compute at a time, and those that wait for their peer are not among them.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := make(chan struct{}, 2)
		begin := func() (*turnstile, net.Conn) {
			near, peer := net.Pipe()
			t.Cleanup(func() { _ = near.Close(); _ = peer.Close() })
			return &turnstile{Conn: near, turns: turns, late: time.Now().Add(5 * time.Second)}, peer
		}
		var computing, most atomic.Int32
		var all sync.WaitGroup
		for range 10 {
			s, peer := begin()
			idle, _ := begin()
			go func() { _, _ = idle.Read(make([]byte, 1)) }() // its peer says nothing
			go func() { _, _ = peer.Write([]byte("hello")); _, _ = peer.Read(make([]byte, 9)) }()
			all.Go(func() {
				if _, err := s.Read(make([]byte, 9)); err != nil {
					t.Error(err)
				}
				now := computing.Add(1)
				for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
				}
				time.Sleep(5 * time.Millisecond)
				computing.Add(-1)
				if _, err := s.Write([]byte("flight")); err != nil {
					t.Error(err)
				}
				go func() { _, _ = peer.Write([]byte("finished")) }()
				if _, err := s.Read(make([]byte, 9)); err != nil { // it gives its turn back
					t.Error(err)
				}
			})
		}
		all.Wait()
		if m := most.Load(); m != 2 || len(turns) != 0 {
			t.Errorf("%d computed at a time, %d turns are still taken; want 2 and 0", m, len(turns))
		}
		turns <- struct{}{}
		turns <- struct{}{}
		s, peer := begin()
		s.late = time.Now().Add(20 * time.Millisecond)
		go func() { _, _ = peer.Write([]byte("hello")) }()
		if _, err := s.Read(make([]byte, 9)); err == nil {
			t.Error("it did not give up where its turn never came")
		}
	})
}

// A fleet that returns at once is let in host by host, and none is so late that it must come again. It runs alone,
// since it is about time.
func TestReturningFleet(t *testing.T) {
	f := open(t)
	a := f.enrol()
	hosts := []tls.Certificate{a.own}
	for len(hosts) < 20 {
		hosts = append(hosts, f.enrol().own)
	}
	var all sync.WaitGroup
	for n := range 40 { // two connections of each
		all.Go(func() {
			if _, err := f.dial(hosts[n%len(hosts)]).calls.List(t.Context(), &wire.ListRequest{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// More of one host than it can have use for are one too many.
	refused := 0
	for range 30 {
		if _, err := f.dial(a.own).calls.List(t.Context(), &wire.ListRequest{}); err != nil {
			refused++
		}
	}
	if refused != 16 {
		t.Errorf("%d of 32 connections of one host were refused, want 16", refused)
	}
}
