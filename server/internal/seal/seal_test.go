package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/test/kit"
)

const vault = "00112233445566778899aabbccddeeff"

func arena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.InUse() != 0 {
			t.Errorf("%d bytes were not wiped", a.InUse())
		}
		_ = a.Close()
	})
	return a
}

func random(t testing.TB, a *secret.Arena) *secret.Buffer {
	t.Helper()
	b, err := a.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Wipe)
	return b
}

func TestUnseal(t *testing.T) {
	t.Parallel()
	a, path := arena(t), filepath.Join(t.TempDir(), "seal.json")
	root, key := random(t, a), random(t, a)
	if err := Create(a, path, vault, root, key); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if h.Vault() != vault {
		t.Error(h.Vault())
	}
	got, err := h.UnsealKeyFile(a, key)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Wipe()
	if !secret.Equal(got.Reveal(), root.Reveal()) {
		t.Error("another root key came back")
	}
	if _, err := h.UnsealKeyFile(a, random(t, a)); !errors.Is(err, ErrWrongKey) {
		t.Error(err)
	}
	if err := Create(a, path, vault, root, key); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}

// TestKnownHeader opens a header typed in here, so that the format cannot change unnoticed. Made once with this
// package from a key of 32 bytes 0x01 and a root key of 32 bytes 0x02.
func TestKnownHeader(t *testing.T) {
	t.Parallel()
	a := arena(t)
	h, err := Parse([]byte(knownHeader))
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.From(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Wipe()
	root, err := h.UnsealKeyFile(a, key)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Wipe()
	if want := strings.Repeat("02", 32); hex.EncodeToString(root.Reveal()) != want {
		t.Errorf("%x", root.Reveal())
	}
}

// TestEveryByteOfTheHeader: with any byte changed there is a named error or the same root key.
func TestEveryByteOfTheHeader(t *testing.T) {
	t.Parallel()
	a := arena(t)
	root, key := random(t, a), random(t, a)
	path := filepath.Join(t.TempDir(), "seal.json")
	if err := Create(a, path, vault, root, key); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		for _, flip := range []byte{1, 0x20, 0x80} {
			changed := bytes.Clone(text)
			changed[i] ^= flip
			h, err := Parse(changed)
			if err == nil {
				var got *secret.Buffer
				got, err = h.UnsealKeyFile(a, key)
				if err == nil && !secret.Equal(got.Reveal(), root.Reveal()) {
					t.Errorf("byte %d ^ %#x: another root key", i, flip)
				}
				got.Wipe()
			}
			if err != nil && !errors.Is(err, ErrHeader) && !errors.Is(err, ErrWrongKey) &&
				!errors.Is(err, ErrNewerFormat) && !errors.Is(err, ErrNoSlot) {
				t.Errorf("byte %d ^ %#x: %v", i, flip, err)
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	slots := knownHeader[strings.Index(knownHeader, `"slots"`):]
	for what, tc := range map[string]struct {
		text string
		want error
	}{
		"a slot of a later kind": {strings.Replace(knownHeader, `"slots":[`, `"slots":[{"kind":"later","k":2},`, 1), nil},
		"empty":                  {"", ErrHeader},
		"a newer format":         {`{"format":2,"something":"else"}`, ErrNewerFormat},
		"format 0":               {`{"format":0}`, ErrHeader},
		"no vault":               {`{"format":1,` + slots, ErrHeader},
		"a short vault":          {`{"format":1,"vault":"00",` + slots, ErrHeader},
		"upper case":             {strings.Replace(knownHeader, "aabb", "AABB", 1), ErrHeader},
		"no slots":               {`{"format":1,"vault":"` + vault + `","slots":[]}`, ErrHeader},
		"an unknown member":      {strings.Replace(knownHeader, `"slots"`, `"x":1,"slots"`, 1), ErrHeader},
		"unknown in the slot":    {strings.Replace(knownHeader, `"salt"`, `"x":1,"salt"`, 1), ErrHeader},
		"two values":             {knownHeader + "{}", ErrHeader},
		"too long":               {knownHeader + strings.Repeat(" ", 1<<16), ErrHeader},
		"a short salt":           {strings.Replace(knownHeader, `"salt":"`, `"salt":"AAAA","was":"`, 1), ErrHeader},
	} {
		if _, err := Parse([]byte(tc.text)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", what, err, tc.want)
		}
	}
	h, err := Parse([]byte(`{"format":1,"vault":"` + vault + `","slots":[{"kind":"later"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	a := arena(t)
	if _, err := h.UnsealKeyFile(a, random(t, a)); !errors.Is(err, ErrNoSlot) {
		t.Error(err)
	}
}

func TestMovedSlot(t *testing.T) {
	t.Parallel()
	a := arena(t)
	h, err := Parse([]byte(strings.Replace(knownHeader, vault, "ff"+vault[2:], 1)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := a.From(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	defer key.Wipe()
	if _, err := h.UnsealKeyFile(a, key); !errors.Is(err, ErrWrongKey) {
		t.Errorf("a slot was accepted in another vault's header: %v", err)
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	a, path := arena(t), filepath.Join(t.TempDir(), "key")
	key, err := NewKeyFile(a, path)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Wipe()
	text, err := os.ReadFile(path)
	if want := "strongroom-key-v1:" + hex.EncodeToString(key.Reveal()) + "\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	again, err := ReadKeyFile(a, path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Wipe()
	if !secret.Equal(again.Reveal(), key.Reveal()) {
		t.Error("another key was read")
	}
	if _, err := NewKeyFile(a, path); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
}

func TestReadKeyFileRefuses(t *testing.T) {
	t.Parallel()
	a, dir := arena(t), t.TempDir()
	good := "strongroom-key-v1:" + strings.Repeat("ab", 32)
	for what, tc := range map[string]struct {
		text string
		mode os.FileMode
		want error
		says string
	}{
		"group may read":   {good, 0o640, ErrKeyFile, "chmod 600"},
		"world may read":   {good, 0o604, ErrKeyFile, "chmod 600"},
		"group may write":  {good, 0o620, ErrKeyFile, "chmod 600"},
		"read-only":        {good + "\n", 0o400, nil, ""},
		"no line feed":     {good, 0o600, nil, ""},
		"CR LF":            {good + "\r\n", 0o600, nil, ""},
		"empty":            {"", 0o600, ErrKeyFile, "init"},
		"raw bytes":        {strings.Repeat("\x01", 32), 0o600, ErrKeyFile, "init"},
		"a digit less":     {good[:len(good)-1] + "\n", 0o600, ErrKeyFile, "init"},
		"two lines":        {good + "\n" + good + "\n", 0o600, ErrKeyFile, "init"},
		"not hex":          {good[:len(good)-2] + "zq", 0o600, ErrKeyFile, "hex digits"},
		"another prefix":   {strings.Replace(good, "v1", "v2", 1), 0o600, ErrKeyFile, "init"},
		"far too long":     {strings.Repeat("a", 1<<20), 0o600, ErrKeyFile, "init"},
		"something before": {" " + good, 0o600, ErrKeyFile, "init"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(what, " ", "-"))
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		key, err := ReadKeyFile(a, path)
		key.Wipe()
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if err != nil && (!strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %v does not say %q and the path", what, err, tc.says)
		}
		if err != nil && (strings.Contains(err.Error(), "abab") || strings.Contains(err.Error(), "zq")) {
			t.Errorf("%s: the key is in the error: %v", what, err)
		}
	}
	if _, err := ReadKeyFile(a, dir); !errors.Is(err, ErrKeyFile) {
		t.Error(err)
	}
	if _, err := ReadKeyFile(a, filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestKeyFileFromSystemd(t *testing.T) {
	dir := t.TempDir()
	a, path := arena(t), filepath.Join(dir, "vault-key")
	key, err := NewKeyFile(a, path)
	if err != nil {
		t.Fatal(err)
	}
	key.Wipe()
	for _, tc := range []struct {
		credentials string
		mode        os.FileMode
		ok          bool
	}{
		{dir, 0o440, true}, {dir + "/", 0o400, true}, {dir, 0o444, false}, {dir, 0o460, false},
		{filepath.Dir(dir), 0o440, false}, {"", 0o440, false},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", tc.credentials)
		if err := os.Chmod(path, tc.mode); err != nil {
			t.Fatal(err)
		}
		key, err := ReadKeyFile(a, path)
		key.Wipe()
		if (err == nil) != tc.ok {
			t.Errorf("%q %04o: %v", tc.credentials, tc.mode, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(knownHeader))
	f.Add([]byte(knownPassphrase))
	f.Add([]byte(`{"format":1,"vault":"` + vault + `","slots":[{"kind":"shamir","set":"0011223344556677","threshold":2,"checks":["",""],"salt":"","sealed":""}]}`))
	f.Add([]byte(`{"format":1,"vault":"` + vault + `","slots":[{"kind":"later"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrHeader) && !errors.Is(err, ErrNewerFormat) {
				t.Error(err)
			}
			return
		}
		if len(h.slots) == 0 || len(h.Vault()) != 32 {
			t.Errorf("accepted %q", text)
		}
	})
}

const knownHeader = `{"format":1,"vault":"` + vault + `","slots":[{"kind":"key_file","salt":"OG+8pJXSXnbrwJ6GkvaEs9WKrWYHezi0omVeZpwwKCw=","sealed":"gkbcJz/8eKGvX13LMxn3d44H5HljQ738duteiK8H1TcfpkA12RYfSUCRjuhuOLco"}]}`

// A key file that another user put there is one whose key he may know.
func TestKeyFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	kit.NeedRoot(t) // who alone can give a file away
	a, err := secret.NewArena(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	path := filepath.Join(t.TempDir(), "unseal.key")
	key, err := NewKeyFile(a, path)
	if err != nil {
		t.Fatal(err)
	}
	key.Wipe()
	if err := os.Chown(path, 65534, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(a, path); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "another user") {
		t.Errorf("%v, want ErrKeyFile that says whose it is", err)
	}
}
