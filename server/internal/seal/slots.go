package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

var (
	// ErrLastSlot: without this slot nothing would open the vault.
	ErrLastSlot = errors.New("this is the last slot that opens the vault: add another one before you remove it")
	// ErrSlotID: the header has no slot of that ID.
	ErrSlotID = errors.New("there is no such slot")
	// ErrSecondSet: there is one set of shares at a time, so that a share says by itself whether it belongs here.
	ErrSecondSet = errors.New("there is a set of shares already: remove its slot first")
	// ErrSlots: the header is full.
	ErrSlots = errors.New("the vault has all the slots that it can have: remove one first")
)

const slotIDSize = 4

// Slot is what is told of a slot. Nothing of it is secret.
type Slot struct {
	ID      string // 8 hex digits
	Kind    string // "key_file", "passphrase", "shamir", or of a later version
	Created time.Time
	Need    int // of a set of shares: how many open it, and
	Of      int // how many there are
}

func (s slot) told() Slot {
	return Slot{ID: s.ID, Kind: s.Kind, Created: s.Created, Need: s.Threshold, Of: len(s.Checks)}
}

// Slots lists them in the order in which they were added.
func (h *Header) Slots() []Slot {
	out := make([]Slot, 0, len(h.slots))
	for _, s := range h.slots {
		out = append(out, s.told())
	}
	return out
}

// WithKeyFile is the header with one slot more, which keyFile opens. root is what the others hold; both stay the
// caller's. ErrSlots.
func (h *Header) WithKeyFile(a *secret.Arena, root, keyFile *secret.Buffer, now time.Time) (*Header, Slot, error) {
	return h.with(a, root, keyFile, slot{Kind: kindKeyFile, Salt: newSalt()}, now)
}

// WithPassphrase is as WithKeyFile, for a passphrase. ErrPassphrase: fewer than 36 characters, more than 1,024 bytes, or
// trivial. It takes as much memory and time as UnsealPassphrase.
func (h *Header) WithPassphrase(a *secret.Arena, root, passphrase *secret.Buffer, now time.Time) (*Header, Slot, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, Slot{}, err
	}
	return h.withPassphrase(a, root, passphrase, usualCost, now)
}

func (h *Header) withPassphrase(a *secret.Arena, root, passphrase *secret.Buffer, cost argonCost, now time.Time) (*Header, Slot, error) {
	s := slot{Kind: kindPassphrase, Argon2id: &cost, Salt: newSalt()}
	material, err := s.stretch(a, passphrase)
	if err != nil {
		return nil, Slot{}, fmt.Errorf("seal: %w", err)
	}
	defer material.Wipe()
	return h.with(a, root, material, s, now)
}

// WithShares is as WithKeyFile, for a new set of shares: threshold of them open it. It returns the shares' lines, which
// are nowhere else; the caller wipes them. ErrShareCount, ErrSecondSet.
func (h *Header) WithShares(a *secret.Arena, root *secret.Buffer, shares, threshold int, now time.Time) (*Header, Slot, []*secret.Buffer, error) {
	if err := CheckShareCount(shares, threshold); err != nil {
		return nil, Slot{}, nil, err
	}
	if h.has(kindShamir) {
		return nil, Slot{}, nil, ErrSecondSet
	}
	s, material, lines, err := dealAll(a, h.vault, shares, threshold)
	if err != nil {
		return nil, Slot{}, nil, fmt.Errorf("seal: %w", err)
	}
	defer material.Wipe()
	next, told, err := h.with(a, root, material, s, now)
	if err != nil {
		wipeAll(lines)
		return nil, Slot{}, nil, err
	}
	return next, told, lines, nil
}

// with puts the root key under material into s, and s behind the others.
func (h *Header) with(a *secret.Arena, root, material *secret.Buffer, s slot, now time.Time) (*Header, Slot, error) {
	vault, err := decodeVault(h.vault)
	if err != nil {
		return nil, Slot{}, fmt.Errorf("seal: %w", err)
	}
	if root.Len() != keySize {
		return nil, Slot{}, fmt.Errorf("seal: root key of %d bytes, it takes %d", root.Len(), keySize)
	}
	if len(h.slots) == maxSlots {
		return nil, Slot{}, ErrSlots
	}
	s.Created = now.UTC().Truncate(time.Second)
	for s.ID == "" || h.find(s.ID) >= 0 {
		s.ID = slotID(newSalt())
	}
	if err := s.wrap(a, vault, root, material); err != nil {
		return nil, Slot{}, fmt.Errorf("seal: %w", err)
	}
	if s.raw, err = json.Marshal(s); err != nil {
		return nil, Slot{}, fmt.Errorf("seal: %w", err)
	}
	next := &Header{vault: h.vault, slots: append(slices.Clone(h.slots), s)}
	if text, err := next.Text(); err != nil || len(text) > maxHeader {
		return nil, Slot{}, errors.Join(ErrSlots, err)
	}
	return next, s.told(), nil
}

// Without is the header without the slot of that ID. ErrSlotID where there is none, ErrLastSlot where no other would
// be left that this version can open.
func (h *Header) Without(id string) (*Header, Slot, error) {
	at := h.find(id)
	if at < 0 {
		return nil, Slot{}, ErrSlotID
	}
	next := &Header{vault: h.vault, slots: slices.Delete(slices.Clone(h.slots), at, at+1)}
	if !slices.ContainsFunc(knownKinds, next.has) {
		return nil, Slot{}, ErrLastSlot
	}
	return next, h.slots[at].told(), nil
}

func (h *Header) find(id string) int {
	return slices.IndexFunc(h.slots, func(s slot) bool { return s.ID == id })
}

// Text is the header as its file has it.
func (h *Header) Text() ([]byte, error) {
	file := headerFile{Format: formatVersion, Vault: h.vault}
	for _, s := range h.slots {
		file.Slots = append(file.Slots, s.raw)
	}
	text, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return append(text, '\n'), nil
}

// Save puts the header in the place of the file at path. After a crash it is the old file or the new one; after an
// error it may be either, which Load tells.
func (h *Header) Save(path string) error {
	text, err := h.Text()
	if err != nil {
		return err
	}
	if err := durable.Replace(path, text); err != nil {
		return fmt.Errorf("seal: write header: %w", err)
	}
	return nil
}

// slotID is a short name for what nobody chose.
func slotID(of []byte) string {
	sum := sha256.Sum256(of)
	return hex.EncodeToString(sum[:slotIDSize])
}

func validSlotID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == slotIDSize && strings.ToLower(id) == id
}
