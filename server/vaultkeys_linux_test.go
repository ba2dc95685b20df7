//go:build goexperiment.runtimesecret && linux && (amd64 || arm64)

package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/test/kit"
)

// vaultKeys are the keys of a vault, worked out from its files alone, as the packages seal and barrier describe them,
// and from what opens it. They share no code with the server, so that a key that is looked for is the right one.
type vaultKeys struct {
	t       *testing.T
	id      []byte
	slot    sealSlot
	secrets []kit.Secret
}

type sealSlot struct {
	Kind string
	Cost struct {
		Memory uint32 `json:"memory_kib"`
		Passes uint32
		Lanes  uint8
	} `json:"argon2id"`
	Salt, Sealed []byte
}

func keysOf(t *testing.T, data string) *vaultKeys {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "vault", "seal.json"))
	if err != nil {
		t.Fatal(err)
	}
	var header struct {
		Vault string
		Slots []sealSlot
	}
	if err := json.Unmarshal(text, &header); err != nil || len(header.Slots) != 1 {
		t.Fatalf("%s: %v", text, err)
	}
	v := &vaultKeys{t: t, slot: header.Slots[0]}
	if v.id, err = hex.DecodeString(header.Vault); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *vaultKeys) add(name string, key []byte) {
	v.secrets = append(v.secrets, kit.Secret{Name: name, Bytes: key})
}

// addMasked adds a key with what HMAC makes of it: the two halves that are as good as the key.
func (v *vaultKeys) addMasked(name string, key []byte) {
	v.add(name, key)
	for half, mask := range map[string]byte{"inner": 0x36, "outer": 0x5c} {
		masked := make([]byte, len(key))
		for i := range key {
			masked[i] = key[i] ^ mask
		}
		v.add(name+", "+half+" half", masked)
	}
}

func (v *vaultKeys) derive(key, salt []byte, info string) []byte {
	v.t.Helper()
	out, err := hkdf.Key(sha256.New, key, salt, info, 32)
	if err != nil {
		v.t.Fatal(err)
	}
	return out
}

// open is AES-256-GCM with a nonce of zeros.
func (v *vaultKeys) open(key, sealed, ad []byte) []byte {
	v.t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		v.t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		v.t.Fatal(err)
	}
	plain, err := gcm.Open(nil, make([]byte, 12), sealed, ad)
	if err != nil {
		v.t.Fatal(err)
	}
	return plain
}

// framed is texts, each after its length.
func framed(b []byte, texts ...string) []byte {
	for _, s := range texts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// unwrap takes the slot's secret, and adds it and the keys that it leads to.
func (v *vaultKeys) unwrap(data string, material []byte) {
	v.t.Helper()
	v.addMasked("the slot's secret", material)
	wrapping := v.derive(material, v.slot.Salt, "strongroom seal "+v.slot.Kind+" v1")
	v.add("wrapping key", wrapping)
	root := v.open(wrapping, v.slot.Sealed, append(framed(nil, "strongroom seal v1", v.slot.Kind), v.id...))
	v.addMasked("root key", root)
	zero := v.derive(root, v.id, "strongroom keyring v1")
	v.addMasked("keyring's key", zero)
	v.records(data, zero)
}

func (v *vaultKeys) keyFile(data, path string) {
	v.t.Helper()
	line, err := os.ReadFile(path)
	if err != nil {
		v.t.Fatal(err)
	}
	key, err := hex.DecodeString(strings.TrimSpace(strings.TrimPrefix(string(line), "strongroom-key-v1:")))
	if err != nil {
		v.t.Fatal(err)
	}
	v.unwrap(data, key)
}

func (v *vaultKeys) passphrase(data, phrase string) {
	v.t.Helper()
	v.add("passphrase", []byte(phrase))
	c := v.slot.Cost
	v.unwrap(data, argon2.IDKey([]byte(phrase), v.slot.Salt, c.Passes, c.Memory, c.Lanes, 32))
}

// shares takes as many lines as open the vault, and puts them together by Lagrange's formula.
func (v *vaultKeys) shares(data string, lines []string) {
	v.t.Helper()
	material := make([]byte, 32)
	var xs []byte
	var values [][]byte
	for _, line := range lines {
		parts := strings.Split(line, ":")
		x, err1 := strconv.Atoi(parts[3])
		value, err2 := hex.DecodeString(parts[5])
		if err1 != nil || err2 != nil {
			v.t.Fatal(err1, err2)
		}
		xs, values = append(xs, byte(x)), append(values, value)
		v.addMasked(fmt.Sprintf("share %d", x), value)
	}
	for i, x := range xs {
		weight := byte(1)
		for _, other := range xs {
			if other != x {
				weight = product(weight, quotient(other, other^x))
			}
		}
		for at, y := range values[i] {
			material[at] ^= product(weight, y)
		}
	}
	v.unwrap(data, material)
}

// product is that of GF(2^8) by schoolbook: carry-less, then reduced by x^8+x^4+x^3+x+1.
func product(a, b byte) byte {
	var p uint
	for bit := range 8 {
		p ^= uint(a) << bit * (uint(b) >> bit & 1)
	}
	for bit := 14; bit >= 8; bit-- {
		p ^= 0x11b << (bit - 8) * (p >> bit & 1)
	}
	return byte(p)
}

func quotient(a, b byte) byte {
	for q := range 256 {
		if product(byte(q), b) == a {
			return byte(q)
		}
	}
	panic("no quotient")
}

// records reads a copy of the vault's file, since the server has the original.
func (v *vaultKeys) records(data string, zero []byte) {
	v.t.Helper()
	file, err := os.ReadFile(filepath.Join(data, "vault", "vault.db"))
	if err != nil {
		v.t.Fatal(err)
	}
	copied := filepath.Join(v.t.TempDir(), "vault.db")
	if err := os.WriteFile(copied, file, 0o600); err != nil {
		v.t.Fatal(err)
	}
	db, err := store.Open(copied)
	if err != nil {
		v.t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx store.Tx) error {
		keys := v.keyring(tx, zero)
		n := 0
		return tx.Scan(nil, func(key, value []byte) error {
			kind, _, _ := strings.Cut(string(key), "/")
			number := binary.BigEndian.Uint32(value[2:])
			if n++; n <= 200 && number > 0 {
				v.add("key of a record of kind "+kind, v.derive(keys[number], value[34:66], "strongroom record v1"))
			}
			if kind == string(kindAuditKey) {
				v.add("audit's private key", v.plaintext(keys[number], string(key), value))
			}
			return nil
		})
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *vaultKeys) plaintext(numbered []byte, key string, value []byte) []byte {
	v.t.Helper()
	kind, id, _ := strings.Cut(key, "/")
	return v.open(v.derive(numbered, value[34:66], "strongroom record v1"), value[66:], framed(value[:34:34], kind, id))
}

// keyring reads the numbered keys.
func (v *vaultKeys) keyring(tx store.Tx, zero []byte) map[uint32][]byte {
	v.t.Helper()
	b := v.plaintext(zero, "keyring/main", tx.Get([]byte("keyring/main")))
	v.addMasked("set-hash key", b[5:37])
	v.addMasked("name-index key", b[37:69])
	keys := map[uint32][]byte{}
	for e := b[73:]; len(e) > 0; e = e[36:] {
		n := binary.BigEndian.Uint32(e)
		keys[n] = e[4:36]
		v.addMasked(fmt.Sprintf("keyring's key %d", n), keys[n])
	}
	return keys
}
