package secret

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"unsafe"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The cases are numbers 13, 14 and 16 of McGrew and Viega's test vectors for GCM.
func TestSealGCMVectors(t *testing.T) {
	t.Parallel()
	const key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
	zero := string(make([]byte, KeySize))
	for _, c := range []struct{ name, key, nonce, plain, ad, want string }{
		{"13", zero, "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
		{"14", zero, "000000000000000000000000", "00000000000000000000000000000000", "",
			"cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"},
		{"16", string(unhex(t, key)), "cafebabefacedbaddecaf888",
			"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
				"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
			"feedfacedeadbeeffeedfacedeadbeefabaddad2",
			"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
				"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" + "76fc6ece0f4e1768cddf8853bb2d551b"},
	} {
		a := testArena(t, 4096)
		k := holding(t, a, c.key)
		got, err := Seal([]byte("head"), k, unhex(t, c.nonce), unhex(t, c.plain), unhex(t, c.ad))
		if err != nil || hex.EncodeToString(got) != "68656164"+c.want {
			t.Errorf("case %s: %x, %v", c.name, got, err)
			continue
		}
		s, err := a.Open(k, unhex(t, c.nonce), got[4:], unhex(t, c.ad))
		if err != nil || hex.EncodeToString(s.Reveal()) != c.plain {
			t.Errorf("case %s: opened %x, %v", c.name, s.Reveal(), err)
		}
		public, err := OpenPublic(k, unhex(t, c.nonce), got[4:], unhex(t, c.ad))
		if err != nil || hex.EncodeToString(public) != c.plain {
			t.Errorf("case %s: opened %x, %v", c.name, public, err)
		}
	}
}

func TestAnyChangedByteIsRefused(t *testing.T) {
	t.Parallel()
	a := testArena(t, 8192)
	key := holding(t, a, "0123456789abcdef0123456789abcdef")
	nonce, ad := []byte("twelve bytes"), []byte("record 7")
	ciphertext, err := Seal(nil, key, nonce, []byte("the value that is kept"), ad)
	if err != nil {
		t.Fatal(err)
	}
	inUse := a.InUse()
	refused := func(what string, i int) {
		t.Helper()
		if s, err := a.Open(key, nonce, ciphertext, ad); !errors.Is(err, ErrOpen) || s != nil {
			t.Errorf("%s %d changed: opened, %v", what, i, err)
		}
		if b, err := OpenPublic(key, nonce, ciphertext, ad); !errors.Is(err, ErrOpen) || b != nil {
			t.Errorf("%s %d changed: opened in public, %v", what, i, err)
		}
	}
	for what, b := range map[string][]byte{"ciphertext": ciphertext, "nonce": nonce, "data": ad, "key": key.Reveal()} {
		for i := range b {
			for _, bit := range []byte{1, 0x80} {
				b[i] ^= bit
				refused(what, i)
				b[i] ^= bit
			}
		}
	}
	whole := ciphertext
	for n := range whole {
		ciphertext = whole[:n]
		refused("cut to", n)
	}
	ciphertext = append(bytes.Clone(whole), 0)
	refused("lengthened", 1)
	if a.InUse() != inUse {
		t.Errorf("refused openings left %d bytes in use", a.InUse()-inUse)
	}
	ciphertext = whole
	if s, err := a.Open(key, nonce, ciphertext, ad); err != nil || string(s.Reveal()) != "the value that is kept" {
		t.Errorf("control: the unchanged ciphertext opens to %q, %v", s.Reveal(), err)
	}
}

// TestPlaintextIsOnlyInTheArena: one byte too little room is refused, and what opens lies in the arena's own memory.
func TestPlaintextIsOnlyInTheArena(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	key := holding(t, a, "0123456789abcdef0123456789abcdef")
	nonce := make([]byte, NonceSize)
	ciphertext, err := Seal(nil, key, nonce, []byte("seventeen bytes!!"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 16, 18} {
		dst := make([]byte, n, 64)
		if err := openInto(dst, key, nonce, ciphertext, nil); !errors.Is(err, errRoom) {
			t.Errorf("room of %d for 17 bytes: %v", n, err)
		}
		if !bytes.Equal(dst[:64], make([]byte, 64)) {
			t.Errorf("room of %d for 17 bytes was written to", n)
		}
	}
	s, err := a.Open(key, nonce, ciphertext, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, start := unsafe.SliceData(s.Reveal()), unsafe.SliceData(a.region.bytes())
	if offset := uintptr(unsafe.Pointer(first)) - uintptr(unsafe.Pointer(start)); offset >= uintptr(a.Size()) {
		t.Error("the plaintext is not in the arena")
	}
	if string(a.region.bytes()[s.held.at.start:][:17]) != "seventeen bytes!!" {
		t.Error("the arena does not hold the plaintext")
	}
}

func TestOpenIntoAFullArena(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	key := holding(t, a, "0123456789abcdef0123456789abcdef")
	nonce := make([]byte, NonceSize)
	ciphertext, err := Seal(nil, key, nonce, make([]byte, a.Size()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(key, nonce, ciphertext, nil); !errors.Is(err, ErrFull) {
		t.Errorf("Open: %v, want ErrFull", err)
	}
}

func TestCipherRefusesKeysAndNoncesThatAreNone(t *testing.T) {
	t.Parallel()
	a := testArena(t, 4096)
	good := holding(t, a, "0123456789abcdef0123456789abcdef")
	wiped := holding(t, a, "0123456789abcdef0123456789abcdef")
	wiped.Wipe()
	nonce, ciphertext := make([]byte, NonceSize), make([]byte, 40)
	for name, key := range map[string]*Buffer{"wiped": wiped, "nil": nil, "AES-128": holding(t, a, "0123456789abcdef")} {
		if _, err := Seal(nil, key, nonce, nil, nil); !errors.Is(err, ErrKey) {
			t.Errorf("Seal with a %s key: %v", name, err)
		}
		if _, err := a.Open(key, nonce, ciphertext, nil); !errors.Is(err, ErrKey) {
			t.Errorf("Open with a %s key: %v", name, err)
		}
		if _, err := OpenPublic(key, nonce, ciphertext, nil); !errors.Is(err, ErrKey) {
			t.Errorf("OpenPublic with a %s key: %v", name, err)
		}
	}
	for _, n := range []int{0, 11, 13} {
		if _, err := Seal(nil, good, make([]byte, n), nil, nil); err == nil {
			t.Errorf("Seal with a nonce of %d bytes succeeded", n)
		}
		if _, err := a.Open(good, make([]byte, n), ciphertext, nil); err == nil || errors.Is(err, ErrOpen) {
			t.Errorf("Open with a nonce of %d bytes: %v", n, err)
		}
	}
}

// TestOverwriteReachesAllOfGosState fails on a Go whose ciphers or hashes keep part of their state behind a pointer,
// where overwrite would not reach it.
func TestOverwriteReachesAllOfGosState(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	block, gcm := newGCM(key)
	h := sha256.New()
	h.Write(key)
	for _, object := range []any{block, gcm, h} {
		kind := reflect.TypeOf(object)
		if kind.Kind() != reflect.Pointer || pointsElsewhere(kind.Elem()) {
			t.Errorf("%T is not one flat object", object)
			continue
		}
		memory := unsafe.Slice((*byte)(reflect.ValueOf(object).UnsafePointer()), kind.Elem().Size())
		if bytes.Equal(memory, make([]byte, len(memory))) {
			t.Errorf("control: %T holds nothing", object)
		}
		if object != gcm && object != any(block) && !bytes.Contains(memory, key) {
			t.Errorf("control: %T does not hold its input", object)
		}
		overwrite(object)
		if !bytes.Equal(memory, make([]byte, len(memory))) {
			t.Errorf("%T is not overwritten", object)
		}
	}
}

func pointsElsewhere(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return pointsElsewhere(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if pointsElsewhere(t.Field(i).Type) {
				return true
			}
		}
		return false
	}
	return t.Kind() > reflect.Complex128
}

func BenchmarkOpen4KiB(b *testing.B) {
	a := testArena(b, 64<<10)
	key := holding(b, a, "0123456789abcdef0123456789abcdef")
	nonce := make([]byte, NonceSize)
	ciphertext, err := Seal(nil, key, nonce, make([]byte, 4096), nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := a.Open(key, nonce, ciphertext, nil)
		if err != nil {
			b.Fatal(err)
		}
		s.Wipe()
	}
}
