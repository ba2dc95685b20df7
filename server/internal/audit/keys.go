package audit

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

const idSize = 16

// Keys are the private halves of a log's keys. The vault keeps them; the log itself never needs them to be written.
type Keys struct {
	Decryption *secret.Buffer // X25519 private key, 32 bytes: reads the entries
	Signing    *secret.Buffer // Ed25519 seed, 32 bytes: signs what the log states about itself
}

// Wipe wipes both.
func (k Keys) Wipe() {
	for _, b := range []*secret.Buffer{k.Decryption, k.Signing} {
		if b != nil {
			b.Wipe()
		}
	}
}

// description is what log.json says: the public halves. The origin, which names the log, is
//
//	SHA-256("strongroom audit origin v1" | vault | X25519 public key | Ed25519 public key), the first 16 bytes
//
// and so as random as the keys. Each segment's header states it and each leaf covers that, so that a key exchanged in
// log.json, to read what a sealed server logs, does not go with the segments that are there.
type description struct {
	vault, origin [idSize]byte
	encryption    hpke.PublicKey
	signing       ed25519.PublicKey
}

const (
	descriptionFile   = "log.json"
	descriptionLimit  = 4096
	descriptionFormat = 1
)

// descriptionJSON is the file. The IDs are hex, the encryption key base64, the log key a verifier string of
// golang.org/x/mod/sumdb/note named "strongroom-audit/ORIGIN".
type descriptionJSON struct {
	Format        int    `json:"format"`
	Vault         string `json:"vault"`
	Origin        string `json:"origin"`
	EncryptionKey []byte `json:"encryption_key"`
	LogKey        string `json:"log_key"`
}

// Create makes an empty log for a vault (32 hex characters) in dir, a folder of its own, which it creates. The caller
// keeps the keys in the vault and wipes them; logKey is for whoever is to check the log from outside. It fails with
// ErrExists where a log is.
func Create(dir string, a *secret.Arena, vault string) (keys Keys, logKey string, err error) {
	d, keys, err := newDescription(a, vault)
	if err != nil {
		return Keys{}, "", fmt.Errorf("audit log: %w", err)
	}
	if err := d.write(dir); err != nil {
		keys.Wipe()
		return Keys{}, "", fmt.Errorf("audit log: %w", err)
	}
	return keys, d.logKey(), nil
}

func newDescription(a *secret.Arena, vault string) (*description, Keys, error) {
	d := &description{}
	if err := decodeID(&d.vault, "vault", vault); err != nil {
		return nil, Keys{}, err
	}
	var keys Keys
	var err error
	if keys.Decryption, err = a.Random(32); err != nil {
		return nil, Keys{}, err
	}
	if keys.Signing, err = a.Random(ed25519.SeedSize); err != nil {
		keys.Wipe()
		return nil, Keys{}, err
	}
	if d.encryption, d.signing, err = keys.public(); err != nil {
		keys.Wipe()
		return nil, Keys{}, err
	}
	d.origin = d.computeOrigin()
	return d, keys, nil
}

func (d *description) write(dir string) error {
	file, err := json.MarshalIndent(descriptionJSON{
		Format:        descriptionFormat,
		Vault:         hex.EncodeToString(d.vault[:]),
		Origin:        hex.EncodeToString(d.origin[:]),
		EncryptionKey: d.encryption.Bytes(),
		LogKey:        d.logKey(),
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if there, err := segmentFiles(dir); err != nil || len(there) > 0 {
		return errors.Join(fmt.Errorf("%w: %s", ErrExists, dir), err)
	}
	err = durable.Create(filepath.Join(dir, descriptionFile), append(file, '\n'))
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, dir)
	}
	return err
}

func readDescription(dir string) (*description, error) {
	file, err := os.Open(filepath.Join(dir, descriptionFile))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, descriptionLimit+1))
	if err != nil {
		return nil, err
	}
	d, err := decodeDescription(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	return d, nil
}

func decodeDescription(b []byte) (*description, error) {
	if len(b) > descriptionLimit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, descriptionLimit)
	}
	var file descriptionJSON
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if file.Format > descriptionFormat {
		return nil, fmt.Errorf("%w: format %d", ErrNewerFormat, file.Format)
	}
	d := &description{}
	if err := errors.Join(decodeID(&d.vault, "vault", file.Vault), decodeID(&d.origin, "origin", file.Origin)); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	var err error
	if d.encryption, err = kem().NewPublicKey(file.EncryptionKey); err != nil {
		return nil, fmt.Errorf("%w: encryption_key: %v", ErrCorrupt, err)
	}
	if d.signing, err = verifierKey(file.LogKey); err != nil {
		return nil, fmt.Errorf("%w: log_key: %v", ErrCorrupt, err)
	}
	if file.Format != descriptionFormat || d.origin != d.computeOrigin() || d.logKey() != file.LogKey {
		return nil, fmt.Errorf("%w: vault, keys and origin do not belong together", ErrCorrupt)
	}
	return d, nil
}

// verifierKey takes the Ed25519 key out of a note verifier string: NAME+HASH+base64(1|KEY).
func verifierKey(text string) (ed25519.PublicKey, error) {
	if _, err := note.NewVerifier(text); err != nil {
		return nil, err
	}
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 3)[2])
	if err != nil {
		return nil, err
	}
	return key[1:], nil
}

func decodeID(id *[idSize]byte, what, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != idSize || hex.EncodeToString(b) != text {
		return fmt.Errorf("%s: not %d lower-case hex characters", what, 2*idSize)
	}
	copy(id[:], b)
	return nil
}

func (d *description) computeOrigin() [idSize]byte {
	b := append([]byte("strongroom audit origin v1"), d.vault[:]...)
	b = append(b, d.encryption.Bytes()...)
	b = append(b, d.signing...)
	sum := sha256.Sum256(b)
	return [idSize]byte(sum[:])
}

func (d *description) logKey() string {
	key, err := note.NewEd25519VerifierKey("strongroom-audit/"+hex.EncodeToString(d.origin[:]), d.signing)
	if err != nil {
		panic(err) // only if the key's length were wrong
	}
	return key
}

// holds tells whether keys are the private halves of this log's keys.
func (d *description) holds(keys Keys) error {
	if keys.Decryption == nil || keys.Signing == nil {
		return ErrWrongKeys
	}
	encryption, signing, err := keys.public()
	if err != nil {
		return fmt.Errorf("%w: %v", ErrWrongKeys, err)
	}
	if !bytes.Equal(encryption.Bytes(), d.encryption.Bytes()) || !signing.Equal(d.signing) {
		return ErrWrongKeys
	}
	return nil
}

func (k Keys) public() (encryption hpke.PublicKey, signing ed25519.PublicKey, err error) {
	seed := k.Signing.Reveal()
	if len(seed) != ed25519.SeedSize {
		return nil, nil, fmt.Errorf("a signing key of %d bytes", len(seed))
	}
	secret.Do(func() {
		var private hpke.PrivateKey
		if private, err = kem().NewPrivateKey(k.Decryption.Reveal()); err != nil {
			return
		}
		encryption = private.PublicKey()
		full := ed25519.NewKeyFromSeed(seed)
		signing = bytes.Clone(full[ed25519.SeedSize:])
		secret.Wipe(full)
	})
	return encryption, signing, err
}

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

// info and exportLabel bind a segment's key to what it is for.
func (d *description) info() []byte {
	b := append([]byte("strongroom audit v1"), d.vault[:]...)
	return append(b, d.origin[:]...)
}

const exportLabel = "strongroom audit segment key v1"

// segmentKey encrypts the entries of one segment: AES-256-GCM under what HPKE (X25519, HKDF-SHA256, export only)
// exports. It is made for each segment anew and nobody who writes the log can make it again.
type segmentKey struct {
	enc []byte

	mu  sync.RWMutex // held shared while the key is in use: its place in the arena is another secret's after a wipe
	key *secret.Buffer
}

var errRetired = errors.New("the segment is full")

func (d *description) newSegmentKey(a *secret.Arena) (*segmentKey, error) {
	k := &segmentKey{}
	var exported []byte
	var err error
	secret.Do(func() {
		var sender *hpke.Sender
		if k.enc, sender, err = hpke.NewSender(d.encryption, hpke.HKDFSHA256(), hpke.ExportOnly(), d.info()); err == nil {
			exported, err = sender.Export(exportLabel, secret.KeySize)
		}
	})
	if err != nil {
		return nil, err
	}
	k.key, err = a.From(exported)
	return k, err
}

// openSegmentKey regains a segment's key with the log's private key. The caller wipes it.
func (d *description) openSegmentKey(a *secret.Arena, keys Keys, enc []byte) (*secret.Buffer, error) {
	defer secret.Sweep()
	var exported []byte
	var err error
	secret.Do(func() {
		var private hpke.PrivateKey
		if private, err = kem().NewPrivateKey(keys.Decryption.Reveal()); err != nil {
			return
		}
		var recipient *hpke.Recipient
		if recipient, err = hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), d.info()); err == nil {
			exported, err = recipient.Export(exportLabel, secret.KeySize)
		}
	})
	if err != nil {
		return nil, err
	}
	return a.From(exported)
}

func (k *segmentKey) seal(dst, nonce, plaintext, ad []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.key == nil {
		return nil, errRetired
	}
	return secret.Seal(dst, k.key, nonce, plaintext, ad)
}

// retire wipes the key once nobody is using it.
func (k *segmentKey) retire() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key != nil {
		k.key.Wipe()
		k.key = nil
	}
}
