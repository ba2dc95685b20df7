package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/strongroom/strongroom/shared/secret"
)

const (
	// MaxShares bounds a set of shares: more could hardly be brought together in time.
	MaxShares = 32

	shareName    = "strongroom-share-v1"
	checkLabel   = "strongroom seal share v1"
	setSize      = 8
	checksumSize = 4
	maxShareLine = 256 // with what an editor or a mail may have put around it
)

var (
	// ErrShareText: the text is no whole share; the wrapping error says why.
	ErrShareText = errors.New("this is not a whole share")
	// ErrShare: a share that is whole does not belong here; the wrapping error says why.
	ErrShare = errors.New("the share is refused")
	// ErrShareCount: no such set can be made; the wrapping error says why.
	ErrShareCount = errors.New("no such set of shares can be made")
)

// Share is one share of the header that read it.
type Share struct {
	index byte
	value *secret.Buffer
}

// Index is the share's number, from 1.
func (s *Share) Index() int { return int(s.index) }

// Wipe wipes the share's value.
func (s *Share) Wipe() { s.value.Wipe() }

// CheckShareCount refuses with ErrShareCount what CreateWithShares cannot make: threshold is 2 to shares, shares at
// most MaxShares.
func CheckShareCount(shares, threshold int) error {
	switch {
	case threshold < 2:
		return fmt.Errorf("%w: a threshold of %d would let one person alone open the vault; take 2 or more", ErrShareCount, threshold)
	case threshold > shares:
		return fmt.Errorf("%w: a threshold of %d is more than %d shares", ErrShareCount, threshold, shares)
	case shares > MaxShares:
		return fmt.Errorf("%w: %d shares are more than %d", ErrShareCount, shares, MaxShares)
	}
	return nil
}

// CreateWithShares is as Create, for a new set of shares instead of a key file: threshold of them open it. It returns
// the shares' lines, without line feeds; the caller wipes them. They are nowhere else.
func CreateWithShares(a *secret.Arena, path string, vault string, root *secret.Buffer, shares, threshold int) (lines []*secret.Buffer, err error) {
	h, _, lines, err := (&Header{vault: vault}).WithShares(a, root, shares, threshold, time.Now())
	if err != nil {
		return nil, err
	}
	if err := h.create(path); err != nil {
		wipeAll(lines)
		return nil, err
	}
	return lines, nil
}

// dealAll makes a new set: its slot, which still lacks the root key, what the shares were made from, and their lines.
func dealAll(a *secret.Arena, vault string, shares, threshold int) (s slot, material *secret.Buffer, lines []*secret.Buffer, err error) {
	defer func() {
		if err != nil {
			material.Wipe()
			wipeAll(lines)
			material, lines = nil, nil
		}
	}()
	if material, err = a.Random(keySize); err != nil {
		return s, material, nil, err
	}
	coefficients, err := a.Random((threshold - 1) * keySize)
	if err != nil {
		return s, material, nil, err
	}
	defer coefficients.Wipe()
	s = slot{Kind: kindShamir, Set: hex.EncodeToString(newSalt()[:setSize]), Threshold: threshold, Salt: newSalt()}
	for i := range shares {
		line, err := s.deal(a, vault, byte(i+1), material, coefficients)
		if err != nil {
			return s, material, lines, err
		}
		lines = append(lines, line)
	}
	return s, material, lines, nil
}

func wipeAll(all []*secret.Buffer) {
	for _, b := range all {
		b.Wipe()
	}
}

// deal makes the share of an index: its line, and its check in the slot.
func (s *slot) deal(a *secret.Arena, vault string, index byte, material, coefficients *secret.Buffer) (*secret.Buffer, error) {
	value, err := a.New(keySize)
	if err != nil {
		return nil, err
	}
	defer value.Wipe()
	secret.Do(func() { split(value.Reveal(), material.Reveal(), coefficients.Reveal(), index) })
	check, err := s.check(vault, index, value)
	if err != nil {
		return nil, err
	}
	s.Checks = append(s.Checks, check)

	public := fmt.Sprintf("%s:%s:%s:%d:%d:", shareName, vault, s.Set, index, s.Threshold)
	line, err := a.New(len(public) + 2*keySize + 1 + 2*checksumSize)
	if err != nil {
		return nil, err
	}
	secret.Do(func() {
		b := line.Reveal()
		n := copy(b, public)
		n += hex.Encode(b[n:], value.Reveal())
		sum := sha256.Sum256(b[:n])
		b[n] = ':'
		hex.Encode(b[n+1:], sum[:checksumSize])
	})
	return line, nil
}

func (s *slot) check(vault string, index byte, value *secret.Buffer) ([]byte, error) {
	id, err := decodeVault(vault)
	if err != nil {
		return nil, err
	}
	set, err := hex.DecodeString(s.Set)
	if err != nil {
		return nil, err
	}
	check := secret.MAC(value, []byte(checkLabel), id, set, []byte{index})
	return check[:], nil
}

func (s *slot) validShamir() error {
	if set, err := hex.DecodeString(s.Set); err != nil || hex.EncodeToString(set) != s.Set || len(set) != setSize {
		return fmt.Errorf("the set must be %d lower-case hex digits", 2*setSize)
	}
	for _, check := range s.Checks {
		if len(check) != sha256.Size {
			return fmt.Errorf("a check of %d bytes", len(check))
		}
	}
	return CheckShareCount(len(s.Checks), s.Threshold)
}

// Shares says how many shares open the vault, and how many there are: 0, 0 where it has none.
func (h *Header) Shares() (need, of int) {
	if s := h.shamir(); s != nil {
		return s.Threshold, len(s.Checks)
	}
	return 0, 0
}

func (h *Header) shamir() *slot {
	for i := range h.slots {
		if h.slots[i].Kind == kindShamir {
			return &h.slots[i]
		}
	}
	return nil
}

// ReadShare reads a share's line, and accepts only one that was made with this header; the caller wipes both.
func (h *Header) ReadShare(a *secret.Arena, line *secret.Buffer) (*Share, error) {
	s := h.shamir()
	if s == nil {
		return nil, h.noSlot()
	}
	t, err := parseShare(line)
	if err != nil {
		return nil, err
	}
	switch {
	case t.vault != h.vault:
		return nil, fmt.Errorf("%w: it is one of another vault, %s", ErrShare, t.vault)
	case t.set != s.Set:
		return nil, fmt.Errorf("%w: it is of another set, %s; this vault opens with shares of %s", ErrShare, t.set, s.Set)
	case t.threshold != s.Threshold || t.index > len(s.Checks):
		return nil, fmt.Errorf("%w: this set has %d shares of which %d open the vault, and this one says otherwise", ErrShare, len(s.Checks), s.Threshold)
	}
	value, err := a.New(keySize)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	secret.Do(func() { _, err = hex.Decode(value.Reveal(), t.digits) })
	var check []byte
	if err == nil {
		check, err = s.check(h.vault, byte(t.index), value)
	}
	if err == nil && !secret.Equal(check, s.Checks[t.index-1]) {
		err = fmt.Errorf("%w: it is not share %d as it was made", ErrShare, t.index)
	}
	if err != nil {
		value.Wipe()
		return nil, err
	}
	return &Share{index: byte(t.index), value: value}, nil
}

type shareText struct {
	vault, set       string
	index, threshold int
	digits           []byte // the value, where the line is
}

// CheckShare is ErrShareText for a line that is no share at all, whatever the vault. It takes no memory, and tries nothing.
func CheckShare(line *secret.Buffer) error {
	_, err := parseShare(line)
	return err
}

// parseShare takes a line apart. Its errors repeat nothing of it.
func parseShare(line *secret.Buffer) (t shareText, err error) {
	if line.Len() > maxShareLine {
		return t, fmt.Errorf("%w: it is longer than one line of `strongroom-server init`", ErrShareText)
	}
	text := bytes.TrimSpace(line.Reveal())
	parts := bytes.Split(text, []byte(":"))
	if len(parts) != 7 || string(parts[0]) != shareName {
		return t, fmt.Errorf("%w: wanted is one line %s:…, as `strongroom-server init` printed it", ErrShareText, shareName)
	}
	var sum [sha256.Size]byte
	secret.Do(func() { sum = sha256.Sum256(text[:len(text)-len(parts[6])-1]) })
	if !secret.Equal([]byte(hex.EncodeToString(sum[:checksumSize])), parts[6]) {
		return t, fmt.Errorf("%w: its checksum does not fit, so a character was lost or changed", ErrShareText)
	}
	t.vault, t.set, t.digits = string(parts[1]), string(parts[2]), parts[5]
	var err1, err2 error
	t.index, err1 = strconv.Atoi(string(parts[3]))
	t.threshold, err2 = strconv.Atoi(string(parts[4]))
	_, err3 := decodeVault(t.vault)
	set, err4 := hex.DecodeString(t.set)
	if errors.Join(err1, err2, err3, err4) != nil || len(set) != setSize || t.index < 1 || t.index > MaxShares || !isHex(t.digits) {
		return t, fmt.Errorf("%w: a part of it is not as `strongroom-server init` writes it", ErrShareText)
	}
	return t, nil
}

func isHex(digits []byte) bool {
	ok := len(digits) == 2*keySize
	for _, c := range digits {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
	}
	return ok
}

// UnsealShares opens the vault with shares that ReadShare accepted, and returns the root key, which the caller wipes.
// It fails with ErrShare where they are too few or one is there twice.
func (h *Header) UnsealShares(a *secret.Arena, shares []*Share) (root *secret.Buffer, err error) {
	need, _ := h.Shares()
	if need == 0 {
		return nil, h.noSlot()
	}
	if len(shares) < need {
		return nil, fmt.Errorf("%w: %d are too few, the vault opens with %d", ErrShare, len(shares), need)
	}
	var xs []byte
	var values [][]byte
	for _, share := range shares {
		if bytes.IndexByte(xs, share.index) >= 0 {
			return nil, fmt.Errorf("%w: share %d is there twice", ErrShare, share.index)
		}
		if share.value.Len() != keySize {
			return nil, fmt.Errorf("seal: share %d is wiped", share.index)
		}
		xs, values = append(xs, share.index), append(values, share.value.Reveal())
	}
	material, err := a.New(keySize)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	defer material.Wipe()
	// Exactly as many as are needed: the polynomial goes through any others as well.
	secret.Do(func() { combine(material.Reveal(), xs[:need], values[:need]) })
	return h.try(a, kindShamir, func(slot) (*secret.Buffer, error) { return material, nil })
}
