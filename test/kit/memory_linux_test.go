package kit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What a read leaves out in the middle of a stretch is said to be unread, and what it gave is searched all the same.
func TestScanSaysWhatItCouldNotRead(t *testing.T) {
	const page = 4096
	secret := Text("canary", "a-canary-of-twenty-5")
	present := bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0x80}, 2)
	for _, c := range []struct {
		what   string
		size   int // of the memory that can be read, of two pages
		unread []string
	}{
		{"all of it", 2 * page, nil},
		{"a part of the second page", page + 1000, []string{"two pages"}},
		{"nothing of the second page", page, []string{"two pages"}},
		{"all but the last bytes", 2*page - 5, []string{"two pages"}},
	} {
		contents := make([]byte, c.size)
		copy(contents[page-100:], secret.Bytes)
		var out Scan
		m := mapping{high: 2 * page, line: "two pages"}
		m.search(opened(t, contents), opened(t, present), wantedOf([]Secret{secret}), &out)
		if !slices.Equal(Names(out.Found), []string{"canary"}) || !slices.Equal(out.Unread, c.unread) || out.Bytes != c.size {
			t.Errorf("%s: %d bytes read, found %v, unread %q; want %d bytes, the canary and %q", c.what, out.Bytes, out.Found, out.Unread, c.size, c.unread)
		}
	}
}

func opened(t *testing.T, contents []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, contents, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}
