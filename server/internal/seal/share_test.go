package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// dealt makes a header that three of five shares open.
func dealt(t *testing.T, a *secret.Arena, vault string, root *secret.Buffer) (*Header, []*secret.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seal.json")
	lines, err := CreateWithShares(a, path, vault, root, 5, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wipeAll(lines) })
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return h, lines
}

func (h *Header) read(t *testing.T, a *secret.Arena, line *secret.Buffer) *Share {
	t.Helper()
	s, err := h.ReadShare(a, line)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

func text(t *testing.T, a *secret.Arena, s string) *secret.Buffer {
	t.Helper()
	b, err := a.From([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

func TestShares(t *testing.T) {
	t.Parallel()
	a := arena(t)
	root := random(t, a)
	h, lines := dealt(t, a, vault, root)
	if need, of := h.Shares(); need != 3 || of != 5 || len(lines) != 5 || h.OpensWith() != "3 of its 5 shares" || h.HasKeyFile() {
		t.Errorf("%d of %d, %d lines, %s", need, of, len(lines), h.OpensWith())
	}
	var shares []*Share
	for i, line := range lines {
		share := h.read(t, a, text(t, a, " "+string(line.Reveal())+"\r\n"))
		if share.Index() != i+1 {
			t.Errorf("share %d says %d", i+1, share.Index())
		}
		shares = append(shares, share)
	}
	for _, take := range [][]int{{0, 1, 2}, {4, 2, 0}, {3, 4, 1}, {0, 1, 2, 3, 4}} {
		var some []*Share
		for _, i := range take {
			some = append(some, shares[i])
		}
		got, err := h.UnsealShares(a, some)
		if err != nil || !secret.Equal(got.Reveal(), root.Reveal()) {
			t.Errorf("%v: %v", take, err)
		}
		got.Wipe()
	}
	for says, some := range map[string][]*Share{"0 are too few": nil, "2 are too few": shares[:2], "share 2 is there twice": {shares[0], shares[1], shares[1]}} {
		if _, err := h.UnsealShares(a, some); !errors.Is(err, ErrShare) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	if _, err := h.UnsealKeyFile(a, random(t, a)); !errors.Is(err, ErrNoSlot) || !strings.Contains(err.Error(), "3 of its 5 shares") {
		t.Error(err)
	}
	// A share that got past the checks opens nothing.
	shares[0].value.Reveal()[0] ^= 1
	if _, err := h.UnsealShares(a, shares[:3]); !errors.Is(err, ErrWrongKey) {
		t.Error(err)
	}
}

// signed gives a line the checksum of a whole share.
func signed(line string) string {
	sum := sha256.Sum256([]byte(line))
	return line + ":" + hex.EncodeToString(sum[:4])
}

func TestReadShareRefuses(t *testing.T) {
	t.Parallel()
	a := arena(t)
	root := random(t, a)
	h, lines := dealt(t, a, vault, root)
	_, others := dealt(t, a, vault, root)
	_, foreign := dealt(t, a, "ff"+vault[2:], root)
	line := string(lines[1].Reveal())
	bare := line[:strings.LastIndex(line, ":")]
	digits := strings.Split(line, ":")[5]
	for what, tc := range map[string]struct {
		line string
		want error
		says string
	}{
		"nothing":              {"", ErrShareText, "wanted is one line"},
		"a key file":           {"strongroom-key-v1:" + strings.Repeat("ab", 32), ErrShareText, "wanted is one line"},
		"a later version":      {signed(strings.Replace(bare, "v1", "v2", 1)), ErrShareText, "wanted is one line"},
		"cut":                  {line[:len(line)-1], ErrShareText, "checksum"},
		"two lines":            {line + "\n" + line, ErrShareText, ""},
		"far too long":         {strings.Repeat("a", 4000), ErrShareText, "longer"},
		"a digit changed":      {strings.Replace(line, digits, strings.Repeat("0", 64), 1), ErrShareText, "checksum"},
		"another vault":        {string(foreign[1].Reveal()), ErrShare, "another vault, ff"},
		"another set":          {string(others[1].Reveal()), ErrShare, "another set"},
		"made up":              {signed(strings.Replace(bare, digits, strings.Repeat("0", 64), 1)), ErrShare, "not share 2"},
		"another's index":      {signed(strings.Replace(bare, ":2:3:", ":1:3:", 1)), ErrShare, "not share 1"},
		"an index too high":    {signed(strings.Replace(bare, ":2:3:", ":6:3:", 1)), ErrShare, "5 shares of which 3"},
		"index 0":              {signed(strings.Replace(bare, ":2:3:", ":0:3:", 1)), ErrShareText, "a part of it"},
		"another threshold":    {signed(strings.Replace(bare, ":2:3:", ":2:2:", 1)), ErrShare, "5 shares of which 3"},
		"an index past a byte": {signed(strings.Replace(bare, ":2:3:", ":258:3:", 1)), ErrShareText, "a part of it"},
		"no hex":               {signed(strings.Replace(bare, digits, strings.Repeat("x", 64), 1)), ErrShareText, "a part of it"},
		"upper case":           {signed(strings.Replace(bare, digits, strings.Repeat("A", 64), 1)), ErrShareText, "a part of it"},
	} {
		_, err := h.ReadShare(a, text(t, a, tc.line))
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %v and %q", what, err, tc.want, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), digits) {
			t.Errorf("%s: the share is in the error", what)
		}
	}
}

func TestShareCount(t *testing.T) {
	t.Parallel()
	a := arena(t)
	for _, c := range [][2]int{{5, 1}, {5, 0}, {5, -1}, {2, 3}, {33, 3}, {0, 0}} {
		path := filepath.Join(t.TempDir(), "seal.json")
		if _, err := CreateWithShares(a, path, vault, random(t, a), c[0], c[1]); !errors.Is(err, ErrShareCount) {
			t.Errorf("%v: %v", c, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%v: a header was written", c)
		}
	}
	root := random(t, a)
	path := filepath.Join(t.TempDir(), "seal.json")
	lines, err := CreateWithShares(a, path, vault, root, MaxShares, MaxShares)
	if err != nil {
		t.Fatal(err)
	}
	defer wipeAll(lines)
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var shares []*Share
	for _, line := range lines {
		shares = append(shares, h.read(t, a, line))
	}
	got, err := h.UnsealShares(a, shares)
	if err != nil || !secret.Equal(got.Reveal(), root.Reveal()) {
		t.Error(err)
	}
	got.Wipe()
}

// TestEveryByteOfTheOtherSlots: with any byte changed there is a named error or the same root key.
func TestEveryByteOfTheOtherSlots(t *testing.T) {
	t.Parallel()
	a, dir := arena(t), t.TempDir()
	root, phrase := random(t, a), text(t, a, goodPhrase)
	byPhrase, byShares := filepath.Join(dir, "p"), filepath.Join(dir, "s")
	h, _, err := (&Header{vault: vault}).withPassphrase(a, root, phrase, cheap, time.Now())
	if err == nil {
		err = h.create(byPhrase)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, err := CreateWithShares(a, byShares, vault, root, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer wipeAll(lines)
	unsealShares := func(h *Header) (*secret.Buffer, error) {
		var shares []*Share
		defer func() {
			for _, s := range shares {
				s.Wipe()
			}
		}()
		for _, line := range lines[:2] {
			share, err := h.ReadShare(a, line)
			if err != nil {
				return nil, err
			}
			shares = append(shares, share)
		}
		return h.UnsealShares(a, shares)
	}
	for path, unseal := range map[string]func(*Header) (*secret.Buffer, error){
		byPhrase: func(h *Header) (*secret.Buffer, error) {
			if s := h.slots[0]; s.Argon2id != nil && *s.Argon2id != cheap {
				return nil, ErrWrongKey // it would take its time to come to that
			}
			return h.UnsealPassphrase(a, phrase)
		},
		byShares: unsealShares,
	} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			changed := bytes.Clone(whole)
			changed[i] ^= 1
			h, err := Parse(changed)
			if err == nil {
				var got *secret.Buffer
				if got, err = unseal(h); err == nil && !secret.Equal(got.Reveal(), root.Reveal()) {
					t.Errorf("byte %d: another root key", i)
				}
				got.Wipe()
			}
			if err != nil && !errors.Is(err, ErrHeader) && !errors.Is(err, ErrWrongKey) && !errors.Is(err, ErrShare) &&
				!errors.Is(err, ErrNewerFormat) && !errors.Is(err, ErrNoSlot) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
	}
}

func FuzzShare(f *testing.F) {
	a, err := secret.NewArena(1 << 16)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = a.Close() })
	f.Add(signed("strongroom-share-v1:" + vault + ":0011223344556677:2:3:" + strings.Repeat("ab", 32)))
	f.Add("strongroom-share-v1::::::")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := a.From([]byte(s))
		if err != nil {
			t.Skip("longer than the arena")
		}
		defer b.Wipe()
		got, err := parseShare(b)
		if err != nil && !errors.Is(err, ErrShareText) {
			t.Error(err)
		}
		if err == nil && (got.index < 1 || got.index > MaxShares || len(got.vault) != 32 || len(got.set) != 16 || len(got.digits) != 64) {
			t.Errorf("accepted %q", s)
		}
	})
}
