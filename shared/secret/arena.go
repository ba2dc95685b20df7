package secret

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// granule is the unit of allocation in bytes. It keeps every buffer aligned for vector instructions and bounds how
// finely the arena can splinter.
const granule = 16

// Arena is a fixed stretch of memory that is locked into RAM, left out of core dumps and absent from forked children.
// Its methods may be called from several goroutines.
type Arena struct {
	*memory
	owner string // whose buffers are made here; empty: nobody's in particular
}

// memory is what an arena shares with those that For makes of it.
type memory struct {
	mu     sync.Mutex
	region *region // nil once closed
	size   int
	inUse  int
	owned  map[string]int // bytes in use by each owner, never 0
	// Free stretches, ascending, never empty and never touching. The list is kept outside the region, so that a
	// stray write to a secret cannot corrupt it. Everything it covers is zero.
	free []stretch
}

// region is the memory of an arena. It holds no slice: fmt follows pointers to slices where a verb does not suit them,
// and would print the memory with an Arena; an unsafe.Pointer prints as an address.
type region struct {
	start unsafe.Pointer
	size  int
}

func (r *region) bytes() []byte { return unsafe.Slice((*byte)(r.start), r.size) }

// stretch is a part of the region, in bytes from its start; both numbers are multiples of granule.
type stretch struct{ start, size int }

// NewArena locks an arena of at least size bytes, rounded up to whole pages. It fails with ErrLockLimit when the
// system does not let this process lock so much.
func NewArena(size int) (*Arena, error) {
	if size <= 0 {
		return nil, fmt.Errorf("arena size %d: must be positive", size)
	}
	r, err := newRegion(size)
	if err != nil {
		return nil, err
	}
	return newArena(r), nil
}

func newArena(r *region) *Arena {
	return &Arena{memory: &memory{region: r, size: r.size, owned: map[string]int{}, free: []stretch{{0, r.size}}}}
}

// For is the same memory for one of several owners who need not trust each other: what is made through it is counted as
// the owner's, until it is wiped, and fails with ErrFull where the owner would then have more than half of what all
// others leave. So however many owners fill their parts, the next one still finds room. Closing it closes the arena.
func (a *Arena) For(owner string) *Arena { return &Arena{memory: a.memory, owner: owner} }

// Close zeroes the arena and gives its memory back to the system. Its buffers then reveal nothing; a slice that was
// revealed earlier points to memory that is gone, and touching it crashes the process. Closing twice does nothing.
func (a *Arena) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.region == nil {
		return nil
	}
	r := a.region
	a.region, a.free, a.inUse, a.owned = nil, nil, 0, nil
	Wipe(r.bytes())
	return r.release()
}

// Size is the arena's capacity in bytes.
func (a *Arena) Size() int { return a.size }

// InUse is the number of bytes that all buffers occupy, each rounded up to 16 bytes.
func (a *Arena) InUse() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inUse
}

// New returns a zeroed buffer of n bytes; whoever makes it wipes it. It fails with ErrFull or ErrClosed.
func (a *Arena) New(n int) (*Buffer, error) {
	if n < 0 {
		return nil, fmt.Errorf("secret of %d bytes: must not be negative", n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.region == nil {
		return nil, ErrClosed
	}
	at, err := a.take(n)
	if err != nil {
		return nil, err
	}
	// Free memory is zero already, unless somebody wrote through a slice that outlived its buffer.
	Wipe(a.region.bytes()[at.start : at.start+at.size])
	return &Buffer{&allocation{arena: a, at: at, length: n}}, nil
}

// take removes the first free stretch that fits n bytes from the list. The caller holds the lock.
func (a *Arena) take(n int) (stretch, error) {
	if n > a.size {
		return stretch{}, fmt.Errorf("%w: %d bytes wanted, %d in all", ErrFull, n, a.size)
	}
	size := roundUp(n)
	if own := a.owned[a.owner]; a.owner != "" && own+size > (a.size-(a.inUse-own))/2 {
		return stretch{}, fmt.Errorf("%w for one owner, who may have half of what the others leave: %d bytes wanted, "+
			"%d in use by the owner, %d of %d in all", ErrFull, n, own, a.inUse, a.size)
	}
	for i := range a.free {
		f := &a.free[i]
		if f.size < size {
			continue
		}
		at := stretch{f.start, size}
		f.start += size
		f.size -= size
		if f.size == 0 {
			a.free = slices.Delete(a.free, i, i+1)
		}
		a.count(size)
		return at, nil
	}
	return stretch{}, fmt.Errorf("%w: %d bytes wanted, %d of %d in use", ErrFull, n, a.inUse, a.size)
}

// count adds to what is in use, or takes off it. The caller holds the lock.
func (a *Arena) count(size int) {
	a.inUse += size
	if a.owner == "" {
		return
	}
	a.owned[a.owner] += size
	if a.owned[a.owner] == 0 {
		delete(a.owned, a.owner)
	}
}

// give zeroes a stretch and puts it back, joined with its free neighbours. The caller holds the lock.
func (a *Arena) give(at stretch) {
	Wipe(a.region.bytes()[at.start : at.start+at.size])
	a.count(-at.size)
	i, _ := slices.BinarySearchFunc(a.free, at, func(f, at stretch) int { return f.start - at.start })
	if i < len(a.free) && at.start+at.size == a.free[i].start {
		at.size += a.free[i].size
		a.free = slices.Delete(a.free, i, i+1)
	}
	if i > 0 && a.free[i-1].start+a.free[i-1].size == at.start {
		a.free[i-1].size += at.size
		return
	}
	a.free = slices.Insert(a.free, i, at)
}

// roundUp is the room that n bytes take. An empty buffer takes a granule too, so that no two buffers share a place.
func roundUp(n int) int {
	return (max(n, 1) + granule - 1) / granule * granule
}

// From moves b into the arena: it copies b and wipes b, also when it fails.
func (a *Arena) From(b []byte) (*Buffer, error) {
	defer Wipe(b)
	s, err := a.New(len(b))
	if err != nil {
		return nil, err
	}
	Do(func() { copy(s.Reveal(), b) })
	return s, nil
}

// Random returns n bytes from the system's random generator.
func (a *Arena) Random(n int) (*Buffer, error) {
	s, err := a.New(n)
	if err != nil {
		return nil, err
	}
	// crypto/rand.Read never fails: it ends the process when the system has no randomness.
	Do(func() { _, _ = rand.Read(s.Reveal()) })
	return s, nil
}
