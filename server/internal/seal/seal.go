// Package seal keeps the root key of a vault between two runs of the server: in a header file of slots, each of which
// holds the same root key encrypted under something an operator has. Now there is one kind of slot, a key file.
//
// It must not keep a root key or a key file in memory beyond a call, and knows nothing of what the root key opens.
//
// # The header file
//
// JSON, at most 64 KiB, mode 0600:
//
//	{"format":1,"vault":"32 hex digits","slots":[{"kind":"key_file","salt":"base64","sealed":"base64"}]}
//
// A key-file slot: salt is 32 random bytes; the wrapping key is HKDF-SHA256(key file's 32 bytes, salt, "strongroom seal
// key_file v1"), 32 bytes, used once; sealed is the 32-byte root key under AES-256-GCM with a nonce of zeros. The
// associated data are "strongroom seal v1", the slot's kind, each after its length as a big-endian u32, and the
// vault's 16 bytes. Slots of other kinds may stand beside it, with members of their own; this version skips them.
//
// # The key file
//
// One line: "strongroom-key-v1:", 64 lower-case hex digits, a line feed.
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
	"strings"

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

	kindKeyFile = "key_file"
)

var (
	// ErrWrongKey: the key does not open the header. A header changed by somebody looks the same.
	ErrWrongKey = errors.New("seal: the key does not open this vault")
	// ErrHeader: the header file is damaged.
	ErrHeader = errors.New("seal: header is damaged")
	// ErrNewerFormat: the header was written by a later version of the product.
	ErrNewerFormat = errors.New("seal: header has a newer format than this version can read")
	// ErrNoSlot: the header has no slot of the kind that was asked for.
	ErrNoSlot = errors.New("seal: header has no slot of this kind")
	// ErrKeyFile: the key file is unfit; the wrapping error says why and what to do.
	ErrKeyFile = errors.New("seal: key file cannot be used")
)

// Header is a header file as it was read.
type Header struct {
	vault string
	slots []slot
}

type slot struct {
	Kind   string `json:"kind"`
	Salt   []byte `json:"salt"`
	Sealed []byte `json:"sealed"`
}

type headerFile struct {
	Format int               `json:"format"`
	Vault  string            `json:"vault"`
	Slots  []json.RawMessage `json:"slots"`
}

// Create writes a new header file with one slot, which keyFile opens. vault is 32 lower-case hex digits, root 32 bytes.
// A file at path is never replaced: that is os.ErrExist.
func Create(a *secret.Arena, path string, vault string, root *secret.Buffer, keyFile *secret.Buffer) error {
	if _, err := decodeVault(vault); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if root.Len() != keySize {
		return fmt.Errorf("seal: root key of %d bytes, it takes %d", root.Len(), keySize)
	}
	s, err := wrap(a, vault, root, keyFile)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	text, err := json.MarshalIndent(headerFile{formatVersion, vault, []json.RawMessage{raw}}, "", "  ")
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if err := durable.Create(path, append(text, '\n')); err != nil {
		return fmt.Errorf("seal: write header: %w", err)
	}
	return nil
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
	h, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

func parse(text []byte) (*Header, error) {
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
		h.slots = append(h.slots, s)
	}
	return h, nil
}

// parseSlot is strict with the kinds it knows; of others, which a later version may have added, it keeps the kind.
func parseSlot(raw []byte) (slot, error) {
	var kind struct{ Kind string }
	if err := json.Unmarshal(raw, &kind); err != nil {
		return slot{}, err
	}
	if kind.Kind != kindKeyFile {
		return slot{Kind: kind.Kind}, nil
	}
	var s slot
	if err := strict(raw, &s); err != nil {
		return slot{}, err
	}
	if len(s.Salt) != saltSize || len(s.Sealed) != keySize+secret.Overhead {
		return slot{}, fmt.Errorf("salt of %d bytes and sealed key of %d", len(s.Salt), len(s.Sealed))
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

// UnsealKeyFile opens a key-file slot and returns the root key, which the caller wipes. It fails with ErrWrongKey if
// none of them opens.
func (h *Header) UnsealKeyFile(a *secret.Arena, keyFile *secret.Buffer) (root *secret.Buffer, err error) {
	vault, err := decodeVault(h.vault)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrHeader, err)
	}
	err = fmt.Errorf("%w: %s", ErrNoSlot, kindKeyFile)
	for _, s := range h.slots {
		if s.Kind != kindKeyFile {
			continue
		}
		if root, err = unwrap(a, s, vault, keyFile); err == nil {
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

func wrap(a *secret.Arena, vault string, root, keyFile *secret.Buffer) (slot, error) {
	id, err := decodeVault(vault)
	if err != nil {
		return slot{}, err
	}
	s := slot{Kind: kindKeyFile, Salt: make([]byte, saltSize)}
	_, _ = rand.Read(s.Salt) // never fails: it ends the process instead
	key, err := slotKey(a, s, keyFile)
	if err != nil {
		return slot{}, err
	}
	defer key.Wipe()
	s.Sealed, err = secret.Seal(nil, key, zeroNonce[:], root.Reveal(), associated(s.Kind, id))
	return s, err
}

func unwrap(a *secret.Arena, s slot, vault []byte, keyFile *secret.Buffer) (*secret.Buffer, error) {
	key, err := slotKey(a, s, keyFile)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return a.Open(key, zeroNonce[:], s.Sealed, associated(s.Kind, vault))
}

func slotKey(a *secret.Arena, s slot, keyFile *secret.Buffer) (*secret.Buffer, error) {
	if keyFile.Len() != keySize {
		return nil, fmt.Errorf("key file of %d bytes, it takes %d", keyFile.Len(), keySize)
	}
	return a.Derive(keyFile, s.Salt, "strongroom seal "+s.Kind+" v1", secret.KeySize)
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
