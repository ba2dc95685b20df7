package seal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

// knownID is the first 4 bytes of the SHA-256 of the salt in knownHeader.
const knownID = "cfe9dc1d"

var noon = time.Date(2030, 1, 2, 12, 0, 0, 5, time.UTC)

// opens says whether a key file's slot gives the root key.
func (h *Header) opens(t testing.TB, a *secret.Arena, key, root *secret.Buffer) bool {
	t.Helper()
	got, err := h.UnsealKeyFile(a, key)
	if err != nil {
		if !errors.Is(err, ErrWrongKey) && !errors.Is(err, ErrNoSlot) {
			t.Error(err)
		}
		return false
	}
	defer got.Wipe()
	if !secret.Equal(got.Reveal(), root.Reveal()) {
		t.Error("another root key came back")
	}
	return true
}

func TestSlots(t *testing.T) {
	t.Parallel()
	a, path := arena(t), filepath.Join(t.TempDir(), "seal.json")
	root, first, second, phrase := random(t, a), random(t, a), random(t, a), text(t, a, goodPhrase)
	if err := Create(a, path, vault, root, first); err != nil {
		t.Fatal(err)
	}
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	one := h.Slots()[0]
	if _, _, err := h.Without(one.ID); !errors.Is(err, ErrLastSlot) {
		t.Errorf("the last one: %v", err)
	}
	if _, _, err := h.Without("00000000"); !errors.Is(err, ErrSlotID) {
		t.Error(err)
	}
	two, told, err := h.WithKeyFile(a, root, second, noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Slots()) != 1 || told.Kind != "key_file" || !told.Created.Equal(noon.Truncate(time.Second)) || told.ID == one.ID {
		t.Errorf("%+v beside %+v", told, h.Slots())
	}
	three, _, err := two.withPassphrase(a, root, phrase, cheap, noon)
	if err != nil {
		t.Fatal(err)
	}
	four, set, lines, err := three.WithShares(a, root, 3, 2, noon)
	if err != nil {
		t.Fatal(err)
	}
	defer wipeAll(lines)
	if set.Kind != "shamir" || set.Need != 2 || set.Of != 3 {
		t.Errorf("%+v", set)
	}
	if _, _, _, err := four.WithShares(a, root, 3, 2, noon); !errors.Is(err, ErrSecondSet) {
		t.Errorf("a second set: %v", err)
	}
	if err := four.Save(path); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(loaded.Slots()), fmt.Sprint(four.Slots()); got != want || len(loaded.Slots()) != 4 {
		t.Errorf("read %s, written %s", got, want)
	}
	if !loaded.opens(t, a, first, root) || !loaded.opens(t, a, second, root) || loaded.opens(t, a, random(t, a), root) {
		t.Error("the key files do not open it as they must")
	}
	if got, err := loaded.UnsealPassphrase(a, phrase); err != nil || !secret.Equal(got.Reveal(), root.Reveal()) {
		t.Errorf("the passphrase: %v", err)
	} else {
		got.Wipe()
	}
	without, gone, err := loaded.Without(one.ID)
	if err != nil || gone.ID != one.ID || without.opens(t, a, first, root) || !without.opens(t, a, second, root) {
		t.Errorf("without the first: %+v, %v", gone, err)
	}
	if without, _, err = without.Without(set.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := without.ReadShare(a, lines[0]); !errors.Is(err, ErrNoSlot) {
		t.Errorf("a share of the set that was removed: %v", err)
	}
	_, _, fresh, err := without.WithShares(a, root, 2, 2, noon)
	if err != nil {
		t.Errorf("another set after the first was removed: %v", err)
	}
	wipeAll(fresh)
}

// TestOldSlotsKeepTheirID: what was written before slots had IDs has the same one at every reading, and keeps its text
// when others come and go. A kind that this version does not know is kept, and does not count as a way in.
func TestOldSlotsKeepTheirID(t *testing.T) {
	t.Parallel()
	a := arena(t)
	later := strings.Replace(knownHeader, `"slots":[`, `"slots":[{"kind":"tpm","id":"0a0b0c0d","more":[1,2]},{"kind":"tpm","handle":7},`, 1)
	h, err := Parse([]byte(later))
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
	slots := h.Slots()
	if slots[0].ID != "0a0b0c0d" || slots[0].Kind != "tpm" || !validSlotID(slots[1].ID) || slots[2].ID != knownID || !slots[2].Created.IsZero() {
		t.Errorf("%+v", slots)
	}
	if _, _, err := h.Without(knownID); !errors.Is(err, ErrLastSlot) {
		t.Errorf("the only slot that this version can open: %v", err)
	}
	more, _, err := h.WithKeyFile(a, root, random(t, a), noon)
	if err != nil {
		t.Fatal(err)
	}
	text, err := more.Text()
	if err != nil {
		t.Fatal(err)
	}
	if h, err = Parse(text); err != nil {
		t.Fatal(err)
	}
	for i, s := range slots {
		if h.Slots()[i] != s {
			t.Errorf("slot %d was %+v and is %+v", i+1, s, h.Slots()[i])
		}
	}
	if compact := strings.NewReplacer(" ", "", "\n", "").Replace(string(text)); !strings.Contains(compact, `{"kind":"tpm","id":"0a0b0c0d","more":[1,2]},{"kind":"tpm","handle":7}`) {
		t.Errorf("a later version's slot was changed:\n%s", text)
	}
	if !h.opens(t, a, key, root) {
		t.Error("the old key opens it no more")
	}
}

func TestSlotsThatAreRefused(t *testing.T) {
	t.Parallel()
	a := arena(t)
	root, key := random(t, a), random(t, a)
	h := &Header{vault: vault}
	for range maxSlots {
		next, _, err := h.WithKeyFile(a, root, key, noon)
		if err != nil {
			t.Fatal(err)
		}
		h = next
	}
	if _, _, err := h.WithKeyFile(a, root, key, noon); !errors.Is(err, ErrSlots) {
		t.Errorf("one too many: %v", err)
	}
	if _, _, err := h.WithPassphrase(a, root, text(t, a, "short"), noon); !errors.Is(err, ErrPassphrase) {
		t.Error(err)
	}
	if _, _, _, err := h.WithShares(a, root, 3, 1, noon); !errors.Is(err, ErrShareCount) {
		t.Error(err)
	}
	short, err := a.New(31)
	if err != nil {
		t.Fatal(err)
	}
	defer short.Wipe()
	if _, _, err := (&Header{vault: vault}).WithKeyFile(a, short, key, noon); err == nil {
		t.Error("a short root key was taken")
	}
	twice := strings.Replace(knownHeader, `"slots":[`, `"slots":[{"kind":"tpm","id":"`+knownID+`"},`, 1)
	for what, text := range map[string]string{
		"an ID twice":       twice,
		"an ID that is not": strings.Replace(knownHeader, `"salt"`, `"id":"xyz","salt"`, 1),
		"an upper-case ID":  strings.Replace(knownHeader, `"salt"`, `"id":"0A0B0C0D","salt"`, 1),
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrHeader) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestSaveLeavesOneOrTheOther: where the new header cannot be written the old one is there, whole.
func TestSaveLeavesOneOrTheOther(t *testing.T) {
	t.Parallel()
	a, dir := arena(t), t.TempDir()
	path := filepath.Join(dir, "seal.json")
	root, key := random(t, a), random(t, a)
	if err := Create(a, path, vault, root, key); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := h.WithKeyFile(a, root, random(t, a), noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Save(filepath.Join(dir, "gone", "seal.json")); err == nil {
		t.Error("written into a folder that is not there")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%s, %v", after, err)
	}
	if err := next.Save(path); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Error(entries, err)
	}
}
