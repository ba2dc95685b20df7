package secret

import (
	"bytes"
	"errors"
	"testing"
)

func TestChecker(t *testing.T) {
	t.Parallel()
	a, err := NewArena(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	from, err := a.From(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	salt, nonce, ad := []byte("a salt"), make([]byte, NonceSize), []byte("ad")
	key, err := a.Derive(from, salt, "info", KeySize)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Seal(nil, key, nonce, []byte("canary canary canary"), ad)
	if err != nil {
		t.Fatal(err)
	}
	key.Wipe()
	c, err := a.NewChecker(20)
	if err != nil {
		t.Fatal(err)
	}
	used := a.InUse()
	changed := bytes.Clone(sealed)
	changed[3] ^= 1
	for what, tc := range map[string]struct {
		salt, nonce, sealed, ad string
		info                    string
		want                    error
	}{
		"right":         {"a salt", string(nonce), string(sealed), "ad", "info", nil},
		"another salt":  {"b salt", string(nonce), string(sealed), "ad", "info", ErrOpen},
		"another info":  {"a salt", string(nonce), string(sealed), "ad", "inf0", ErrOpen},
		"other data":    {"a salt", string(nonce), string(sealed), "ax", "info", ErrOpen},
		"changed":       {"a salt", string(nonce), string(changed), "ad", "info", ErrOpen},
		"another nonce": {"a salt", "123456789012", string(sealed), "ad", "info", ErrOpen},
		"too short":     {"a salt", string(nonce), "short", "ad", "info", ErrOpen},
		"too long":      {"a salt", string(nonce), string(sealed) + "x", "ad", "info", ErrTooLong},
	} {
		one := Sealed{[]byte(tc.salt), []byte(tc.sealed), []byte(tc.ad)}
		failed, err := c.Check(from, tc.info, []byte(tc.nonce), []Sealed{one})
		if !errors.Is(err, tc.want) || tc.want == nil && err != nil || failed != 0 {
			t.Errorf("%s: %d, %v, want %v", what, failed, err, tc.want)
		}
		if tc.nonce == string(nonce) && tc.info == "info" {
			// The same behind two that are right, and before one that is not reached.
			right, wrong := Sealed{salt, sealed, ad}, Sealed{salt, nil, ad}
			all := []Sealed{right, right, one, wrong}
			if tc.want == nil {
				all = all[:3]
			}
			if failed, err := c.Check(from, "info", nonce, all); failed != 2 || !errors.Is(err, tc.want) {
				t.Errorf("%s, the third of some: %d, %v, want 2, %v", what, failed, err, tc.want)
			}
		}
		if left := append(append(bytes.Clone(c.key), c.work...), c.room...); !bytes.Equal(left, make([]byte, len(left))) {
			t.Errorf("%s: it keeps %x", what, left)
		}
	}
	all := []Sealed{{salt, sealed, ad}}
	if _, err := c.Check(from, "info", nonce[1:], all); err == nil {
		t.Error("a short nonce")
	}
	if _, err := c.Check(from, "info", nonce, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
	if a.InUse() != used {
		t.Errorf("%d bytes of the arena stay in use", a.InUse()-used)
	}
	c.Wipe()
	if _, err := c.Check(from, "info", nonce, all); !errors.Is(err, ErrKey) {
		t.Errorf("wiped: %v", err)
	}
	from.Wipe()
	if a.InUse() != 0 {
		t.Errorf("%d bytes are not given back", a.InUse())
	}
	var none *Checker
	none.Wipe()
}
