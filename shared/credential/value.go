package credential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/strongroom/strongroom/shared/secret"
)

// Value is the secret fields of one version, each in locked memory.
type Value map[string]*secret.Buffer

// ErrValue means that the encoding of a value is damaged.
var ErrValue = errors.New("damaged value encoding")

// Wipe wipes every field.
func (v Value) Wipe() {
	for _, b := range v {
		b.Wipe()
	}
}

// Names returns the fields' names, sorted.
func (v Value) Names() []string {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Check holds the value against the limits.
func (v Value) Check() error {
	if len(v) > MaxFields {
		return fmt.Errorf("%w value: %d secret fields, at most %d are allowed", ErrInvalid, len(v), MaxFields)
	}
	total := 0
	for name, b := range v {
		if err := ValidField(name); err != nil {
			return err
		}
		if b.Len() > MaxValue {
			return fmt.Errorf("%w field %s: %d bytes, at most %d are allowed", ErrInvalid, name, b.Len(), MaxValue)
		}
		total += b.Len()
	}
	if total > MaxValueTotal {
		return fmt.Errorf("%w value: %d bytes in all, at most %d are allowed", ErrInvalid, total, MaxValueTotal)
	}
	return nil
}

// The encoding of a value, all integers big-endian:
//
//	format u8 = 1 | count u16 | count times: name length u8, name, value length u32, value
//
// Fields are sorted by name, so that equal values have equal encodings.
const valueFormat = 1

// Encode writes the value into the arena.
func (v Value) Encode(a *secret.Arena) (*secret.Buffer, error) {
	if err := v.Check(); err != nil {
		return nil, err
	}
	size := 3
	for name, b := range v {
		size += 1 + len(name) + 4 + b.Len()
	}
	out, err := a.New(size)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		p := out.Reveal()
		p[0] = valueFormat
		binary.BigEndian.PutUint16(p[1:], uint16(len(v)))
		p = p[3:]
		for _, name := range v.Names() {
			b := v[name].Reveal()
			p[0] = byte(len(name))
			p = p[1+copy(p[1:], name):]
			binary.BigEndian.PutUint32(p, uint32(len(b)))
			p = p[4+copy(p[4:], b):]
		}
	})
	return out, nil
}

// DecodeValue reads what Encode wrote, each field into a buffer of its own.
func DecodeValue(a *secret.Arena, encoded *secret.Buffer) (Value, error) {
	p := encoded.Reveal()
	if len(p) < 3 || p[0] != valueFormat {
		return nil, ErrValue
	}
	count := int(binary.BigEndian.Uint16(p[1:]))
	p = p[3:]
	v := make(Value, min(count, MaxFields))
	for range count {
		name, field, rest, err := nextField(p)
		if err == nil && v[name] != nil {
			err = ErrValue
		}
		if err == nil {
			v[name], err = a.New(len(field))
		}
		if err != nil {
			v.Wipe()
			return nil, err
		}
		secret.Do(func() { copy(v[name].Reveal(), field) })
		p = rest
	}
	if len(p) != 0 {
		v.Wipe()
		return nil, ErrValue
	}
	return v, nil
}

func nextField(p []byte) (name string, value, rest []byte, err error) {
	if len(p) < 1 || len(p) < 1+int(p[0])+4 {
		return "", nil, nil, ErrValue
	}
	name, p = string(p[1:1+p[0]]), p[1+p[0]:]
	n := binary.BigEndian.Uint32(p)
	if ValidField(name) != nil || n > MaxValue || uint64(len(p)-4) < uint64(n) {
		return "", nil, nil, ErrValue
	}
	return name, p[4 : 4+n], p[4+n:], nil
}

// Withhold wipes and removes the fields that never leave the server.
func (v Value) Withhold(known []Field) {
	for _, f := range known {
		if f.ServerOnly {
			v[f.Name].Wipe()
			delete(v, f.Name)
		}
	}
}
