package kit

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Hit is a canary that was found where none may be.
type Hit struct{ Canary, Form, File string }

// Find searches folders for canaries: in the names and the bytes of all files, plain, as hex, and as base64 however the
// canary lies in what was encoded. Daemons may be at work in the folders: what is gone when its turn comes is no fault.
// Canaries need 6 bytes or more, or base64 leaves too little of them to look for.
func Find(t testing.TB, canaries []string, dirs ...string) []Hit {
	t.Helper()
	var hits []Hit
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if file != dir && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			text := []byte(strings.TrimPrefix(file, dir) + "\n")
			if d.Type().IsRegular() {
				body, err := os.ReadFile(file)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				text = append(text, body...)
			}
			for _, canary := range canaries {
				for form, needle := range forms(canary) {
					if bytes.Contains(text, needle) {
						hits = append(hits, Hit{canary, form, file})
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return hits
}

// forms gives the bytes to look for. Base64 turns 3 bytes into 4 characters, so what becomes of a canary depends on how
// many bytes stand before it; the characters that it shares with its neighbours are cut off.
func forms(canary string) map[string][]byte {
	if len(canary) < 6 {
		panic("kit: the canary " + canary + " is too short to be looked for")
	}
	plain := []byte(canary)
	needles := map[string][]byte{
		"plain": plain,
		"hex":   []byte(hex.EncodeToString(plain)),
		"HEX":   []byte(strings.ToUpper(hex.EncodeToString(plain))),
	}
	for before := range 3 {
		padded := append(make([]byte, before), plain...)
		first := (before*8 + 5) / 6 // the first character that is the canary's alone
		last := len(padded) * 8 / 6 // and the end of those
		needles["base64 after "+string(rune('0'+before))] = []byte(base64.RawStdEncoding.EncodeToString(padded)[first:last])
		needles["base64url after "+string(rune('0'+before))] = []byte(base64.RawURLEncoding.EncodeToString(padded)[first:last])
	}
	return needles
}
