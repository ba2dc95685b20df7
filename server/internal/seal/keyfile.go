package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

const (
	keyLinePrefix = "strongroom-key-v1:"
	keyLineSize   = len(keyLinePrefix) + 2*keySize + 1
	maxKeyFile    = keyLineSize + 1 // an editor may have made CR LF of the line feed
)

// NewKeyFile makes a key of 32 random bytes and writes it to a new file (mode 0600), which is on disk when NewKeyFile
// returns. A file at path is never replaced: that is os.ErrExist. The caller wipes the key.
func NewKeyFile(a *secret.Arena, path string) (*secret.Buffer, error) {
	key, err := a.Random(keySize)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := writeKeyFile(a, path, key); err != nil {
		key.Wipe()
		return nil, fmt.Errorf("seal: write key file: %w", err)
	}
	return key, nil
}

func writeKeyFile(a *secret.Arena, path string, key *secret.Buffer) error {
	line, err := a.New(keyLineSize)
	if err != nil {
		return err
	}
	defer line.Wipe()
	secret.Do(func() {
		b := line.Reveal()
		n := copy(b, keyLinePrefix)
		n += hex.Encode(b[n:], key.Reveal())
		b[n] = '\n'
	})
	return durable.Create(path, line.Reveal())
}

// ReadKeyFile reads a key file straight into the arena; the caller wipes the key. It refuses a file that others may
// read: group and others must have no rights, except that systemd's own file in $CREDENTIALS_DIRECTORY may be readable
// by its group.
func ReadKeyFile(a *secret.Arena, path string) (*secret.Buffer, error) {
	// Without O_NONBLOCK the opening of a named pipe would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrKeyFile, path)
	}
	if err := checkAccess(path, info, os.Getenv("CREDENTIALS_DIRECTORY")); err != nil {
		return nil, err
	}
	line, err := a.ReadAll(f, maxKeyFile)
	if errors.Is(err, secret.ErrTooLong) {
		return nil, fmt.Errorf("%w: %s is not one line as `strongroom-server init` writes it", ErrKeyFile, path)
	}
	if err != nil {
		return nil, fmt.Errorf("seal: read key file %s: %w", path, err)
	}
	defer line.Wipe()
	key, err := ParseKeyFile(a, line)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// CheckKeyFile is ErrKeyFile for a text that ParseKeyFile would not take. It takes no memory, and tries nothing.
func CheckKeyFile(line *secret.Buffer) error {
	_, err := keyDigits(line)
	return err
}

// ParseKeyFile reads the key out of a key file's text; the caller wipes both.
func ParseKeyFile(a *secret.Arena, line *secret.Buffer) (*secret.Buffer, error) {
	digits, err := keyDigits(line)
	if err != nil {
		return nil, err
	}
	key, err := a.New(keySize)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	secret.Do(func() { _, _ = hex.Decode(key.Reveal(), digits) }) // keyDigits has looked at them
	return key, nil
}

// keyDigits are those of a key file's text, where they are.
func keyDigits(line *secret.Buffer) ([]byte, error) {
	digits, ok := bytes.CutPrefix(line.Reveal(), []byte(keyLinePrefix))
	digits = bytes.TrimRight(digits, "\r\n")
	if !ok || len(digits) != 2*keySize {
		return nil, fmt.Errorf("%w: it is not one line as `strongroom-server init` writes it", ErrKeyFile)
	}
	if len(bytes.Trim(digits, "0123456789abcdefABCDEF")) > 0 {
		return nil, fmt.Errorf("%w: it holds something else than hex digits", ErrKeyFile)
	}
	return digits, nil
}
