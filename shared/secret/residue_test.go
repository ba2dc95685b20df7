//go:build goexperiment.runtimesecret && linux && (amd64 || arm64) && !race

package secret

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestNoResidueOutsideTheArena uses a key and a value in every way and then looks for any 8 bytes of them, and of the
// key's masked halves, in all writable memory of this process but the arena.
func TestNoResidueOutsideTheArena(t *testing.T) {
	a := testArena(t, 64<<10)
	key, err := a.Random(KeySize)
	if err != nil {
		t.Fatal(err)
	}
	value, err := a.Random(64)
	if err != nil {
		t.Fatal(err)
	}
	useInEveryWay(t, a, key, value)

	wanted := pieces{}
	wanted.add("key", key, 0)
	wanted.add("inner half of the key", key, 0x36)
	wanted.add("outer half of the key", key, 0x5c)
	wanted.add("value", value, 0)
	if found := left(t, a, wanted); len(found) > 0 {
		t.Errorf("found outside the arena: %q", found)
	}

	// Control: a copy of 8 bytes in the heap is found.
	leak := bytes.Clone(value.Reveal()[24:32])
	if found := scan(t, a, wanted); len(found) == 0 {
		t.Error("control: a leaked piece is not found")
	}
	runtime.KeepAlive(leak)
}

// TestDoErases leaves the secret on the stack and in the heap.
func TestDoErases(t *testing.T) {
	a := testArena(t, 4096)
	value, err := a.Random(64)
	if err != nil {
		t.Fatal(err)
	}
	wanted := pieces{}
	wanted.add("value", value, 0)
	Do(func() {
		if leaveTraces(value.Reveal()) == 0 {
			t.Error("control: no trace was made")
		}
	})
	if found := left(t, a, wanted); len(found) > 0 {
		t.Errorf("found outside the arena: %q", found)
	}
}

// left scans after collections: after some more where something is found, since cleanups run beside and may be late.
func left(t *testing.T, a *Arena, wanted pieces) (found []string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		runtime.GC()
		runtime.GC()
		if found = scan(t, a, wanted); len(found) == 0 || time.Now().After(deadline) {
			return found
		}
	}
}

//go:noinline
func leaveTraces(b []byte) int {
	var onStack [4096]byte
	inHeap := bytes.Repeat(b, 4)
	for i := 0; i < len(onStack); i += len(b) {
		copy(onStack[i:], b)
	}
	return bytes.Count(onStack[:], inHeap)
}

//go:noinline
func useInEveryWay(t *testing.T, a *Arena, key, value *Buffer) {
	nonce := make([]byte, NonceSize)
	for range 50 {
		ciphertext, err := Seal(nil, key, nonce, value.Reveal(), nil)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := a.Open(key, nonce, ciphertext, nil)
		if err != nil {
			t.Fatal(err)
		}
		derived, err := a.Derive(key, nonce, "info", 64)
		if err != nil {
			t.Fatal(err)
		}
		again, err := a.Derive(opened, nonce, "info", 64)
		if err != nil {
			t.Fatal(err)
		}
		_ = MAC(key, value.Reveal(), derived.Reveal())
		MACs(make([][32]byte, 2), key, [][]byte{value.Reveal(), nonce})
		checkBoth(t, a, key, value)
		_ = Equal(opened.Reveal(), value.Reveal())
		for _, b := range []*Buffer{opened, derived, again} {
			b.Wipe()
		}
	}
}

// checkBoth has a Checker open the value twice.
func checkBoth(t *testing.T, a *Arena, key, value *Buffer) {
	salt, nonce := make([]byte, 32), make([]byte, NonceSize)
	derived, err := a.Derive(key, salt, "info", KeySize)
	if err != nil {
		t.Fatal(err)
	}
	defer derived.Wipe()
	ciphertext, err := Seal(nil, derived, nonce, value.Reveal(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.NewChecker(value.Len())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Wipe()
	one := Sealed{salt, ciphertext, nil}
	if _, err := c.Check(key, "info", nonce, []Sealed{one, one}); err != nil {
		t.Fatal(err)
	}
}

// pieces is what to look for: every 8 bytes of a secret, scrambled, so that the search itself, which the runtime
// interrupts and whose registers it saves, handles no piece of a secret.
type pieces map[uint64]string

func scramble(b []byte) uint64 { return binary.LittleEndian.Uint64(b) * 0x9e3779b97f4a7c15 }

func (p pieces) add(name string, b *Buffer, mask byte) {
	scrambled := make([]uint64, b.Len()-7)
	Do(func() {
		for i := range scrambled {
			var piece [8]byte
			for j := range piece {
				piece[j] = b.Reveal()[i+j] ^ mask
			}
			scrambled[i] = scramble(piece[:])
		}
	})
	for _, s := range scrambled {
		p[s] = name
	}
}

// scan names the pieces in writable mappings other than the arena, with their addresses.
func scan(t *testing.T, a *Arena, wanted pieces) (found []string) {
	t.Helper()
	var filter [1 << 16]bool
	for s := range wanted {
		filter[s>>48] = true
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	pages, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer pages.Close()
	chunk := make([]byte, 64<<10)
	defer Wipe(chunk)
	for s := bufio.NewScanner(bytes.NewReader(maps)); s.Scan(); {
		var low, high uintptr
		var rights string
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x %s", &low, &high, &rights); n != 3 || !strings.HasPrefix(rights, "rw") {
			continue
		}
		if start := uintptr(a.region.start); low <= start && start < high {
			continue
		}
		for at := low; at < high; at += uintptr(len(chunk)) - 7 {
			if empty(t, pages, at, min(uintptr(len(chunk)), high-at)) {
				continue
			}
			n, err := memory.ReadAt(chunk[:min(uintptr(len(chunk)), high-at)], int64(at))
			if err != nil && n == 0 {
				t.Logf("not read: %s: %v", s.Text(), err)
			}
			wanted.find(chunk[:n], &filter, func(i int, name string) {
				found = append(found, fmt.Sprintf("%s at %#x", name, at+uintptr(i)))
			})
		}
	}
	return found
}

// empty says whether none of a stretch's pages is there, in memory or swapped out.
func empty(t *testing.T, pages *os.File, at, size uintptr) bool {
	t.Helper()
	const page = 4096
	first, last := at/page, (at+size-1)/page
	entries := make([]byte, (last-first+1)*8)
	if _, err := pages.ReadAt(entries, int64(first*8)); err != nil {
		t.Fatal(err)
	}
	for i := 7; i < len(entries); i += 8 {
		if entries[i]&0xc0 != 0 {
			return false
		}
	}
	return true
}

// find is not watched by the race detector, which would make it ten times slower.
//
//go:norace
func (p pieces) find(b []byte, filter *[1 << 16]bool, found func(int, string)) {
	for i := 0; i+8 <= len(b); i++ {
		// Most of the race detector's memory was never written to.
		if b[i] == 0 && i+len(zeros) <= len(b) && bytes.Equal(b[i:i+len(zeros)], zeros[:]) {
			i += len(zeros) - 8
			continue
		}
		if v := binary.LittleEndian.Uint64(b[i:]) * 0x9e3779b97f4a7c15; filter[v>>48] && p[v] != "" {
			found(i, p[v])
		}
	}
}

var zeros [4096]byte
