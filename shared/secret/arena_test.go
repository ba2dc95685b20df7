package secret

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func testArena(t testing.TB, size int) *Arena {
	t.Helper()
	a, err := NewArena(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("closing the arena: %v", err)
		}
	})
	return a
}

func mustNew(t testing.TB, a *Arena, n int) *Buffer {
	t.Helper()
	b, err := a.New(n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// holding makes a buffer with a copy of content, so that literals may be passed.
func holding(t testing.TB, a *Arena, content string) *Buffer {
	t.Helper()
	b, err := a.From([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNewArenaRefusesSizesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, -1} {
		if a, err := NewArena(size); err == nil {
			_ = a.Close()
			t.Errorf("NewArena(%d) succeeded", size)
		}
	}
}

func TestBufferIsExactlyAsLongAsWanted(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	for _, n := range []int{0, 1, 15, 16, 17, 100} {
		b := mustNew(t, a, n)
		if got := b.Reveal(); len(got) != n || cap(got) != n || b.Len() != n || got == nil {
			t.Errorf("New(%d): length %d, capacity %d, Len %d", n, len(got), cap(got), b.Len())
		}
	}
	// 16 + 16 + 16 + 16 + 32 + 112
	if got := a.InUse(); got != 208 {
		t.Errorf("InUse = %d, want 208", got)
	}
	if b, err := a.New(-1); err == nil {
		t.Errorf("New(-1) gave %d bytes", b.Len())
	}
}

func TestFullArenaRefusesAndServesAgainAfterWipe(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	size := a.Size()
	for _, n := range []int{size + 1, int(^uint(0) >> 1)} {
		if _, err := a.New(n); !errors.Is(err, ErrFull) {
			t.Errorf("New(%d) in an arena of %d: %v", n, size, err)
		}
	}
	all := mustNew(t, a, size)
	if _, err := a.New(0); !errors.Is(err, ErrFull) {
		t.Errorf("New(0) in a full arena: %v", err)
	}
	all.Wipe()
	mustNew(t, a, size).Wipe()
	if got := a.InUse(); got != 0 {
		t.Errorf("InUse = %d, want 0", got)
	}
}

func TestNeighboursJoinInEveryOrder(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		a := testArena(t, 4096)
		third := a.Size() / 3 / granule * granule
		parts := []*Buffer{mustNew(t, a, third), mustNew(t, a, third), mustNew(t, a, a.Size()-2*third)}
		for _, i := range order {
			parts[i].Wipe()
		}
		if _, err := a.New(a.Size()); err != nil {
			t.Errorf("wiped in the order %v: %v", order, err)
		}
	}
}

func TestSplinteredArenaIsFullForALongBuffer(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	var parts []*Buffer
	for a.InUse() < a.Size() {
		parts = append(parts, mustNew(t, a, granule))
	}
	for i := 0; i < len(parts); i += 2 {
		parts[i].Wipe()
	}
	if _, err := a.New(granule + 1); !errors.Is(err, ErrFull) {
		t.Errorf("two granules where only single ones are free: %v", err)
	}
	mustNew(t, a, granule)
}

// TestArenaAgainstModel plays random sequences against what must hold after each step: every live buffer keeps its own
// content, everything else is zero, the free list is ascending and joined, and the sums agree.
func TestArenaAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, err := NewArena(4096)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Close() }()
		live := map[*Buffer]byte{}
		order := []*Buffer{}
		next := byte(1)
		t.Repeat(map[string]func(*rapid.T){
			"new": func(t *rapid.T) {
				n := rapid.IntRange(0, 700).Draw(t, "n")
				b, err := a.New(n)
				if err != nil {
					if !errors.Is(err, ErrFull) || longestFree(a) >= n && n > 0 {
						t.Fatalf("New(%d) with %d free in one piece: %v", n, longestFree(a), err)
					}
					return
				}
				if bytes.Count(b.Reveal(), []byte{0}) != n {
					t.Fatalf("New(%d) is not zeroed", n)
				}
				fillWith(b.Reveal(), next)
				live[b] = next
				order = append(order, b)
				next = next%255 + 1
			},
			"wipe": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip("nothing to wipe")
				}
				i := rapid.IntRange(0, len(order)-1).Draw(t, "i")
				order[i].Wipe()
				order[i].Wipe()
				delete(live, order[i])
				order = slices.Delete(order, i, i+1)
			},
			"shorten": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip("nothing to shorten")
				}
				b := order[rapid.IntRange(0, len(order)-1).Draw(t, "i")]
				b.shorten(rapid.IntRange(0, b.Len()).Draw(t, "n"))
			},
			"": func(t *rapid.T) { checkArena(t, a, live) },
		})
	})
}

func checkArena(t *rapid.T, a *Arena, live map[*Buffer]byte) {
	used := 0
	marked := make([]byte, a.Size())
	for b, content := range live {
		at := b.held.at
		used += at.size
		for i, c := range b.Reveal() {
			if c != content {
				t.Fatalf("byte %d of a buffer is %d, want %d", i, c, content)
			}
			marked[at.start+i] = content
		}
	}
	if !bytes.Equal(marked, a.region.bytes()) {
		t.Fatal("a byte outside every buffer is not zero")
	}
	end := -1
	for _, f := range a.free {
		if f.start <= end || f.size <= 0 || f.size%granule != 0 {
			t.Fatalf("free list %v: empty, out of order or not joined", a.free)
		}
		end = f.start + f.size
		used += f.size
	}
	if used != a.Size() {
		t.Fatalf("%d bytes accounted for of %d", used, a.Size())
	}
}

func longestFree(a *Arena) int {
	longest := 0
	for _, f := range a.free {
		longest = max(longest, f.size)
	}
	return longest
}

func fillWith(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}

func TestGoroutinesNeverShareAPlace(t *testing.T) {
	t.Parallel()
	a := testArena(t, 64<<10)
	var wg sync.WaitGroup
	for g := range byte(8) {
		wg.Go(func() {
			for i := range 500 {
				b, err := a.New(1 + i%300)
				if err != nil {
					t.Errorf("New: %v", err)
					return
				}
				fillWith(b.Reveal(), g+1)
				if bytes.Count(b.Reveal(), []byte{g + 1}) != b.Len() {
					t.Error("another goroutine wrote into this buffer")
				}
				b.Wipe()
			}
		})
	}
	wg.Wait()
	if a.InUse() != 0 {
		t.Errorf("InUse = %d, want 0", a.InUse())
	}
}

func TestWipeZeroesTheMemory(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := holding(t, a, "correct horse battery staple")
	raw := a.region.bytes()[b.held.at.start:][:b.Len()]
	if string(raw) != "correct horse battery staple" {
		t.Fatalf("control: the arena holds %q", raw)
	}
	b.Wipe()
	if bytes.Count(raw, []byte{0}) != 28 {
		t.Errorf("after Wipe the memory holds %q", raw)
	}
	if b.Reveal() != nil || b.Len() != 0 {
		t.Errorf("after Wipe: Reveal %v, Len %d", b.Reveal(), b.Len())
	}
}

func TestWipingACopyOrTwiceFreesOnce(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := holding(t, a, "first")
	copied := *b
	b.Wipe()
	other := holding(t, a, "other")
	copied.Wipe()
	b.Wipe()
	if string(other.Reveal()) != "other" || a.InUse() != granule {
		t.Errorf("a second Wipe hit a later buffer: %q, %d in use", other.Reveal(), a.InUse())
	}
	var none *Buffer
	none.Wipe()
	if none.Reveal() != nil || none.Len() != 0 {
		t.Error("a nil buffer reveals something")
	}
}

func TestNewIsZeroedThoughAStaleSliceWasWritten(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	b := mustNew(t, a, 16)
	stale := b.Reveal()
	b.Wipe()
	stale[3] = 7
	if got := mustNew(t, a, 16).Reveal(); !bytes.Equal(got, make([]byte, 16)) {
		t.Errorf("New gave %v", got)
	}
}

func TestClosedArenaRevealsNothing(t *testing.T) {
	t.Parallel()
	a, err := NewArena(4096)
	if err != nil {
		t.Fatal(err)
	}
	b := holding(t, a, "value")
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	b.Wipe()
	b.shorten(1)
	if b.Reveal() != nil || b.Len() != 0 || a.InUse() != 0 {
		t.Error("a closed arena still reveals")
	}
	if _, err := a.New(1); !errors.Is(err, ErrClosed) {
		t.Errorf("New: %v, want ErrClosed", err)
	}
}

func TestFromWipesItsSourceAlsoWhenItFails(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	source := []byte("moved")
	b, err := a.From(source)
	if err != nil || string(b.Reveal()) != "moved" {
		t.Fatalf("From: %q, %v", b.Reveal(), err)
	}
	if !bytes.Equal(source, make([]byte, 5)) {
		t.Errorf("the source still holds %q", source)
	}
	source = bytes.Repeat([]byte("x"), a.Size())
	if _, err := a.From(source); !errors.Is(err, ErrFull) {
		t.Fatalf("From into a full arena: %v", err)
	}
	if !bytes.Equal(source, make([]byte, a.Size())) {
		t.Error("a failed From left its source")
	}
}

func TestRandomDiffers(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	seen := map[string]bool{}
	for range 20 {
		b, err := a.Random(32)
		if err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprintf("%x", b.Reveal())] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d different values of 20", len(seen))
	}
	if _, err := a.Random(a.Size() + 1); !errors.Is(err, ErrFull) {
		t.Errorf("Random too long: %v", err)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{{"", "", true}, {"ab", "ab", true}, {"ab", "aB", false}, {"ab", "abc", false}, {"ab", "", false}} {
		if got := Equal([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("Equal(%q, %q) = %v", c.a, c.b, got)
		}
	}
}
