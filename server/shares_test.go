package server

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/shared/secret"
)

// fiveShares are read shares of a set that three open, in an arena of their own.
func fiveShares(t *testing.T) (*secret.Arena, []*seal.Share) {
	t.Helper()
	a, err := secret.NewArena(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	root, err := a.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "seal.json")
	lines, err := seal.CreateWithShares(a, path, strings.Repeat("ab", 16), root, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	root.Wipe()
	h, err := seal.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var shares []*seal.Share
	for _, line := range lines {
		share, err := h.ReadShare(a, line)
		if err != nil {
			t.Fatal(err)
		}
		line.Wipe()
		shares = append(shares, share)
	}
	return a, shares
}

func TestSharesAreForgotten(t *testing.T) {
	t.Parallel()
	a, shares := fiveShares(t)
	each := a.InUse() / 5
	synctest.Test(t, func(t *testing.T) {
		var c collection
		add := func(share *seal.Share, want int) {
			t.Helper()
			if in, enough, err := c.add(share, 3); err != nil || in != want || enough != nil {
				t.Errorf("%d in, %v, %v; want %d", in, enough, err, want)
			}
		}
		add(shares[0], 1)
		time.Sleep(shareLife - time.Second)
		add(shares[1], 2)
		// The second gave the first more time.
		time.Sleep(shareLife - time.Second)
		if c.count() != 2 || a.InUse() != 5*each {
			t.Errorf("%d are in, %d bytes", c.count(), a.InUse())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if c.count() != 0 || a.InUse() != 3*each {
			t.Errorf("after ten minutes %d are in, %d bytes", c.count(), a.InUse())
		}
		add(shares[2], 1)
		if n := c.reset(); n != 1 || c.count() != 0 || a.InUse() != 2*each {
			t.Errorf("reset wiped %d, %d are in, %d bytes", n, c.count(), a.InUse())
		}
		if n := c.reset(); n != 0 {
			t.Errorf("reset wiped %d of none", n)
		}
		time.Sleep(2 * time.Second) // the sweep that it asked for ends with the bubble
	})
}

func TestSharesAreHandedOver(t *testing.T) {
	t.Parallel()
	a, shares := fiveShares(t)
	each := a.InUse() / 5
	var c collection
	for i, share := range shares[:3] {
		in, enough, err := c.add(share, 3)
		if err != nil || in != i+1 || (len(enough) == 3) != (i == 2) {
			t.Errorf("share %d: %d in, %d handed over, %v", i+1, in, len(enough), err)
		}
		wipeShares(enough)
	}
	if c.count() != 0 || c.timer != nil || a.InUse() != 2*each {
		t.Errorf("%d stayed, %d bytes", c.count(), a.InUse())
	}
	if _, _, err := c.add(shares[3], 3); err != nil {
		t.Error(err)
	}
	if _, _, err := c.add(shares[3], 3); !errors.Is(err, seal.ErrShare) || !strings.Contains(err.Error(), "share 4 is in already, 1 of 3 are") {
		t.Errorf("a share twice: %v", err)
	}
	c.reset()
}
