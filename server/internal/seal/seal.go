// Package seal keeps the root key of a vault between two runs of the server: in a header file of slots, each of which
// holds the same root key encrypted under something operators have: a key file, a passphrase, or so many of a set of
// shares.
//
// It must not keep a root key or what opens it in memory beyond a call, and knows nothing of what the root key opens.
//
// # The header file
//
// JSON, at most 64 KiB, mode 0600:
//
//	{"format":1,"vault":"32 hex digits","slots":[
//	  {"kind":"key_file","id":"8 hex digits","created":"RFC 3339","salt":"base64","sealed":"base64"},
//	  {"kind":"passphrase",…,"argon2id":{"memory_kib":65536,"passes":3,"lanes":4},"salt":"base64","sealed":"base64"},
//	  {"kind":"shamir",…,"set":"16 hex digits","threshold":3,"checks":["base64",…],"salt":"base64","sealed":"base64"}]}
//
// id and created are there for people, and absent from slots that were made before there was more than one: these go by
// the first 4 bytes of their salt's SHA-256. A slot is written once and never changed; the file is replaced as a whole.
//
// In every slot salt is 32 random bytes; the wrapping key is HKDF-SHA256(slot's secret, salt, "strongroom seal " kind
// " v1"), 32 bytes, used once; sealed is the 32-byte root key under AES-256-GCM with a nonce of zeros. The associated
// data are "strongroom seal v1" and the slot's kind, each after its length as a big-endian u32, and the vault's 16 bytes.
// The slot's secret is 32 bytes: those of the key file; Argon2id of the passphrase over the same salt, at the slot's
// cost; what the shares were made from. Slots of other kinds may stand beside it, with members of their own; this
// version skips them.
//
// checks has an HMAC-SHA256 for each share, under the share's value, of "strongroom seal share v1", the vault's 16 bytes,
// the set's 8 bytes and the share's index as one byte. It tells nothing of the value, which is 32 random bytes, and lets
// a share that somebody made up be refused by itself.
//
// # The key file
//
// One line: "strongroom-key-v1:", 64 lower-case hex digits, a line feed.
//
// # A share
//
// One line: "strongroom-share-v1:VAULT:SET:INDEX:THRESHOLD:VALUE:CHECKSUM". VALUE is 64 lower-case hex digits, INDEX and
// THRESHOLD are decimal, CHECKSUM is the first 8 hex digits of the SHA-256 of all that stands before its colon.
package seal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

const (
	formatVersion = 1
	maxHeader     = 64 << 10
	maxSlots      = 64
	keySize       = 32
	saltSize      = 32
	vaultSize     = 16

	kindKeyFile    = "key_file"
	kindPassphrase = "passphrase"
	kindShamir     = "shamir"
)

var knownKinds = []string{kindKeyFile, kindPassphrase, kindShamir}

var (
	// ErrWrongKey: the key file, the passphrase or the shares do not open the header. A header changed by somebody looks the same.
	ErrWrongKey = errors.New("seal: the key does not open this vault")
	// ErrHeader: the header file is damaged.
	ErrHeader = errors.New("seal: header is damaged")
	// ErrNewerFormat: the header was written by a later version of the product.
	ErrNewerFormat = errors.New("seal: header has a newer format than this version can read")
	// ErrNoSlot: the header has no slot of the kind that was asked for.
	ErrNoSlot = errors.New("this vault is not sealed this way")
	// ErrKeyFile: the key file is unfit; the wrapping error says why and what to do.
	ErrKeyFile = errors.New("seal: key file cannot be used")
)

// Header is a header file as it was read. It never changes: what adds or removes a slot makes another one.
type Header struct {
	vault string
	slots []slot
}

type slot struct {
	Kind      string     `json:"kind"`
	ID        string     `json:"id,omitempty"`
	Created   time.Time  `json:"created,omitzero"`
	Argon2id  *argonCost `json:"argon2id,omitempty"`  // passphrase
	Set       string     `json:"set,omitempty"`       // shamir, as the next two
	Threshold int        `json:"threshold,omitempty"` // how many shares open it
	Checks    [][]byte   `json:"checks,omitempty"`    // one for each share
	Salt      []byte     `json:"salt"`
	Sealed    []byte     `json:"sealed"`

	raw json.RawMessage // as it is in the file, also of a kind that this version does not know
}

type headerFile struct {
	Format int               `json:"format"`
	Vault  string            `json:"vault"`
	Slots  []json.RawMessage `json:"slots"`
}

// Create writes a new header file with one slot, which keyFile opens. vault is 32 lower-case hex digits, root 32 bytes.
// A file at path is never replaced: that is os.ErrExist.
func Create(a *secret.Arena, path string, vault string, root *secret.Buffer, keyFile *secret.Buffer) error {
	h, _, err := (&Header{vault: vault}).WithKeyFile(a, root, keyFile, time.Now())
	if err != nil {
		return err
	}
	return h.create(path)
}

func (h *Header) create(path string) error {
	text, err := h.Text()
	if err != nil {
		return err
	}
	if err := durable.Create(path, text); err != nil {
		return fmt.Errorf("seal: write header: %w", err)
	}
	return nil
}

func newSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: it ends the process instead
	return salt
}

// Load reads the header file at path.
func Load(path string) (*Header, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("seal: read header: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHeader+1))
	if err != nil {
		return nil, fmt.Errorf("seal: read header %s: %w", path, err)
	}
	h, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Parse reads the text of a header file.
func Parse(text []byte) (*Header, error) {
	if len(text) > maxHeader {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrHeader, maxHeader)
	}
	var version struct{ Format int }
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, fmt.Errorf("%w: not JSON: %v", ErrHeader, err)
	}
	switch {
	case version.Format > formatVersion:
		return nil, fmt.Errorf("%w: it has format %d, this version reads up to %d", ErrNewerFormat, version.Format, formatVersion)
	case version.Format != formatVersion:
		return nil, fmt.Errorf("%w: format %d", ErrHeader, version.Format)
	}
	var file headerFile
	if err := strict(text, &file); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrHeader, err)
	}
	if _, err := decodeVault(file.Vault); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrHeader, err)
	}
	if len(file.Slots) == 0 || len(file.Slots) > maxSlots {
		return nil, fmt.Errorf("%w: %d slots", ErrHeader, len(file.Slots))
	}
	h := &Header{vault: file.Vault}
	for i, raw := range file.Slots {
		s, err := parseSlot(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: slot %d: %v", ErrHeader, i+1, err)
		}
		if s.Kind == kindShamir && h.has(kindShamir) {
			return nil, fmt.Errorf("%w: slot %d: a second set of shares", ErrHeader, i+1)
		}
		if h.find(s.ID) >= 0 {
			return nil, fmt.Errorf("%w: slot %d: a second one with its ID", ErrHeader, i+1)
		}
		h.slots = append(h.slots, s)
	}
	return h, nil
}

// parseSlot is strict with the kinds it knows; of others, which a later version may have added, it keeps the text.
func parseSlot(raw []byte) (slot, error) {
	var kind struct{ Kind, ID string }
	if err := json.Unmarshal(raw, &kind); err != nil {
		return slot{}, err
	}
	if !slices.Contains(knownKinds, kind.Kind) {
		s := slot{Kind: kind.Kind, ID: kind.ID, raw: raw}
		if !validSlotID(s.ID) {
			var text bytes.Buffer // how it is indented changes when the file is written anew
			if err := json.Compact(&text, raw); err != nil {
				return slot{}, err
			}
			s.ID = slotID(text.Bytes())
		}
		return s, nil
	}
	s := slot{raw: raw}
	if err := strict(raw, &s); err != nil {
		return slot{}, err
	}
	if s.ID == "" {
		s.ID = slotID(s.Salt)
	}
	if !validSlotID(s.ID) {
		return slot{}, fmt.Errorf("its ID must be %d lower-case hex digits", 2*slotIDSize)
	}
	if len(s.Salt) != saltSize || len(s.Sealed) != keySize+secret.Overhead {
		return slot{}, fmt.Errorf("salt of %d bytes and sealed key of %d", len(s.Salt), len(s.Sealed))
	}
	if (s.Kind == kindPassphrase) != (s.Argon2id != nil) || s.Argon2id != nil && !s.Argon2id.valid() {
		return slot{}, errors.New("the cost of Argon2id is missing, out of place or out of bounds")
	}
	if s.Kind == kindShamir {
		return s, s.validShamir()
	}
	if s.Set != "" || s.Threshold != 0 || s.Checks != nil {
		return slot{}, errors.New("shares are out of place")
	}
	return s, nil
}

// strict decodes text, which is known to be one JSON value, and refuses members it does not know.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Vault is the vault's ID, 32 hex digits.
func (h *Header) Vault() string { return h.vault }

// HasKeyFile reports whether a key file is among what opens the vault.
func (h *Header) HasKeyFile() bool { return h.has(kindKeyFile) }

// OpensWith says in words what opens the vault.
func (h *Header) OpensWith() string {
	var ways []string
	if h.has(kindKeyFile) {
		ways = append(ways, "a key file")
	}
	if h.has(kindPassphrase) {
		ways = append(ways, "a passphrase")
	}
	if need, of := h.Shares(); of > 0 {
		ways = append(ways, fmt.Sprintf("%d of its %d shares", need, of))
	}
	if len(ways) == 0 {
		return "something that this version does not know"
	}
	return strings.Join(ways, " or ")
}

func (h *Header) has(kind string) bool {
	return slices.ContainsFunc(h.slots, func(s slot) bool { return s.Kind == kind })
}

func (h *Header) noSlot() error { return fmt.Errorf("%w: it opens with %s", ErrNoSlot, h.OpensWith()) }

// UnsealKeyFile opens a key-file slot and returns the root key, which the caller wipes. It fails with ErrWrongKey if
// none of them opens.
func (h *Header) UnsealKeyFile(a *secret.Arena, keyFile *secret.Buffer) (root *secret.Buffer, err error) {
	return h.try(a, kindKeyFile, func(slot) (*secret.Buffer, error) { return keyFile, nil })
}

// try opens the slots of a kind one after the other, each with the secret that material gives for it.
func (h *Header) try(a *secret.Arena, kind string, material func(slot) (*secret.Buffer, error)) (root *secret.Buffer, err error) {
	vault, err := decodeVault(h.vault)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrHeader, err)
	}
	err = h.noSlot()
	for _, s := range h.slots {
		if s.Kind != kind {
			continue
		}
		m, failed := material(s)
		if failed != nil {
			return nil, fmt.Errorf("seal: %w", failed)
		}
		if root, err = s.unwrap(a, vault, m); err == nil {
			return root, nil
		}
		if !errors.Is(err, secret.ErrOpen) {
			return nil, fmt.Errorf("seal: %w", err)
		}
		err = ErrWrongKey
	}
	return nil, err
}

// zeroNonce is safe because every wrapping key is derived over a new salt and used once.
var zeroNonce [secret.NonceSize]byte

func (s *slot) wrap(a *secret.Arena, vault []byte, root, material *secret.Buffer) error {
	key, err := s.key(a, material)
	if err != nil {
		return err
	}
	defer key.Wipe()
	s.Sealed, err = secret.Seal(nil, key, zeroNonce[:], root.Reveal(), associated(s.Kind, vault))
	return err
}

func (s *slot) unwrap(a *secret.Arena, vault []byte, material *secret.Buffer) (*secret.Buffer, error) {
	key, err := s.key(a, material)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return a.Open(key, zeroNonce[:], s.Sealed, associated(s.Kind, vault))
}

func (s *slot) key(a *secret.Arena, material *secret.Buffer) (*secret.Buffer, error) {
	if material.Len() != keySize {
		return nil, fmt.Errorf("%s of %d bytes, it takes %d", s.Kind, material.Len(), keySize)
	}
	return a.Derive(material, s.Salt, "strongroom seal "+s.Kind+" v1", secret.KeySize)
}

func associated(kind string, vault []byte) []byte {
	var ad []byte
	for _, part := range []string{"strongroom seal v1", kind} {
		ad = binary.BigEndian.AppendUint32(ad, uint32(len(part)))
		ad = append(ad, part...)
	}
	return append(ad, vault...)
}

func decodeVault(vault string) ([]byte, error) {
	id, err := hex.DecodeString(vault)
	if err != nil || len(id) != vaultSize || strings.ToLower(vault) != vault {
		return nil, fmt.Errorf("vault ID must be %d lower-case hex digits", 2*vaultSize)
	}
	return id, nil
}
