package barrier

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

// TestKnownFormats holds the layouts against bytes typed in here: what is written today must be read for ever.
func TestKnownFormats(t *testing.T) {
	t.Parallel()
	h := header{keyNumber: 3, epoch: 4, commit: 5, vault: [16]byte(bytes.Repeat([]byte{0xab}, 16))}
	wantHex(t, "header", h.append(nil), "0101"+"00000003"+strings.Repeat("ab", 16)+"00000004"+"0000000000000005")
	wantHex(t, "associated data", associated(h, "item", "x"), "0101"+"00000003"+strings.Repeat("ab", 16)+"00000004"+
		"0000000000000005"+"00000004"+"6974656d"+"00000001"+"78")

	r := rootRecord{commit: 1, logSize: 2, logRoot: [32]byte{0xcc}, fence: 3, set: sum{4, 0, 0, 1}}
	wantHex(t, "root", r.encode(), "01"+"0000000000000001"+"0000000000000002"+"cc"+strings.Repeat("00", 31)+
		"0000000000000003"+"0000000000000001"+strings.Repeat("00", 23)+"04")
	if back, err := decodeRoot(r.encode()); back != r || err != nil {
		t.Error(back, err)
	}

	c := claim{"item", "n", "id1"}
	wantHex(t, "claim", c.encode(), "01"+"00000004"+"6974656d"+"00000001"+"6e"+"696431")
	if back, err := decodeClaim(c.encode()); back != c || err != nil {
		t.Error(back, err)
	}
}

func wantHex(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if hex.EncodeToString(got) != want {
		t.Errorf("%s: %x, want %s", what, got, want)
	}
}

const keyringHex = "01" + "00000002" + // current key
	"1111111111111111111111111111111111111111111111111111111111111111" +
	"2222222222222222222222222222222222222222222222222222222222222222" +
	"00000002" +
	"00000001" + "3333333333333333333333333333333333333333333333333333333333333333" +
	"00000002" + "4444444444444444444444444444444444444444444444444444444444444444"

func TestKeyring(t *testing.T) {
	t.Parallel()
	a := newBench(t).arena
	raw, err := hex.DecodeString(keyringHex)
	if err != nil {
		t.Fatal(err)
	}
	k, err := decodeKeyring(a, bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer k.wipe()
	if k.current != 2 || len(k.records) != 2 || k.setHash.Reveal()[0] != 0x11 || k.nameIndex.Reveal()[31] != 0x22 ||
		k.records[1].Reveal()[0] != 0x33 || k.records[2].Reveal()[31] != 0x44 {
		t.Error("keys are mixed up")
	}
	again, err := k.encode(a)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Wipe()
	if !bytes.Equal(again.Reveal(), raw) {
		t.Errorf("%x", again.Reveal())
	}
	for what, bad := range map[string]string{
		"empty":          "",
		"another format": "02" + keyringHex[2:],
		"cut":            keyringHex[:len(keyringHex)-2],
		"longer":         keyringHex + "00",
		"no current key": "0100000007" + keyringHex[10:],
		"twice a key":    strings.Replace(keyringHex, "0000000233", "0000000133", 1)[:len(keyringHex)-72] + "00000001" + strings.Repeat("44", 32),
		"key zero":       strings.Replace(keyringHex, "0000000133", "0000000033", 1),
		"wild count":     keyringHex[:138] + "ffffffff" + keyringHex[146:],
	} {
		raw, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(what, err)
		}
		if _, err := decodeKeyring(a, raw); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestKnownRecord opens a record that an independent implementation made: key 32 × 0x05, salt 32 × 0x06, key number 1,
// vault 16 × 0xab, epoch 1, commit 9, item/x, "hello".
func TestKnownRecord(t *testing.T) {
	t.Parallel()
	a := newBench(t).arena
	raw, err := hex.DecodeString(knownRecord)
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.From(bytes.Repeat([]byte{5}, 32))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Wipe()
	r, err := decodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := r.openPublic(a, key, "item", "x"); string(p) != "hello" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	set, err := a.From(bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Wipe()
	e := entryOf(r)
	term, _ := (&keyring{setHash: set}).term(nil, &e, "item", "x")
	wantHex(t, "term", term.bytes(), knownTerm)
}

func TestSum(t *testing.T) {
	t.Parallel()
	all := sum{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	one := sum{1}
	if all.plus(one) != (sum{}) || (sum{}).minus(one) != all {
		t.Error("the sum is not modulo 2^256")
	}
	if got := (sum{^uint64(0), 3}).plus(sum{2, 4}); got != (sum{1, 8}) {
		t.Error(got)
	}
	var b [32]byte
	b[31], b[0] = 2, 1
	if s := sumOf(b); s != (sum{2, 0, 0, 1 << 56}) || !bytes.Equal(s.bytes(), b[:]) {
		t.Error(s)
	}
}

// forms is a canary as plain text, hex and base64 at each of its three alignments.
func forms(canary string) map[string]string {
	found := map[string]string{
		"plain": canary, "hex": hex.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(canary))),
	}
	for shift := range 3 {
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := encoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + canary))
			// Without the characters that also depend on the neighbours.
			found[name+string(rune('0'+shift))] = text[(shift*8+5)/6 : (len(canary)+shift)*8/6]
		}
	}
	return found
}

func scanFor(t *testing.T, path, canary string) (hits []string) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range forms(canary) {
		if bytes.Contains(file, []byte(text)) {
			hits = append(hits, form)
		}
	}
	return hits
}

func TestNothingReadableInTheFile(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	const name, value, tag = "canary-NAME-7f3a?>x", "canary-VALUE-91bc?>x", "canary-TAG-d05e?>x"
	for round := range 3 { // overwritten and deleted ones must not be readable either
		err := b.Update(func(tx *Tx) error {
			if round > 0 {
				if err := errors.Join(tx.Release("item", name), tx.Delete("item", "id")); err != nil {
					return err
				}
			}
			return errors.Join(tx.Claim("item", name, "id"), tx.Put("value", "id", []byte(value)),
				tx.Put("item", "id", []byte(`{"name":"`+name+`","tags":["`+tag+`"]}`)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, canary := range []string{name, value, tag} {
		if hits := scanFor(t, s.path, canary); hits != nil {
			t.Errorf("%s is readable as %v", canary, hits)
		}
	}
	if hits := scanFor(t, s.path, "item/id"); len(hits) != 1 || hits[0] != "plain" {
		t.Errorf("the record's own key was not found: %v", hits)
	}
	leaked := read(t, s.db)
	for form := range forms(value) {
		text := []byte(value)
		switch shift := form[len(form)-1]; {
		case form == "hex":
			text = []byte(hex.EncodeToString(text))
		case form == "HEX":
			text = []byte(strings.ToUpper(hex.EncodeToString(text)))
		case strings.HasPrefix(form, "base64url"):
			text = []byte(base64.URLEncoding.EncodeToString([]byte("xxx"[:shift-'0'] + value + "yy")))
		case strings.HasPrefix(form, "base64"):
			text = []byte(base64.StdEncoding.EncodeToString([]byte("xxx"[:shift-'0'] + value + "yy")))
		}
		leaked["leak/"+form] = string(text)
	}
	clean := read(t, s.db)
	write(t, s.db, leaked)
	if hits := scanFor(t, s.path, value); len(hits) != len(forms(value)) {
		t.Errorf("of a canary written on purpose only %v was found", hits)
	}
	write(t, s.db, clean)
}

func FuzzRecord(f *testing.F) {
	a, err := secret.NewArena(1 << 20)
	if err != nil {
		f.Fatal(err)
	}
	key, err := a.From(bytes.Repeat([]byte{5}, 32))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := hex.DecodeString(knownRecord)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:minRecord])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(b)
		if err == nil {
			_, err = r.openPublic(a, key, "item", "x")
		}
		if (err == nil) != bytes.Equal(b, raw) || (err != nil && !errors.Is(err, ErrCorrupt)) {
			t.Errorf("%x: %v", b, err)
		}
	})
}

func FuzzKeyring(f *testing.F) {
	a, err := secret.NewArena(1 << 20)
	if err != nil {
		f.Fatal(err)
	}
	raw, err := hex.DecodeString(keyringHex)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:keyringHead])
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decodeKeyring(a, bytes.Clone(b))
		switch {
		case errors.Is(err, ErrCorrupt), errors.Is(err, secret.ErrFull):
		case err != nil:
			t.Error(err)
		default:
			again, err := k.encode(a)
			if err != nil || !bytes.Equal(again.Reveal(), b) {
				t.Errorf("%x came back changed: %v", b, err)
			}
			again.Wipe()
			k.wipe()
		}
		if a.InUse() != 0 {
			t.Errorf("%d bytes stayed in the arena", a.InUse())
		}
	})
}

func FuzzPlaintexts(f *testing.F) {
	f.Add(rootRecord{commit: 1}.encode())
	f.Add(claim{"item", "n", "id1"}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRoot(b); err == nil && !bytes.Equal(r.encode(), b) {
			t.Errorf("root %x", b)
		}
		if c, err := decodeClaim(b); err == nil && !bytes.Equal(c.encode(), b) {
			t.Errorf("claim %x", b)
		}
		if kind, id, err := splitKey(string(b)); err == nil && !bytes.Equal(recordKey(kind, id), b) {
			t.Errorf("key %q", b)
		}
	})
}

const (
	knownRecord = "010100000001abababababababababababababababab000000010000000000000009" +
		"0606060606060606060606060606060606060606060606060606060606060606" +
		"f046c37421d0fb42b69c45c1a2340a935984b1ad38"
	knownTerm = "48990d385c36933cfc149bc62b544ea5c74a7ca7fb701ef1edc18dbc8aeb530b"
)
