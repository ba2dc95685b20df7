package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

func TestOutcomesAreCodedAsDocumented(t *testing.T) {
	t.Parallel()
	for code, outcome := range map[byte]Outcome{1: "allowed", 2: "refused", 3: "failed"} {
		b, err := appendPlaintext(nil, &Entry{Outcome: outcome, Actor: "al", Reason: "r"})
		if err != nil {
			t.Fatal(err)
		}
		want := append([]byte{code}, 0, 2, 'a', 'l', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'r')
		if !bytes.Equal(b[16:], want) {
			t.Errorf("%s: % x, want % x", outcome, b[16:], want)
		}
	}
}

func TestNewerFormats(t *testing.T) {
	t.Parallel()
	l := newLog(t, three)
	l.add(2)
	whole := files(t, l.dir)
	segment := slices.Clone(whole[file1])
	segment[8] = 2
	binary.BigEndian.PutUint32(segment[121:], crc32.Checksum(segment[:121], crc32.MakeTable(crc32.Castagnoli)))
	entry, entryKind := slices.Clone(whole[file1]), slices.Clone(whole[file1])
	entry[125+8] = 2
	entryKind[125+9] = 5
	for name, altered := range map[string]map[string][]byte{
		"segment":     changed(whole, file1, segment),
		"entry":       changed(whole, file1, fixed(entry, 125)),
		"kind":        changed(whole, file1, fixed(entryKind, 125)),
		"description": changed(whole, "log.json", []byte(`{"format":2}`)),
	} {
		if _, err := Check(folder(t, altered)); !errors.Is(err, ErrNewerFormat) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEntryThatIsNotItsHash: what the tree states about an entry and what its reader sees are the same.
func TestEntryThatIsNotItsHash(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	plaintext, err := appendPlaintext(nil, &Entry{Actor: "alice", Outcome: Allowed})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealFrame(nil, l.key, event, 0, plaintext)
	if err != nil {
		t.Fatal(err)
	}
	f := parseFrame(sealed)
	if e, err := f.open(l.key.key); err != nil || e.Actor != "alice" {
		t.Errorf("as it was sealed: %v, %v", e, err)
	}
	sum := flipped(sealed[38:70], 31)
	f.bytes, err = l.key.seal(slices.Concat(sealed[:38], sum), sum[:secret.NonceSize], plaintext, sum)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := f.open(l.key.key); err == nil {
		t.Errorf("with another hash: %v", e)
	}
}
