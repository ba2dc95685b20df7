package secret

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// ascending is the bytes from first to last.
func ascending(first, last int) []byte {
	var b []byte
	for i := first; i <= last; i++ {
		b = append(b, byte(i))
	}
	return b
}

// The cases are those of RFC 4231, section 4; number 5 is truncated to 16 bytes.
func TestMACVectors(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	for _, c := range []struct{ key, data, want string }{
		{strings.Repeat("\x0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{strings.Repeat("\xaa", 20), strings.Repeat("\xdd", 50),
			"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{string(ascending(1, 0x19)), strings.Repeat("\xcd", 50),
			"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
		{strings.Repeat("\x0c", 20), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},
		{strings.Repeat("\xaa", 131), "Test Using Larger Than Block-Size Key - Hash Key First",
			"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
		{strings.Repeat("\xaa", 131), "This is a test using a larger than block-size key and a larger than " +
			"block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
			"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	} {
		key := holding(t, a, c.key)
		whole := MAC(key, []byte(c.data))
		if got := hex.EncodeToString(whole[:]); !strings.HasPrefix(got, c.want) {
			t.Errorf("MAC of %q: %s, want %s", c.data, got, c.want)
		}
		if parts := MAC(key, []byte(c.data[:3]), nil, []byte(c.data[3:])); parts != whole {
			t.Errorf("MAC of %q in parts differs", c.data)
		}
		key.Wipe()
	}
}

func TestMACUnderNoKeyPanics(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	wiped := holding(t, a, "key")
	wiped.Wipe()
	for name, key := range map[string]*Buffer{"wiped": wiped, "empty": mustNew(t, a, 0), "nil": nil} {
		func() {
			defer func() {
				if err, _ := recover().(error); !errors.Is(err, ErrKey) {
					t.Errorf("MAC with a key that is %s: %v", name, err)
				}
			}()
			MAC(key, []byte("data"))
		}()
	}
}

// TestMACs: each sum is what MAC gives for its message.
func TestMACs(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	key := holding(t, a, "Jefe")
	messages := [][]byte{[]byte("what do ya want for nothing?"), nil, bytes.Repeat([]byte{7}, 1000)}
	sums := make([][32]byte, 4)
	MACs(sums, key, messages)
	if got := hex.EncodeToString(sums[0][:]); got != "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" {
		t.Errorf("the first: %s", got)
	}
	for i, message := range messages {
		if sums[i] != MAC(key, message) {
			t.Errorf("message %d has another code alone", i)
		}
	}
	if sums[3] != [32]byte{} {
		t.Error("a sum without a message was written to")
	}
	key.Wipe()
	for what, call := range map[string]func(){
		"a wiped key": func() { MACs(sums, key, messages) },
		"no room":     func() { MACs(sums[:2], holding(t, a, "key"), messages) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			call()
		}()
	}
}

// The cases are those of RFC 5869, appendix A, for SHA-256.
func TestDeriveVectors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		key, salt  []byte
		info, want string
	}{
		{"A.1", bytes.Repeat([]byte{0x0b}, 22), ascending(0, 0x0c), string(ascending(0xf0, 0xf9)),
			"3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{"A.2", ascending(0, 0x4f), ascending(0x60, 0xaf), string(ascending(0xb0, 0xff)),
			"b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09" +
				"da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
		{"A.3", bytes.Repeat([]byte{0x0b}, 22), nil, "",
			"8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
	} {
		a := testArena(t, 4096)
		key := holding(t, a, string(c.key))
		inUse := a.InUse()
		out, err := a.Derive(key, c.salt, c.info, len(c.want)/2)
		if err != nil || hex.EncodeToString(out.Reveal()) != c.want {
			t.Errorf("%s: %x, %v", c.name, out.Reveal(), err)
		}
		out.Wipe()
		if a.InUse() != inUse || bytes.Count(a.region.bytes()[inUse:], []byte{0}) != a.Size()-inUse {
			t.Errorf("%s: the working memory was not wiped", c.name)
		}
	}
}

func TestDeriveLimits(t *testing.T) {
	t.Parallel()
	a := testArena(t, 28<<10)
	key := holding(t, a, "key")
	longest, err := a.Derive(key, nil, "i", 8160)
	if err != nil {
		t.Fatal(err)
	}
	short, err := a.Derive(key, nil, "i", 33)
	if err != nil || !bytes.HasPrefix(longest.Reveal(), short.Reveal()) {
		t.Errorf("33 bytes are not the beginning of 8160: %v", err)
	}
	for _, n := range []int{-1, 8161} {
		if _, err := a.Derive(key, nil, "i", n); err == nil || errors.Is(err, ErrFull) {
			t.Errorf("deriving %d bytes: %v", n, err)
		}
	}
	mustNew(t, a, 16<<10)
	inUse := a.InUse()
	if _, err := a.Derive(key, nil, "i", 8160); !errors.Is(err, ErrFull) {
		t.Errorf("deriving into a full arena: %v", err)
	}
	if a.InUse() != inUse {
		t.Error("a failed Derive kept its working memory")
	}
	key.Wipe()
	if _, err := a.Derive(key, nil, "i", 32); !errors.Is(err, ErrKey) {
		t.Errorf("deriving from a wiped key: %v", err)
	}
}
