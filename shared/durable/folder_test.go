package durable

import (
	"os"
	"path/filepath"
	"testing"
)

// That the names survive a power failure is tested in test/lossy.
func TestMkdirAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	for range 2 { // there already, the second time
		if err := MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(deep); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Fatalf("%v, %v; want a folder of mode 0700", info, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if err := MkdirAll(path, 0o700); err == nil {
			t.Errorf("%s was made where a file is", path)
		}
	}
}
