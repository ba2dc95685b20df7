package local

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/strongroom/strongroom/agent/internal/lease"
	"github.com/strongroom/strongroom/agent/internal/uplink"
	"github.com/strongroom/strongroom/shared/secret"
)

var errField = errors.New("no such field")

// raw copies one field's value.
func raw(a *secret.Arena, c lease.Copy, name string) (*secret.Buffer, error) {
	for _, f := range c.Fields {
		if f.Name == name {
			out, err := a.New(f.Value.Len())
			if err == nil {
				secret.Do(func() { copy(out.Reveal(), f.Value.Reveal()) })
			}
			return out, err
		}
	}
	return nil, errField
}

// document builds the JSON answer in the arena: once to measure it, once to
// write it. encoding/json would leave copies of the values behind.
func document(a *secret.Arena, c lease.Copy) (*secret.Buffer, error) {
	size := writer{}
	size.document(c)
	out, err := a.New(size.n)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		w := writer{to: out.Reveal()}
		w.document(c)
	})
	return out, nil
}

// writer writes JSON into a slice of the right length; without one it counts.
type writer struct {
	to []byte
	n  int
}

func (w *writer) document(c lease.Copy) {
	w.text(`{"credential":`)
	w.quoted([]byte(c.Name))
	w.text(`,"version":` + strconv.FormatUint(c.Version, 10) + `,"fields":{`)
	w.members(c.Fields, utf8.Valid, w.quoted)
	w.text(`}`)
	notText := func(b []byte) bool { return !utf8.Valid(b) }
	for _, f := range c.Fields {
		if notText(f.Value.Reveal()) {
			w.text(`,"fields_base64":{`)
			w.members(c.Fields, notText, w.base64)
			w.text(`}`)
			break
		}
	}
	if len(c.Environment) > 0 {
		environment, _ := json.Marshal(c.Environment) // strings always marshal; templates, so nothing of a value
		w.text(`,"environment":` + string(environment))
	}
	names := []string{}
	for _, f := range c.Fields {
		if f.Secret {
			names = append(names, f.Name)
		}
	}
	secretNames, _ := json.Marshal(names) // strings always marshal
	left := c.Remaining.Truncate(time.Second).String()
	w.text(`,"secret_fields":` + string(secretNames) +
		`,"lease":{"remaining":"` + left + `","stale":` + strconv.FormatBool(c.Stale) + `}}` + "\n")
}

func (w *writer) members(fields []uplink.Field, which func([]byte) bool, value func([]byte)) {
	first := true
	for _, f := range fields {
		b := f.Value.Reveal()
		if !which(b) {
			continue
		}
		if !first {
			w.text(",")
		}
		first = false
		w.quoted([]byte(f.Name))
		w.text(":")
		value(b)
	}
}

func (w *writer) text(s string) {
	if w.to != nil {
		copy(w.to[w.n:], s)
	}
	w.n += len(s)
}

func (w *writer) byte(b byte) {
	if w.to != nil {
		w.to[w.n] = b
	}
	w.n++
}

// quoted writes a JSON string (RFC 8259 section 7) of UTF-8 text.
func (w *writer) quoted(b []byte) {
	const hex = "0123456789abcdef"
	w.byte('"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			w.byte('\\')
			w.byte(c)
		case c < 0x20:
			w.text(`\u00`)
			w.byte(hex[c>>4])
			w.byte(hex[c&15])
		default:
			w.byte(c)
		}
	}
	w.byte('"')
}

func (w *writer) base64(b []byte) {
	w.byte('"')
	n := base64.StdEncoding.EncodedLen(len(b))
	if w.to != nil {
		base64.StdEncoding.Encode(w.to[w.n:w.n+n], b)
	}
	w.n += n
	w.byte('"')
}
