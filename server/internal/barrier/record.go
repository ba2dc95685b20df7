package barrier

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/strongroom/strongroom/shared/secret"
)

// Kind says what a record is. It is 1 to 32 lower-case letters, digits and hyphens, begins with a letter and can be
// read by everybody who has the file.
type Kind string

const (
	kindKeyring Kind = "keyring"
	kindRoot    Kind = "root"
	kindName    Kind = "name"

	onlyID = "main" // the ID of the one keyring and the one root record
)

const (
	recordFormat = 1
	algorithmGCM = 1

	vaultSize  = 16
	headerSize = 1 + 1 + 4 + vaultSize + 4 + 8
	saltSize   = 32
	minRecord  = headerSize + saltSize + secret.Overhead

	maxKind = 32
	maxID   = 128

	recordInfo = "strongroom record v1"
)

// zeroNonce is safe because every record key is derived over a new salt and used once.
var zeroNonce [secret.NonceSize]byte

// header is the part of a record that can be read without a key. It is authenticated with the ciphertext.
type header struct {
	keyNumber uint32
	vault     [vaultSize]byte
	epoch     uint32
	commit    uint64
}

// record is a record as it is in the store. salt and ciphertext belong to whoever gave the bytes.
type record struct {
	header
	salt, ciphertext []byte
}

func (h header) append(b []byte) []byte {
	b = append(b, recordFormat, algorithmGCM)
	b = binary.BigEndian.AppendUint32(b, h.keyNumber)
	b = append(b, h.vault[:]...)
	b = binary.BigEndian.AppendUint32(b, h.epoch)
	return binary.BigEndian.AppendUint64(b, h.commit)
}

func decodeRecord(b []byte) (record, error) {
	if len(b) < minRecord {
		return record{}, fmt.Errorf("%w: %d bytes, a record has at least %d", ErrCorrupt, len(b), minRecord)
	}
	if b[0] != recordFormat || b[1] != algorithmGCM {
		return record{}, fmt.Errorf("%w: format %d, algorithm %d are not known", ErrCorrupt, b[0], b[1])
	}
	return record{
		header: header{
			keyNumber: binary.BigEndian.Uint32(b[2:]),
			vault:     [vaultSize]byte(b[6:]),
			epoch:     binary.BigEndian.Uint32(b[22:]),
			commit:    binary.BigEndian.Uint64(b[26:]),
		},
		salt:       b[headerSize : headerSize+saltSize],
		ciphertext: b[headerSize+saltSize:],
	}, nil
}

// associated is what a record's ciphertext is bound to.
func associated(h header, kind Kind, id string) []byte {
	return appendAssociated(make([]byte, 0, headerSize+8+len(kind)+len(id)), h, kind, id)
}

func appendAssociated(b []byte, h header, kind Kind, id string) []byte {
	return appendText(appendText(h.append(b), string(kind)), id)
}

// maxAssociated is the most that a ciphertext is bound to, in bytes.
const maxAssociated = headerSize + 4 + maxKind + 4 + maxID

// appendText appends the length of s as a u32, and s, so that no two lists of texts give the same bytes.
func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// sealRecord encrypts plaintext under a key derived from the numbered key of h.
func sealRecord(a *secret.Arena, from *secret.Buffer, h header, kind Kind, id string, plaintext []byte) ([]byte, error) {
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // never fails: it ends the process instead
	key, err := a.Derive(from, salt[:], recordInfo, secret.KeySize)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	b := make([]byte, 0, minRecord+len(plaintext))
	b = append(h.append(b), salt[:]...)
	return secret.Seal(b, key, zeroNonce[:], plaintext, associated(h, kind, id))
}

func (r record) open(a *secret.Arena, from *secret.Buffer, kind Kind, id string) (*secret.Buffer, error) {
	key, err := a.Derive(from, r.salt, recordInfo, secret.KeySize)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	plaintext, err := a.Open(key, zeroNonce[:], r.ciphertext, associated(r.header, kind, id))
	return plaintext, named(err)
}

func (r record) openPublic(a *secret.Arena, from *secret.Buffer, kind Kind, id string) ([]byte, error) {
	key, err := a.Derive(from, r.salt, recordInfo, secret.KeySize)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	plaintext, err := secret.OpenPublic(key, zeroNonce[:], r.ciphertext, associated(r.header, kind, id))
	return plaintext, named(err)
}

func named(err error) error {
	if errors.Is(err, secret.ErrOpen) {
		return fmt.Errorf("%w: the record was changed, is in another's place, or has another key", ErrCorrupt)
	}
	return err
}

func recordKey(kind Kind, id string) []byte {
	return append(append([]byte(kind), '/'), id...)
}

func splitKey(key string) (kind Kind, id string, err error) {
	kind, id, ok := cutKey(key)
	if !ok || !kind.valid() || !validID(id) {
		return "", "", fmt.Errorf("%w: %.80q is not a record's key", ErrCorrupt, key)
	}
	return kind, id, nil
}

func cutKey(key string) (kind Kind, id string, ok bool) {
	k, id, ok := strings.Cut(key, "/")
	return Kind(k), id, ok
}

func (k Kind) valid() bool {
	if len(k) == 0 || len(k) > maxKind || k[0] < 'a' || k[0] > 'z' {
		return false
	}
	for _, c := range []byte(k) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// checkCaller refuses what a caller of this package may not name.
func checkCaller(kind Kind, id string) error {
	switch {
	case !kind.valid() || kind == kindKeyring || kind == kindRoot || kind == kindName:
		return fmt.Errorf("%w: kind %.40q", ErrInvalid, kind)
	case !validID(id):
		return fmt.Errorf("%w: ID %.40q: 1 to %d letters, digits, '.', '_' and '-'", ErrInvalid, id, maxID)
	}
	return nil
}

func validID(id string) bool {
	if len(id) == 0 || len(id) > maxID {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
