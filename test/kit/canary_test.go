package kit

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// The scanner's own control: it finds a canary that was leaked on purpose, however it lies, and none where none is.
func TestFind(t *testing.T) {
	t.Parallel()
	const canary = "canary-0>?~\xff1"
	std, url := base64.StdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString
	for _, c := range []struct {
		name, file, text string
		hit              bool
	}{
		{"plain", "a", "before " + canary + " after", true},
		{"a file's name", canary, "", true},
		{"a folder's name", canary + "/a", "", true},
		{"hex", "a", "00" + hex.EncodeToString([]byte(canary)) + "ff", true},
		{"upper hex", "a", "63616E6172792D303E3F7EFF31", true},
		{"base64, first", "a", std([]byte(canary)), true},
		{"base64, after 1", "a", std([]byte("x" + canary + "yz")), true},
		{"base64, after 2", "a", std([]byte("xy" + canary + "z")), true},
		{"base64, after 300", "a", std(append(make([]byte, 300), canary...)), true},
		{"base64 for URLs", "a", url([]byte("x" + canary + "yz")), true},
		{"another canary", "a", "canary-0>?~\xfe1", false},
		{"half a canary", "a", "canary-0", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, c.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if hits := Find(t, []string{"absent-entirely", canary}, dir); (len(hits) > 0) != c.hit {
				t.Errorf("hits: %q, want some: %v", hits, c.hit)
			}
		})
	}
}
