package secret

import (
	"errors"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/test/kit"
)

// An owner may have half of what the others leave, so that each next one finds room.
func TestOwnersShareAnArena(t *testing.T) {
	t.Parallel()
	a := testArena(t, 8192)
	if a.Size() != 8192 {
		kit.Missing(t, "pages of 4 KiB, which the numbers below are for")
	}
	take := func(owner string, n int, fits bool) *Buffer {
		t.Helper()
		b, err := a.For(owner).New(n)
		if (err == nil) != fits || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("%d bytes for %s: %v, want them to fit: %t", n, owner, err, fits)
		}
		return b
	}
	first := take("ann", 4096, true)
	take("ann", 1, false)
	take("bob", 2049, false) // (8192-4096)/2
	bobs := take("bob", 2048, true)
	take("bob", 1, false)
	take("eve", 1024, true) // (8192-6144)/2
	take("eve", 1, false)
	take("ann", 1, false)
	first.Wipe()
	first.Wipe()
	take("bob", 1536-16, true) // (8192-1024)/2 in all
	take("bob", 17, false)
	bobs.Wipe()
	take("bob", 2048, true)
	// Nobody in particular may have all the rest.
	rest, err := a.New(a.Size() - a.InUse() - 2048)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.For("ann").New(1 << 20); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "in all") {
		t.Errorf("more than there is: %v", err)
	}
	rest.Wipe()
	for range 100 {
		take("zoe", 64, true).Wipe()
	}
	if len(a.owned) != 2 {
		t.Errorf("%d owners are counted, want bob and eve: %v", len(a.owned), a.owned)
	}
}
