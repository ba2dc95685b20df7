package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

// maxToken is more than any token or remembered server has.
const maxToken = 8 << 10

// remembered is what login keeps beside a token, in TOKENFILE.json: which
// server it is for. TokenHash ties it to that very token, so that neither a
// crash between the two files nor an exchanged token file can send a token to a
// server that it is not of.
type remembered struct {
	Server        string `json:"server"`
	CAFingerprint string `json:"ca_fingerprint"`
	TokenHash     string `json:"token_sha256"`
}

// tokenPath is where the token is: STRONGROOM_TOKEN_FILE, or the user's
// configuration folder.
func tokenPath() (string, error) {
	if path := os.Getenv("STRONGROOM_TOKEN_FILE"); path != "" {
		return path, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", cli.Usagef("there is no home folder to keep the token in; name a file with STRONGROOM_TOKEN_FILE")
	}
	return filepath.Join(dir, "strongroom", "token"), nil
}

// readToken reads a token file; a missing one gives nil.
func (a *app) readToken(path string) (*secret.Buffer, error) {
	text, err := a.arena.ReadFile(path, maxToken)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, cli.Usagef("the token cannot be read: %w", err)
	}
	defer text.Wipe()
	b := text.Reveal()
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return nil, cli.Usagef("%s does not hold a token; log in again", path)
		}
	}
	if len(b) == 0 {
		return nil, cli.Usagef("%s is empty; log in again", path)
	}
	return a.arena.From(b)
}

// withoutToken says that the token file which the environment names is missing, where it is.
func withoutToken() string {
	path := os.Getenv("STRONGROOM_TOKEN_FILE")
	if _, err := os.Stat(path); path == "" || !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return fmt.Sprintf("; STRONGROOM_TOKEN_FILE names %s, which is not there", path)
}

// recall reads what is remembered beside a token. It gives nil where that is
// missing, damaged, or not about this token; without a token it stands for
// itself, so that status and login know the server after logout.
func recall(path string, token *secret.Buffer) *remembered {
	f, err := os.Open(path + ".json")
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken))
	r := new(remembered)
	if err != nil || json.Unmarshal(text, r) != nil {
		return nil
	}
	if token != nil && r.TokenHash != hashOf(token) {
		return nil
	}
	return r
}

func hashOf(token *secret.Buffer) string {
	sum := sha256.Sum256(token.Reveal())
	return hex.EncodeToString(sum[:])
}

// remember saves a token and its server, each in a file of mode 0600.
func remember(path string, token *secret.Buffer, r remembered) error {
	r.TokenHash = hashOf(token)
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing what login remembers: %w", err)
	}
	if err := saveFile(path+".json", append(text, '\n')); err != nil {
		return err
	}
	return saveToken(path, token)
}

func saveToken(path string, token *secret.Buffer) error {
	return saveFile(path, token.Reveal(), []byte("\n"))
}

// saveFile replaces a file at once: after a crash it is the old or the new one,
// readable by its owner only.
func saveFile(path string, parts ...[]byte) (err error) {
	if path, err = regular(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("saving: %w", err)
	}
	if err := durable.Replace(path, parts...); err != nil {
		return fmt.Errorf("saving: %w", err)
	}
	return nil
}

// regular follows links and refuses devices and folders: a rename would replace
// them.
func regular(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("saving: %w", err)
	}
	info, err := os.Lstat(real)
	if err != nil {
		return "", fmt.Errorf("saving: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", cli.Usagef("%s is not a regular file; name another", path)
	}
	return real, nil
}

// forget removes the token, and leaves which server it was for.
func forget(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the token: %w", err)
	}
	return nil
}
