package seal

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

const goodPhrase = "anvil cobalt drifting ember fjord glacier hollow ink"

// cheap keeps the tests quick.
var cheap = argonCost{Memory: 64, Passes: 1, Lanes: 2}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	a, path := arena(t), filepath.Join(t.TempDir(), "seal.json")
	root := random(t, a)
	if err := CreateWithPassphrase(a, path, vault, root, text(t, a, goodPhrase)); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(written), `"memory_kib": 65536`) {
		t.Errorf("the cost is not in the slot: %s, %v", written, err)
	}
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.UnsealPassphrase(a, text(t, a, goodPhrase))
	if err != nil || !secret.Equal(got.Reveal(), root.Reveal()) {
		t.Error(err)
	}
	got.Wipe()
	if h.OpensWith() != "a passphrase" || h.HasKeyFile() {
		t.Error(h.OpensWith())
	}
	if _, err := h.UnsealKeyFile(a, random(t, a)); !errors.Is(err, ErrNoSlot) {
		t.Error(err)
	}
	if _, err := h.ReadShare(a, text(t, a, "x")); !errors.Is(err, ErrNoSlot) {
		t.Error(err)
	}
}

// TestKnownPassphraseHeader opens a header typed in here, so that the format cannot change unnoticed. Made once with
// this package from goodPhrase and a root key of 32 bytes 0x02.
func TestKnownPassphraseHeader(t *testing.T) {
	t.Parallel()
	a := arena(t)
	h, err := Parse([]byte(knownPassphrase))
	if err != nil {
		t.Fatal(err)
	}
	root, err := h.UnsealPassphrase(a, text(t, a, goodPhrase))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Wipe()
	if want := strings.Repeat("02", 32); hex.EncodeToString(root.Reveal()) != want {
		t.Errorf("%x", root.Reveal())
	}
	for _, wrong := range []string{goodPhrase + " ", goodPhrase[1:], strings.ToUpper(goodPhrase), ""} {
		if _, err := h.UnsealPassphrase(a, text(t, a, wrong)); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestTrivialPassphrases(t *testing.T) {
	t.Parallel()
	a := arena(t)
	for phrase, says := range map[string]string{
		"":                                    "0 characters",
		"short but otherwise fine, 35 chars!": "35 characters and needs 36",
		"anvil cobalt drifting ember fjor\xff glac":                                       "UTF-8",
		goodPhrase + strings.Repeat("Zw9", 400):                                           "longer",
		strings.Repeat("a", 40):                                                           "different",
		strings.Repeat("aB1", 20):                                                         "different",
		"31415926535897932384626433832795028841971693":                                    "digits",
		"8372-9165-0284-7731-6620-9958-1047-3382":                                         "digits",
		"abcdefghijklmnopqrstuvwxyz0123456789":                                            "sequence",
		"zyxwvutsrqponmlkjihgfedcba9876543210":                                            "sequence",
		"qwertyuiopasdfghjklzxcvbnmqwertyuiopasdf":                                        "sequence",
		"QWERTYUIOPqwertyuiopASDFGHJKLasdfghjkl":                                          "sequence",
		"aaaabbbbccccddddeeeeffffgggghhhhiiiijjjj":                                        "sequence",
		"correct horsecorrect horsecorrect horse":                                         "sequence",
		"Tr0ub4dor&3Tr0ub4dor&3Tr0ub4dor&3Tr0ub4dor&3":                                    "sequence",
		"passwordpassword1234567890passwordpassword":                                      "sequence",
		"\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4\u00e4" + strings.Repeat("\u00e4", 40): "different",
	} {
		err := CheckPassphrase(text(t, a, phrase))
		if !errors.Is(err, ErrPassphrase) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %s", phrase, err, says)
		}
		if len(phrase) > 3 && strings.Contains(err.Error(), phrase) {
			t.Errorf("the passphrase is in %v", err)
		}
		path := filepath.Join(t.TempDir(), "seal.json")
		if err := CreateWithPassphrase(a, path, vault, random(t, a), text(t, a, phrase)); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%q was used: %v", phrase, err)
		}
	}
	for _, phrase := range []string{
		goodPhrase,
		"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
		"k7Qz!mP2vX9#rT4wL8@nB5yH1$cJ6dF3gS0a",
		"Über den Wolken müßte die Freiheit ja wohl",
		"\u6f22\u5b57\u304b\u306a\u4ea4\u308a\u6587\u3092\u66f8\u304f\u6642\u306f\u8349\u6728\u82b1\u9ce5\u98a8\u6708\u6625\u590f\u79cb\u51ac\u6771\u897f\u5357\u5317\u5929\u5730\u5c71\u5ddd\u6d77\u7a7a\u96ea\u96f2\u661f\u68ee",
	} {
		if err := CheckPassphrase(text(t, a, phrase)); err != nil {
			t.Errorf("%q: %v", phrase, err)
		}
	}
}

func TestCostOutOfBounds(t *testing.T) {
	t.Parallel()
	for _, cost := range []string{
		`"argon2id":{"memory_kib":2097152,"passes":1,"lanes":1},`, `"argon2id":{"memory_kib":64,"passes":0,"lanes":1},`,
		`"argon2id":{"memory_kib":64,"passes":17,"lanes":1},`, `"argon2id":{"memory_kib":64,"passes":1,"lanes":0},`,
		`"argon2id":{"memory_kib":4,"passes":1,"lanes":1},`, `"argon2id":{"memory_kib":64,"passes":1,"lanes":300},`, ``,
	} {
		if _, err := Parse([]byte(strings.Replace(knownPassphrase, knownCost, cost, 1))); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: %v", cost, err)
		}
	}
	if _, err := Parse([]byte(strings.Replace(knownHeader, `"salt"`, knownCost+`"salt"`, 1))); !errors.Is(err, ErrHeader) {
		t.Errorf("a key file's slot with a cost: %v", err)
	}
}

const (
	knownCost       = `"argon2id":{"memory_kib":64,"passes":1,"lanes":2},`
	knownPassphrase = `{"format":1,"vault":"` + vault + `","slots":[{"kind":"passphrase",` + knownCost + `"salt":"jLHQOmBputbikUtGUWrPoQB00pdad6dMPm4D/UaKnwg=","sealed":"xRdEgyNmMNmWNSk5sA0vfj/XI+jv+JoNA03Ix05OiRUFrJKkmZYjkqnC0z0zKdLU"}]}`
)
