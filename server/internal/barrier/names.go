package barrier

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/strongroom/strongroom/shared/secret"
)

// A unique name is a record of kind "name". Its ID is the hex of HMAC-SHA256(name-index key, kind, name), both after
// their lengths as u32, so that the file shows neither the names nor which are alike. Its plaintext holds the name too,
// since the IDs have to be made anew when the name-index key changes:
//
//	format u8 = 1 | length u32, kind | length u32, name | ID of the record that has the name
const (
	nameFormat = 1
	maxName    = 1 << 10
)

type claim struct {
	kind Kind
	name string
	id   string
}

func (c claim) encode() []byte {
	b := appendText([]byte{nameFormat}, string(c.kind))
	return append(appendText(b, c.name), c.id...)
}

func decodeClaim(b []byte) (claim, error) {
	bad := fmt.Errorf("%w: a name's record cannot be read", ErrCorrupt)
	if len(b) == 0 || b[0] != nameFormat {
		return claim{}, bad
	}
	kind, rest, ok := cutText(b[1:])
	if !ok {
		return claim{}, bad
	}
	name, rest, ok := cutText(rest)
	if !ok || !validID(string(rest)) {
		return claim{}, bad
	}
	return claim{Kind(kind), name, string(rest)}, nil
}

// cutText takes what appendText wrote off the front of b.
func cutText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if uint64(n) > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

// nameID is the ID of a name's record, whether there is one or not. While the keyring is rotated the record may still
// be where the key before puts it; new ones go where the present key does.
func (tx *Tx) nameID(kind Kind, name string) (id string, known bool, err error) {
	if err := checkCaller(kind, onlyID); err != nil {
		return "", false, err
	}
	if len(name) == 0 || len(name) > maxName {
		return "", false, fmt.Errorf("%w: name of %d bytes, 1 to %d are allowed", ErrInvalid, len(name), maxName)
	}
	id = blindID(tx.keys.nameIndex, kind, name)
	if _, known = tx.lookup(kindName, id); known || tx.keys.previous == nil {
		return id, known, nil
	}
	before := blindID(tx.keys.previous, kind, name)
	if _, known = tx.lookup(kindName, before); known {
		return before, true, nil
	}
	return id, false, nil
}

func blindID(key *secret.Buffer, kind Kind, name string) string {
	mac := secret.MAC(key, appendText(appendText(nil, string(kind)), name))
	return hex.EncodeToString(mac[:])
}

// Claim gives name, which is unique among the records of its kind, to the record id. ErrTaken if another has it; to
// claim it again for the same record changes nothing.
func (tx *Tx) Claim(kind Kind, name, id string) error {
	if err := checkCaller(kind, id); err != nil {
		return err
	}
	nameID, taken, err := tx.nameID(kind, name)
	if err != nil {
		return err
	}
	if taken {
		owner, err := tx.Lookup(kind, name)
		if err == nil && owner != id {
			return fmt.Errorf("%w: a record of kind %s has it", ErrTaken, kind)
		}
		return err
	}
	return tx.put(kindName, nameID, claim{kind, name, id}.encode())
}

// Lookup returns the ID of the record that has the name, or ErrNotFound.
func (tx *Tx) Lookup(kind Kind, name string) (id string, err error) {
	nameID, _, err := tx.nameID(kind, name)
	if err != nil {
		return "", err
	}
	plaintext, err := tx.get(kindName, nameID)
	if err != nil {
		return "", err
	}
	c, err := decodeClaim(plaintext)
	if err != nil {
		return "", err
	}
	if c.kind != kind || c.name != name {
		return "", fmt.Errorf("%w: a name's record speaks of another name", ErrCorrupt)
	}
	return c.id, nil
}

// Release frees a name. ErrNotFound if nobody has it.
func (tx *Tx) Release(kind Kind, name string) error {
	nameID, _, err := tx.nameID(kind, name)
	if err != nil {
		return err
	}
	return tx.delete(kindName, nameID)
}
