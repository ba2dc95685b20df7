package seal

import (
	"bytes"
	"testing"
	"testing/quick"
)

// The products and the inverse are those that FIPS 197 works out.
func TestField(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ a, b, want byte }{
		{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x57, 0x04, 0x47}, {0x57, 0x10, 0x07}, {0x53, 0xca, 0x01}, {0, 0xff, 0}, {1, 0xff, 0xff},
	} {
		if got := multiply(v.a, v.b); got != v.want {
			t.Errorf("%#x * %#x = %#x, want %#x", v.a, v.b, got, v.want)
		}
	}
	if got := inverse(0x53); got != 0xca {
		t.Errorf("1/0x53 = %#x", got)
	}
	if inverse(0) != 0 {
		t.Error("1/0")
	}
	for a := range 256 {
		if a > 0 && multiply(byte(a), inverse(byte(a))) != 1 {
			t.Errorf("%#x has no inverse", a)
		}
	}
	if err := quick.Check(func(a, b, c byte) bool {
		return multiply(a, b) == multiply(b, a) && multiply(multiply(a, b), c) == multiply(a, multiply(b, c)) &&
			multiply(a, b^c) == multiply(a, b)^multiply(a, c)
	}, nil); err != nil {
		t.Error(err)
	}
}

// Worked out by hand: for the first byte 0x01 + 0x83x, for the second 0x57 + 0x02x; then 0x01 + 0x02x + 0x03x².
func TestSplitByHand(t *testing.T) {
	t.Parallel()
	for x, want := range map[byte][]byte{1: {0x82, 0x55}, 2: {0x1c, 0x53}, 3: {0x9f, 0x51}} {
		got := make([]byte, 2)
		split(got, []byte{0x01, 0x57}, []byte{0x83, 0x02}, x)
		if !bytes.Equal(got, want) {
			t.Errorf("at %d: %#x, want %#x", x, got, want)
		}
	}
	for x, want := range map[byte]byte{1: 0x00, 2: 0x09, 3: 0x08} {
		got := make([]byte, 1)
		split(got, []byte{0x01}, []byte{0x02, 0x03}, x)
		if got[0] != want {
			t.Errorf("at %d: %#x, want %#x", x, got, want)
		}
	}
	got := make([]byte, 2)
	combine(got, []byte{3, 2}, [][]byte{{0x9f, 0x51}, {0x1c, 0x53}})
	if !bytes.Equal(got, []byte{0x01, 0x57}) {
		t.Errorf("combined %#x", got)
	}
}

// Any three of five give the secret, and no two do.
func TestAnyThree(t *testing.T) {
	t.Parallel()
	property := func(secret [8]byte, random [16]byte) bool {
		var shares [6][]byte
		for x := 1; x <= 5; x++ {
			shares[x] = make([]byte, 8)
			split(shares[x], secret[:], random[:], byte(x))
		}
		got := make([]byte, 8)
		for a := 1; a <= 5; a++ {
			for b := 1; b <= 5; b++ {
				for c := 1; c <= 5; c++ {
					if a == b || b == c || a == c {
						continue
					}
					combine(got, []byte{byte(a), byte(b), byte(c)}, [][]byte{shares[a], shares[b], shares[c]})
					if !bytes.Equal(got, secret[:]) {
						return false
					}
				}
			}
		}
		combine(got, []byte{1, 2}, shares[1:3])
		return !bytes.Equal(got, secret[:])
	}
	if err := quick.Check(property, nil); err != nil {
		t.Error(err)
	}
}
