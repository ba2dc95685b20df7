package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/strongroom/strongroom/shared/secret"
)

func arena(t testing.TB) *secret.Arena {
	t.Helper()
	a, err := secret.NewArena(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if a.InUse() != 0 {
			t.Errorf("%d bytes were not wiped", a.InUse())
		}
		_ = a.Close()
	})
	return a
}

// keyOf derives as the barrier does: from something, by the salt.
func keyOf(a *secret.Arena, from byte) KeyFor {
	return func(salt []byte) (*secret.Buffer, error) {
		k, err := a.From(bytes.Repeat([]byte{from}, 32))
		if err != nil {
			return nil, err
		}
		defer k.Wipe()
		return a.Derive(k, salt, "test", 32)
	}
}

func file(name, text string) File { return File{name, int64(len(text)), strings.NewReader(text)} }

var made = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func small(t testing.TB, a *secret.Arena, files ...File) []byte {
	t.Helper()
	var out bytes.Buffer
	h := Header{Vault: "00ff", Epoch: 1, Commit: 7, Made: made, Seal: []byte("{}")}
	if err := Write(&out, keyOf(a, 1), h, files); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type kept struct {
	*bytes.Buffer
	closed *int
}

func (k kept) Close() error {
	*k.closed++
	return nil
}

// extract gives what came out, by name.
func extract(a *secret.Arena, from byte, text []byte) (h Header, files map[string]string, err error) {
	r := bufio.NewReader(bytes.NewReader(text))
	if h, err = ReadHeader(r); err != nil {
		return h, nil, err
	}
	placed, closed := map[string]*bytes.Buffer{}, 0
	err = Extract(r, h, a, keyOf(a, from), func(name string, size int64) (io.WriteCloser, error) {
		placed[name] = &bytes.Buffer{}
		return kept{placed[name], &closed}, nil
	})
	files = map[string]string{}
	for name, b := range placed {
		files[name] = b.String()
	}
	if closed != len(placed) {
		err = errors.Join(err, fmt.Errorf("%d of %d files were closed", closed, len(placed)))
	}
	return h, files, err
}

func TestBackup(t *testing.T) {
	t.Parallel()
	a := arena(t)
	text := small(t, a, file("vault.db", "the store"), file("log.json", "{}"), file("1.seg", strings.Repeat("x", 100000)))
	if !bytes.HasPrefix(text, []byte("strongroom-backup-v1\n{\"format\":1,\"vault\":\"00ff\",\"epoch\":1,\"commit\":7,\"made\":\"2030-01-02T03:04:05Z\","+
		"\"store_bytes\":9,\"log_bytes\":100002,\"seal\":\"e30=\",\"salt\":\"")) {
		t.Errorf("%.300q", text)
	}
	h, files, err := extract(a, 1, text)
	if err != nil || h.Commit != 7 || !h.Made.Equal(made) || string(h.Seal) != "{}" {
		t.Errorf("%+v, %v", h, err)
	}
	if len(files) != 3 || files["vault.db"] != "the store" || files["log.json"] != "{}" || len(files["1.seg"]) != 100000 {
		t.Errorf("%.200q", files)
	}
	if _, _, err := extract(a, 2, text); !errors.Is(err, ErrDamaged) {
		t.Errorf("with another root key: %v", err)
	}
	if bytes.Contains(text, []byte("the store")) {
		t.Error("it can be read")
	}
}

// TestEveryByte: with any byte changed or missing there is a named error.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	a := arena(t)
	text := small(t, a, file("vault.db", "the store"), file("log.json", "{}"))
	named := func(err error) bool {
		return errors.Is(err, ErrDamaged) || errors.Is(err, ErrNone) || errors.Is(err, ErrNewer)
	}
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 0x20 // makes a small letter of a large one, where it is one
		if _, _, err := extract(a, 1, changed); !named(err) {
			t.Errorf("byte %d: %v", i, err)
		}
		if _, _, err := extract(a, 1, text[:i]); i%11 == 0 && !named(err) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
	if _, _, err := extract(a, 1, append(bytes.Clone(text), 0)); !named(err) {
		t.Errorf("longer: %v", err)
	}
}

// TestForgedArchives: who could write an archive that decrypts must still keep to what the header says.
func TestForgedArchives(t *testing.T) {
	t.Parallel()
	a := arena(t)
	for what, write := range map[string]func(*tar.Writer){
		"no store": func(w *tar.Writer) { put(w, "log.json", tar.TypeReg, "0123456789ab") },
		"the store behind": func(w *tar.Writer) {
			put(w, "log.json", tar.TypeReg, "{}")
			put(w, "vault.db", tar.TypeReg, "0123456789")
		},
		"a longer store": func(w *tar.Writer) { put(w, "vault.db", tar.TypeReg, "0123456789a") },
		"a shorter store": func(w *tar.Writer) {
			put(w, "vault.db", tar.TypeReg, "012345678")
			put(w, "log.json", tar.TypeReg, "{}")
		},
		"a longer log": func(w *tar.Writer) {
			put(w, "vault.db", tar.TypeReg, "0123456789")
			put(w, "log.json", tar.TypeReg, "{}{")
		},
		"a second store": func(w *tar.Writer) {
			put(w, "vault.db", tar.TypeReg, "0123456789")
			put(w, "vault.db", tar.TypeReg, "{}")
		},
		"a link": func(w *tar.Writer) {
			put(w, "vault.db", tar.TypeReg, "0123456789")
			_ = w.WriteHeader(&tar.Header{Name: "log.json", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})
		},
		"a folder": func(w *tar.Writer) {
			put(w, "vault.db", tar.TypeReg, "0123456789")
			_ = w.WriteHeader(&tar.Header{Name: "audit/", Typeflag: tar.TypeDir})
		},
		"no regular file": func(w *tar.Writer) {
			put(w, "vault.db", tar.TypeReg, "0123456789")
			put(w, "log.json", tar.TypeCont, "{}")
		},
		"nothing": func(*tar.Writer) {},
	} {
		text := small(t, a, file("vault.db", "0123456789"), file("log.json", "{}"))
		r := bufio.NewReader(bytes.NewReader(text))
		h, err := ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		identity, err := h.identity(a, keyOf(a, 1))
		if err != nil {
			t.Fatal(err)
		}
		var forged bytes.Buffer
		sealed, err := age.Encrypt(&forged, identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(sealed)
		write(w)
		if err := errors.Join(w.Close(), sealed.Close()); err != nil {
			t.Fatal(err)
		}
		err = Extract(&forged, h, a, keyOf(a, 1), func(string, int64) (io.WriteCloser, error) { return kept{&bytes.Buffer{}, new(int)}, nil })
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func put(w *tar.Writer, name string, kind byte, text string) {
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o600, Typeflag: kind})
	_, _ = io.WriteString(w, text)
}

// TestFaultsOfThePlace are told from those of the backup.
func TestFaultsOfThePlace(t *testing.T) {
	t.Parallel()
	a := arena(t)
	text, full := small(t, a, file("vault.db", "the store"), file("log.json", "{}")), errors.New("disk full")
	r := bufio.NewReader(bytes.NewReader(text))
	h, err := ReadHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	err = Extract(r, h, a, keyOf(a, 1), func(string, int64) (io.WriteCloser, error) { return failing{full}, nil })
	if !errors.Is(err, full) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	short := File{"vault.db", 10, strings.NewReader("short")}
	if err := Write(io.Discard, keyOf(a, 1), Header{Made: made}, []File{short}); err == nil {
		t.Error("a file that became shorter was written")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
func (f failing) Close() error              { return nil }

func TestNewerBackup(t *testing.T) {
	t.Parallel()
	text := "strongroom-backup-v1\n" + `{"format":2,"more":1}` + "\n"
	if _, err := ReadHeader(bufio.NewReader(strings.NewReader(text))); !errors.Is(err, ErrNewer) {
		t.Error(err)
	}
	long := "strongroom-backup-v1\n" + strings.Repeat("x", 1<<20)
	if _, err := ReadHeader(bufio.NewReader(strings.NewReader(long))); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// FuzzHeader: what is read is what would be written.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("strongroom-backup-v1\n{}\n"))
	f.Add([]byte(`strongroom-backup-v1` + "\n" + `{"format":1,"vault":"","epoch":0,"commit":0,"made":"2030-01-02T03:04:05Z","store_bytes":0,"log_bytes":0,` +
		`"seal":null,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := ReadHeader(bufio.NewReader(bytes.NewReader(text)))
		if err == nil && (h.Format != 1 || len(h.Salt) != 32) {
			t.Errorf("%+v", h)
		}
	})
}

// FuzzArchive reads archives as they come out of the age file.
func FuzzArchive(f *testing.F) {
	a, err := secret.NewArena(1 << 16)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = a.Close() })
	text := small(f, a, file("vault.db", "0123456789"), file("log.json", "{}"))
	r := bufio.NewReader(bytes.NewReader(text))
	h, err := ReadHeader(r)
	if err != nil {
		f.Fatal(err)
	}
	identity, err := h.identity(a, keyOf(a, 1))
	if err != nil {
		f.Fatal(err)
	}
	good, err := age.Decrypt(r, identity)
	if err != nil {
		f.Fatal(err)
	}
	inside, err := io.ReadAll(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inside)
	f.Fuzz(func(t *testing.T, inside []byte) {
		var forged bytes.Buffer
		sealed, err := age.Encrypt(&forged, identity.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sealed.Write(inside); err != nil {
			t.Fatal(err)
		}
		if err := sealed.Close(); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		_ = Extract(&forged, h, a, keyOf(a, 1), func(name string, size int64) (io.WriteCloser, error) {
			if total += size; total > 12 {
				t.Errorf("%d bytes, of 12 that the header allows", total)
			}
			return kept{&bytes.Buffer{}, new(int)}, nil
		})
	})
}
