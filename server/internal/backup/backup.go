// Package backup is the file that a backup of a vault is: a header in the clear, with everything that is needed beside
// what opens the vault, and behind it the vault's files, encrypted. It knows what the files are called and how long
// they may be, and nothing of what is in them.
//
// It must not decide whether a backup is a good one: whoever extracts it has to check the vault that comes out.
//
// # The file
//
// The line "strongroom-backup-v1", a line of JSON (Header), and an age file (age-encryption.org/v1) of one X25519
// recipient. That recipient's identity is made for the backup alone; the header has it under AES-256-GCM with a nonce of
// zeros and a key of its own: HKDF-SHA256(HKDF-SHA256(root key, vault, "strongroom backup v1"), salt, "strongroom backup
// identity v1"). The associated data are the header's line without the identity, so that nothing in it can be changed.
//
// Inside is a tar archive of regular files in this order: "vault.db", "log.json", and the segments of the log.
package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"github.com/strongroom/strongroom/shared/secret"
)

var (
	// ErrNone: the file is no backup at all.
	ErrNone = errors.New("this is no backup of a vault")
	// ErrNewer: a later version made it; use that version.
	ErrNewer = errors.New("the backup was made by a newer version")
	// ErrDamaged: the backup was cut short or altered.
	ErrDamaged = errors.New("the backup is damaged: it was cut short or altered")
)

const (
	magic     = "strongroom-backup-v1\n"
	format    = 1
	maxHeader = 256 << 10 // of which seal.json may have 64 KiB, in base64
	saltSize  = 32

	// StoreName is the store's file in the archive; the others are the log's.
	StoreName = "vault.db"
)

// Header is what stands in the clear.
type Header struct {
	Format   int       `json:"format"`
	Vault    string    `json:"vault"`
	Epoch    uint32    `json:"epoch"`
	Commit   uint64    `json:"commit"`
	Made     time.Time `json:"made"`
	Store    int64     `json:"store_bytes"`
	Log      int64     `json:"log_bytes"` // all its files
	Seal     []byte    `json:"seal"`      // seal.json: in each slot the root key is encrypted already
	Salt     []byte    `json:"salt"`
	Identity []byte    `json:"identity,omitempty"`
}

// File is what a backup is made of.
type File struct {
	Name string
	Size int64
	io.WriterTo
}

// KeyFor gives the key of a backup's identity by its salt; the caller wipes it.
type KeyFor func(salt []byte) (*secret.Buffer, error)

// zeroNonce is safe because every identity is under a key that is derived over a new salt.
var zeroNonce [secret.NonceSize]byte

// Write writes a backup. It fills the members of h that say how long things are, the salt and the identity.
func Write(w io.Writer, keyFor KeyFor, h Header, files []File) error {
	h.Format, h.Salt, h.Store, h.Log = format, make([]byte, saltSize), 0, 0
	_, _ = rand.Read(h.Salt) // never fails: it ends the process instead
	for _, f := range files {
		if f.Name == StoreName {
			h.Store = f.Size
		} else {
			h.Log += f.Size
		}
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	if err := h.seal(keyFor, identity); err != nil {
		return err
	}
	line, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(append([]byte(magic), line...), '\n')); err != nil {
		return err
	}
	sealed, err := age.Encrypt(w, identity.Recipient())
	if err != nil {
		return err
	}
	archive := tar.NewWriter(sealed)
	for _, f := range files {
		if err := archive.WriteHeader(&tar.Header{Name: f.Name, Size: f.Size, Mode: 0o600, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if n, err := f.WriteTo(archive); err != nil || n != f.Size {
			return errors.Join(fmt.Errorf("%s: %d of %d bytes were written", f.Name, n, f.Size), err)
		}
	}
	return errors.Join(archive.Close(), sealed.Close())
}

// seal puts the identity into h, bound to all else that h says. The text that it comes from lies in ordinary memory: it
// opens what is ciphertext inside.
func (h *Header) seal(keyFor KeyFor, identity *age.X25519Identity) error {
	key, err := keyFor(h.Salt)
	if err != nil {
		return err
	}
	defer key.Wipe()
	bound, err := h.bound()
	if err != nil {
		return err
	}
	text := []byte(identity.String())
	defer secret.Wipe(text)
	h.Identity, err = secret.Seal(nil, key, zeroNonce[:], text, bound)
	return err
}

func (h *Header) bound() ([]byte, error) {
	without := *h
	without.Identity = nil
	return json.Marshal(without)
}

// ReadHeader reads the part in the clear; what r gives next is for Extract. ErrNone, ErrNewer, ErrDamaged. That it is
// what was written shows in Extract.
func ReadHeader(r *bufio.Reader) (h Header, err error) {
	first := make([]byte, len(magic))
	if _, err := io.ReadFull(r, first); err != nil || string(first) != magic {
		return h, ErrNone
	}
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) || len(line) > maxHeader {
			return h, fmt.Errorf("%w: in its header", ErrDamaged)
		}
	}
	line = line[:len(line)-1]
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("%w: its header cannot be read", ErrDamaged)
	}
	if h.Format > format {
		return h, fmt.Errorf("%w: it has format %d, this version reads up to %d", ErrNewer, h.Format, format)
	}
	again, err := json.Marshal(h)
	switch {
	case err != nil, !bytes.Equal(again, line), h.Format != format, len(h.Salt) != saltSize, h.Store < 0, h.Log < 0:
		return h, fmt.Errorf("%w: its header is not as one is written", ErrDamaged)
	}
	return h, nil
}

func (h *Header) identity(a *secret.Arena, keyFor KeyFor) (*age.X25519Identity, error) {
	key, err := keyFor(h.Salt)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	bound, err := h.bound()
	if err != nil {
		return nil, err
	}
	text, err := a.Open(key, zeroNonce[:], h.Identity, bound)
	if errors.Is(err, secret.ErrOpen) {
		return nil, fmt.Errorf("%w: in its header", ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	defer text.Wipe()
	identity, err := age.ParseX25519Identity(string(text.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("%w: its identity cannot be read", ErrDamaged)
	}
	return identity, nil
}
