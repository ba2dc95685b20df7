package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/secret"
)

// Slot is one of the ways to open the vault. Nothing of it is secret.
type Slot struct {
	ID        string     `json:"id" example:"0a1b2c3d"`
	Kind      string     `json:"kind" example:"passphrase" doc:"key_file, passphrase, shamir, or one of a later version"`
	Created   *time.Time `json:"created" doc:"null: by a version that did not note it"`
	Threshold int        `json:"threshold,omitempty" doc:"shamir only: how many shares open the vault"`
	Shares    int        `json:"shares,omitempty" doc:"shamir only: how many there are"`
}

// SlotList answers GET /v1/slots.
type SlotList struct {
	Items []Slot `json:"items"`
}

// AuthoritySealed is the part of a request that proves that its sender can open the vault now: one of the three, each
// value in an envelope. The field of a share's context is "share." and its place in the list, from 0.
type AuthoritySealed struct {
	KeyFile    []byte   `json:"key_file,omitempty" maxLength:"8192" doc:"the text of a key file, in an envelope"`
	Passphrase []byte   `json:"passphrase,omitempty" maxLength:"8192" doc:"a passphrase, in an envelope"`
	Shares     [][]byte `json:"shares,omitempty" maxItems:"32" doc:"the lines of as many shares as are needed, each in an envelope"`
}

// SlotAdd is the body of POST /v1/slots: an authority, and one of the three new ones.
type SlotAdd struct {
	AuthoritySealed
	NewKeyFile    []byte `json:"new_key_file,omitempty" maxLength:"8192" doc:"the text of a new key file, in an envelope"`
	NewPassphrase []byte `json:"new_passphrase,omitempty" maxLength:"8192" doc:"a new passphrase, in an envelope"`
	NewShares     int    `json:"new_shares,omitempty" doc:"how many shares to make"`
	NewThreshold  int    `json:"new_threshold,omitempty" doc:"and how many of them open the vault"`
	PublicKey     []byte `json:"public_key,omitempty" maxLength:"64" doc:"the client's X25519 public key, for new shares"`
	Sealed
}

// SlotAdded answers it. New shares are sealed to the request's public key, in the context of the request's identifier,
// no credential, version 0 and the field "share." with the place in the list, from 0.
type SlotAdded struct {
	Slot
	Enc       []byte   `json:"enc,omitempty" doc:"the encapsulated key, bound to this TLS connection"`
	NewShares [][]byte `json:"new_shares,omitempty" doc:"the lines of the new shares, each in an envelope"`
}

// SlotRemove is the body of POST /v1/slots/{id}/remove.
type SlotRemove struct {
	AuthoritySealed
	Sealed
}

// Authority is what opens the vault now: one of the three, whose caller wipes it.
type Authority struct {
	KeyFile    *secret.Buffer   // a key file's text
	Passphrase *secret.Buffer   // or this
	Shares     []*secret.Buffer // or so many lines
}

// Wipe wipes what there is.
func (w Authority) Wipe() {
	w.KeyFile.Wipe()
	w.Passphrase.Wipe()
	for _, share := range w.Shares {
		share.Wipe()
	}
}

// Empty says that nothing was given.
func (w Authority) Empty() bool { return w.KeyFile == nil && w.Passphrase == nil && len(w.Shares) == 0 }

// NewSlot is what shall open the vault too: one of the three.
type NewSlot struct {
	KeyFile    *secret.Buffer // a key file's text
	Passphrase *secret.Buffer
	Shares     int // how many the server shall make, and
	Threshold  int // how many of them open the vault
}

// keyFileLine begins a key file; package seal of the server reads it.
const (
	keyFileLine = "strongroom-key-v1:"
	keyFileSize = 32
)

// maxKeyFile is more than any key file has.
const maxKeyFile = 4 << 10

// ReadKeyFile reads a key file, which the caller wipes. What is none is not taken: it could be a secret of something
// else, which no server is to see.
func ReadKeyFile(a *secret.Arena, path string) (*secret.Buffer, error) {
	text, err := a.ReadFile(path, maxKeyFile)
	if err != nil {
		return nil, err
	}
	digits, ok := bytes.CutPrefix(bytes.TrimRight(text.Reveal(), "\r\n"), []byte(keyFileLine))
	if !ok || len(digits) != 2*keyFileSize || len(bytes.Trim(digits, "0123456789abcdefABCDEF")) > 0 {
		text.Wipe()
		return nil, fmt.Errorf("%s is no key file: that is one line, %s and %d hex digits, as strongroom-server init wrote it",
			path, keyFileLine, 2*keyFileSize)
	}
	return text, nil
}

// NewKeyFile makes the text of a key file of 32 random bytes. The caller stores it before it adds a slot for it, and
// wipes it.
func NewKeyFile(a *secret.Arena) (*secret.Buffer, error) {
	key, err := a.Random(keyFileSize)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	text, err := a.New(len(keyFileLine) + 2*keyFileSize + 1)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		b := text.Reveal()
		n := copy(b, keyFileLine)
		n += hex.Encode(b[n:], key.Reveal())
		b[n] = '\n'
	})
	return text, nil
}

// shareField is the field of a share in its context: "share." and its place in the list.
func shareField(i int) string { return "share." + strconv.Itoa(i) }

func (s *sealer) authority(with Authority) (out AuthoritySealed, err error) {
	if out.KeyFile, err = s.optional("key_file", with.KeyFile); err != nil {
		return out, err
	}
	if out.Passphrase, err = s.optional("passphrase", with.Passphrase); err != nil {
		return out, err
	}
	for i, share := range with.Shares {
		sealed, err := s.one(shareField(i), share)
		if err != nil {
			return out, err
		}
		out.Shares = append(out.Shares, sealed)
	}
	return out, nil
}

func (s *sealer) optional(field string, value *secret.Buffer) ([]byte, error) {
	if value == nil {
		return nil, nil
	}
	return s.one(field, value)
}

// Slots lists what opens the vault.
func (c *Client) Slots(ctx context.Context) (*SlotList, error) {
	return get[SlotList](ctx, c, nil, "slots")
}

// AddSlot adds a way to open the vault. It returns the lines of new shares, which are nowhere else; the caller wipes them.
func (c *Client) AddSlot(ctx context.Context, with Authority, made NewSlot) (*Slot, []*secret.Buffer, error) {
	recipient, err := envelope.NewRecipient()
	if err != nil {
		return nil, nil, fmt.Errorf("making an envelope key: %w", err)
	}
	var out SlotAdded
	var lines []*secret.Buffer
	err = c.withEnvelope(ctx, "", func(s *sealer) (err error) {
		in := SlotAdd{NewShares: made.Shares, NewThreshold: made.Threshold, Sealed: s.header()}
		if in.AuthoritySealed, err = s.authority(with); err != nil {
			return err
		}
		if in.NewKeyFile, err = s.optional("new_key_file", made.KeyFile); err != nil {
			return err
		}
		if in.NewPassphrase, err = s.optional("new_passphrase", made.Passphrase); err != nil {
			return err
		}
		if made.Shares != 0 {
			in.PublicKey = recipient.PublicKey()
		}
		state, err := c.do(ctx, call{method: http.MethodPost, path: []string{"slots"}, in: in, out: &out, timeout: longTimeout})
		if err != nil || made.Shares == 0 {
			return err
		}
		exporter, err := envelope.Exporter(state)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNotReachable, err)
		}
		opener, err := recipient.Opener(c.arena, out.Enc, envelope.ToClient, exporter)
		if err != nil {
			return fmt.Errorf("%w: its envelope cannot be opened: %w", ErrFailed, err)
		}
		defer opener.Wipe()
		lines, err = openLines(opener, in.Request, out.NewShares)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return &out.Slot, lines, nil
}

func openLines(opener *envelope.Opener, request string, sealed [][]byte) (lines []*secret.Buffer, err error) {
	for i, one := range sealed {
		line, err := opener.Open(one, envelope.Context{Request: request, Field: shareField(i)})
		if err != nil {
			for _, line := range lines {
				line.Wipe()
			}
			return nil, fmt.Errorf("%w: share %d cannot be opened: %w", ErrFailed, i+1, err)
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// RemoveSlot ends a way to open the vault.
func (c *Client) RemoveSlot(ctx context.Context, with Authority, id string) (*Slot, error) {
	var out Slot
	err := c.withEnvelope(ctx, "", func(s *sealer) (err error) {
		in := SlotRemove{Sealed: s.header()}
		if in.AuthoritySealed, err = s.authority(with); err != nil {
			return err
		}
		_, err = c.do(ctx, call{method: http.MethodPost, path: []string{"slots", id, "remove"}, in: in, out: &out, timeout: longTimeout})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}
