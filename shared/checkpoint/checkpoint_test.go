package checkpoint

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint/merkletest"
)

const origin = "strongroom-audit/00112233445566778899aabbccddeeff"

// author signs as a log does.
type author struct {
	t      testing.TB
	key    string
	signer note.Signer
}

func newAuthor(t testing.TB, name string) author {
	t.Helper()
	private, key, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return author{t, key, signer}
}

func (a author) sign(body string) []byte {
	a.t.Helper()
	text, err := note.Sign(&note.Note{Text: body}, a.signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return text
}

func numbered(n int) (leaves [][]byte) {
	for i := range n {
		leaves = append(leaves, fmt.Appendf(nil, "leaf %d", i))
	}
	return leaves
}

// TestText: what is signed is typed by hand here.
func TestText(t *testing.T) {
	t.Parallel()
	a := newAuthor(t, origin)
	body := origin + "\n7\n" + strings.Repeat("A", 43) + "=\nepoch 3\n"
	c, err := Parse(a.key, a.sign(body))
	if want := (Checkpoint{Origin: origin, Size: 7, Epoch: 3}); err != nil || c != want {
		t.Fatalf("Parse: %+v, %v, want %+v", c, err, want)
	}
	if c.Body() != body {
		t.Errorf("Body: %q, want %q", c.Body(), body)
	}
	if c, err = Parse(a.key, a.sign(body+"later stuff\n")); err != nil || c.Size != 7 {
		t.Errorf("with a line of a later version: %+v, %v", c, err)
	}
}

// loose sets a bit of the signature that its base64 has to spare: 68 bytes leave two.
func loose(signed []byte) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(signed) - len("x=\n")
	signed[last] = digits[strings.IndexByte(digits, signed[last])+1]
	return signed
}

func TestRefusedTexts(t *testing.T) {
	t.Parallel()
	a, other := newAuthor(t, origin), newAuthor(t, origin)
	root := strings.Repeat("A", 43) + "=\n"
	good := origin + "\n7\n" + root + "epoch 3\n"
	for what, test := range map[string]struct {
		text []byte
		want error
	}{
		"nothing":                  {nil, ErrMalformed},
		"no signature":             {[]byte(good), ErrMalformed},
		"another key":              {other.sign(good), ErrForeign},
		"another origin":           {a.sign(strings.Replace(good, "00112233", "00112234", 1)), ErrForeign},
		"a changed size":           {[]byte(strings.Replace(string(a.sign(good)), "\n7\n", "\n8\n", 1)), ErrForeign},
		"a changed epoch":          {[]byte(strings.Replace(string(a.sign(good)), "epoch 3", "epoch 4", 1)), ErrForeign},
		"a loose signature":        {loose(a.sign(good)), ErrMalformed},
		"no epoch":                 {a.sign(origin + "\n7\n" + root), ErrMalformed},
		"epoch 0":                  {a.sign(strings.Replace(good, "epoch 3", "epoch 0", 1)), ErrMalformed},
		"epoch 03":                 {a.sign(strings.Replace(good, "epoch 3", "epoch 03", 1)), ErrMalformed},
		"epoch of 33 bits":         {a.sign(strings.Replace(good, "epoch 3", "epoch 4294967297", 1)), ErrMalformed},
		"size 07":                  {a.sign(strings.Replace(good, "\n7\n", "\n07\n", 1)), ErrMalformed},
		"size -7":                  {a.sign(strings.Replace(good, "\n7\n", "\n-7\n", 1)), ErrMalformed},
		"size 2^48+1":              {a.sign(strings.Replace(good, "\n7\n", "\n281474976710657\n", 1)), ErrMalformed},
		"a root of 31 bytes":       {a.sign(strings.Replace(good, root, strings.Repeat("A", 42)+"==\n", 1)), ErrMalformed},
		"a loose root":             {a.sign(strings.Replace(good, root, strings.Repeat("A", 42)+"B=\n", 1)), ErrMalformed},
		"an empty log with a root": {a.sign(strings.Replace(good, "\n7\n", "\n0\n", 1)), ErrMalformed},
		"more than it may have":    {a.sign(good + strings.Repeat("x", MaxText) + "\n"), ErrMalformed},
	} {
		if _, err := Parse(a.key, test.text); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
	for _, key := range []string{"", "x", origin + "+00000000+AQ=="} {
		if _, err := Parse(key, a.sign(good)); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "log key") {
			t.Errorf("log key %q: %v", key, err)
		}
	}
}

func TestExtendsEverySize(t *testing.T) {
	t.Parallel()
	leaves := numbered(20)
	at := func(n int) Checkpoint { return Checkpoint{origin, uint64(n), merkletest.Root(leaves[:n]), 1} }
	for to := range len(leaves) + 1 {
		for from := range to + 1 {
			var proof []tlog.Hash
			if from > 0 {
				proof = merkletest.Proof(from, leaves[:to])
			}
			if err := at(to).Extends(at(from), proof); err != nil {
				t.Errorf("from %d to %d: %v", from, to, err)
			}
			for i := range proof {
				wrong := append([]tlog.Hash{}, proof...)
				wrong[i][5] ^= 1
				if err := at(to).Extends(at(from), wrong); !errors.Is(err, ErrNotExtended) {
					t.Errorf("from %d to %d, hash %d altered: %v", from, to, i, err)
				}
				if err := at(to).Extends(at(from), proof[:i]); !errors.Is(err, ErrNotExtended) {
					t.Errorf("from %d to %d, only %d hashes: %v", from, to, i, err)
				}
			}
			if err := at(to).Extends(at(from), append(proof, tlog.Hash{})); !errors.Is(err, ErrNotExtended) {
				t.Errorf("from %d to %d, a hash too many: %v", from, to, err)
			}
		}
	}
}

func TestExtends(t *testing.T) {
	t.Parallel()
	leaves, fork := numbered(12), numbered(12)
	fork[3] = []byte("another")
	good := merkletest.Proof(7, leaves)
	older := Checkpoint{origin, 7, merkletest.Root(leaves[:7]), 2}
	newer := Checkpoint{origin, 12, merkletest.Root(leaves), 2}
	for what, test := range map[string]struct {
		newer Checkpoint
		proof []tlog.Hash
		want  error
	}{
		"it does":                      {newer, good, nil},
		"the same":                     {older, nil, nil},
		"no proof":                     {newer, nil, ErrNotExtended},
		"fewer entries":                {Checkpoint{origin, 6, merkletest.Root(leaves[:6]), 2}, nil, ErrNotExtended},
		"none":                         {Checkpoint{origin, 0, merkletest.Root(nil), 2}, nil, ErrNotExtended},
		"the same size, other entries": {Checkpoint{origin, 7, merkletest.Root(fork[:7]), 2}, nil, ErrNotExtended},
		"forked, its own proof":        {Checkpoint{origin, 12, merkletest.Root(fork), 2}, merkletest.Proof(7, fork), ErrNotExtended},
		"forked, the good proof":       {Checkpoint{origin, 12, merkletest.Root(fork), 2}, good, ErrNotExtended},
		"a lower epoch":                {Checkpoint{origin, 12, merkletest.Root(leaves), 1}, good, ErrNotExtended},
		"a higher epoch":               {Checkpoint{origin, 12, merkletest.Root(leaves), 3}, good, nil},
		"a higher epoch, fewer":        {Checkpoint{origin, 2, merkletest.Root(fork[:2]), 3}, nil, nil},
		"another log":                  {Checkpoint{origin + "0", 12, merkletest.Root(leaves), 3}, good, ErrForeign},
	} {
		if err := test.newer.Extends(older, test.proof); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
}

func TestHashes(t *testing.T) {
	t.Parallel()
	in := [][]byte{make([]byte, 32), []byte(strings.Repeat("x", 32))}
	got, err := Hashes(in)
	if err != nil || len(got) != 2 || string(got[1][:]) != string(in[1]) || string(Raw(got)[1]) != string(in[1]) {
		t.Errorf("Hashes: %v, %v", got, err)
	}
	for what, raw := range map[string][][]byte{"short": {make([]byte, 31)}, "long": {make([]byte, 33)}, "many": make([][]byte, MaxHashes+1)} {
		if _, err := Hashes(raw); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	a := newAuthor(f, origin)
	good := origin + "\n7\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\nepoch 3\n"
	f.Add(a.sign(good))
	f.Add([]byte(good))
	f.Add([]byte(origin + "\n0\n\nepoch 1\nmore\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := Parse(a.key, b); err == nil && !strings.HasPrefix(string(b), c.Body()) {
			t.Fatalf("%q was read as %+v", b, c)
		}
		// A fuzzer makes no signatures.
		if c, err := parseBody(string(b)); err == nil && !strings.HasPrefix(string(b), c.Body()) {
			t.Fatalf("%q was read as %+v", b, c)
		}
	})
}
