package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// In these tests a segment takes three entries: c1 to c3, c4 to c6, and so on.
const (
	file1 = "00000000000000000001.seg"
	file4 = "00000000000000000004.seg"
	file7 = "00000000000000000007.seg"
	three = 125 + 3*130 + 60
)

// ends are the offsets at which the frames of a segment end, the header's end first. They are found with the layout as
// the documentation has it, not with the decoder.
func ends(data []byte) []int {
	all := []int{125}
	for at := 125; at < len(data); {
		at += 8 + int(binary.BigEndian.Uint32(data[at:]))
		all = append(all, at)
	}
	return all
}

// parts are a segment's header and frames.
func parts(data []byte) [][]byte {
	all := [][]byte{data[:125]}
	at := ends(data)
	for i := range at[1:] {
		all = append(all, data[at[i]:at[i+1]])
	}
	return all
}

// fixed returns data with the checksum of the frame in which an offset is made good again.
func fixed(data []byte, offset int) []byte {
	at := ends(data)
	for i := range at[1:] {
		if frame := data[at[i]:at[i+1]]; offset >= at[i] && offset < at[i+1] {
			sum := crc32.Checksum(append(slices.Clone(frame[:4]), frame[8:]...), crc32.MakeTable(crc32.Castagnoli))
			binary.BigEndian.PutUint32(frame[4:], sum)
		}
	}
	return data
}

func flipped(data []byte, at int) []byte {
	data = slices.Clone(data)
	data[at] ^= 0x41
	return data
}

// TestTornTail cuts the last segment at every byte, as a crash might.
func TestTornTail(t *testing.T) {
	t.Parallel()
	l := newLog(t, three)
	l.add(6)
	whole := files(t, l.dir)
	data := whole[file4]
	at := ends(data)
	if len(at) != 4 {
		t.Fatalf("%d entries in the last segment", len(at)-1)
	}
	for cut := range data {
		kept := 0
		torn := cut
		for i, end := range at {
			if end <= cut {
				kept, torn = i, cut-end
			}
		}
		dir := folder(t, changed(whole, file4, data[:cut]))
		report, err := Check(dir)
		if err != nil || report.Size != uint64(3+kept) || report.Unfinished != int64(torn) {
			t.Fatalf("cut at %d: Check: %+v, %v", cut, report, err)
		}
		log := l.open(dir, three)
		want := []string{"c1", "c2", "c3", "c4", "c5"}[:3+kept]
		if torn > 0 {
			want = append(want, fmt.Sprintf("cut %d bytes of an unfinished write after entry %d", torn, 3+kept))
		}
		if log.Size() != uint64(len(want)) {
			t.Fatalf("cut at %d: %d entries, want %v", cut, log.Size(), want)
		}
		sampled := torn < 2 || cut%29 == 0 // the rest is slow where every access to memory is watched
		if sampled {
			if diff := cmp.Diff(want, targets(t, log, l.keys)); diff != "" {
				t.Fatalf("cut at %d: %s", cut, diff)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if !sampled {
			continue
		}
		// What was said about the cut stays, and is said once.
		again := l.open(dir, three)
		add(t, again)
		want = append(want, fmt.Sprintf("c%d", len(want)+1))
		if diff := cmp.Diff(want, targets(t, again, l.keys)); diff != "" {
			t.Fatalf("cut at %d, opened again: %s", cut, diff)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFlippedByte flips each byte of each file: the entry it belongs to is named, or the last entry is taken for a
// crash's remains, and never does another entry appear.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	l := newLog(t, three)
	l.add(5)
	whole := files(t, l.dir)
	named, torn := 0, 0
	for file, first := range map[string]uint64{file1: 1, file4: 4} {
		at := ends(whole[file])
		for i := range whole[file] {
			owner := first
			for n, end := range at[1:] {
				if i >= end {
					owner = first + uint64(n) + 1
				}
			}
			dir := folder(t, changed(whole, file, flipped(whole[file], i)))
			log, err := open(dir, l.arena, three, ticking())
			if owner == 5 && err == nil {
				want := []string{"c1", "c2", "c3", "c4", fmt.Sprintf("cut %d bytes of an unfinished write after entry 4", at[2]-at[1])}
				if log.Size() != 5 {
					t.Errorf("byte %d of %s: %d entries", i, file, log.Size())
				}
				if i%7 == 0 {
					if diff := cmp.Diff(want, targets(t, log, l.keys)); diff != "" {
						t.Errorf("byte %d of %s: %s", i, file, diff)
					}
				}
				if err := log.Close(); err != nil {
					t.Fatal(err)
				}
				torn++
				continue
			}
			if badSeq(err) != owner {
				t.Errorf("byte %d of %s, entry %d: %v", i, file, owner, err)
			}
			named++
			if _, err := Check(dir); badSeq(err) != owner {
				t.Errorf("byte %d of %s, entry %d: Check: %v", i, file, owner, err)
			}
		}
	}
	if named == 0 || torn == 0 {
		t.Errorf("%d entries named, %d torn tails", named, torn)
	}
}

func TestFlippedDescription(t *testing.T) {
	t.Parallel()
	l := newLog(t, three)
	l.add(2)
	whole := files(t, l.dir)
	refused := 0
	for i := range whole[descriptionFile] {
		for _, mask := range []byte{0x01, 0x20, 0x80} {
			data := slices.Clone(whole[descriptionFile])
			data[i] ^= mask
			d, err := decodeDescription(data)
			if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewerFormat) {
				refused++
				continue
			}
			// JSON names are read in either case, and base64 has spare bits: then nothing else was said.
			if err != nil || d.logKey() != l.desc.logKey() || d.vault != l.desc.vault || d.origin != l.desc.origin ||
				string(d.encryption.Bytes()) != string(l.desc.encryption.Bytes()) {
				t.Errorf("byte %d with %#x: %v", i, mask, err)
			}
		}
	}
	if refused < 2*len(whole[descriptionFile]) {
		t.Errorf("only %d were refused", refused)
	}
}

// TestTampering alters the files as somebody would who can mend checksums, and asks Check, which has no memory and no
// key, and Verify, which knows the tree. A 0 means that it cannot be noticed there.
func TestTampering(t *testing.T) {
	t.Parallel()
	l := newLog(t, three)
	l.add(9)
	whole := files(t, l.dir)
	other := newLog(t, three)
	other.add(9)
	p := parts(whole[file4])
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	without := func(names ...string) map[string][]byte {
		all := changed(whole, "", nil)
		delete(all, "")
		for _, name := range names {
			delete(all, name)
		}
		return all
	}
	header := slices.Clone(whole[file4])
	header[89] ^= 1 // the encapsulation
	binary.BigEndian.PutUint32(header[121:], crc32.Checksum(header[:121], crc32.MakeTable(crc32.Castagnoli)))
	last := parts(whole[file7])
	for _, test := range []struct {
		name          string
		files         map[string][]byte
		check, verify uint64
		problem       string
	}{
		{"nothing", whole, 0, 0, ""},
		{"entry removed", changed(whole, file4, join(p[0], p[1], p[3])), 5, 5, "entry 6 is in its place"},
		{"first entry of a segment removed", changed(whole, file4, join(p[0], p[2], p[3])), 4, 4, "entry 5 is in its place"},
		{"last entry of a segment removed", changed(whole, file4, join(p[0], p[1], p[2])), 6, 6, "missing|entry 6 ought to follow"},
		{"last entry removed", changed(whole, file7, join(last[0], last[1], last[2])), 0, 9, "missing"},
		{"entries reordered", changed(whole, file4, join(p[0], p[2], p[1], p[3])), 4, 4, "entry 5 is in its place"},
		{"entry duplicated", changed(whole, file4, join(p[0], p[1], p[1], p[2], p[3])), 5, 5, "entry 4 is in its place"},
		{"last entry duplicated", changed(whole, file7, join(whole[file7], last[3])), 10, 0, "entry 9 is in its place"},
		{"old entry appended", changed(whole, file7, join(whole[file7], p[2])), 10, 0, "entry 5 is in its place"},
		{"ciphertext altered", changed(whole, file4, fixed(flipped(whole[file4], 300), 300)), 7, 4, "was altered"},
		{"time altered", changed(whole, file4, fixed(flipped(whole[file4], 125+22), 125)), 7, 4, "was altered"},
		{"last ciphertext altered", changed(whole, file7, fixed(flipped(whole[file7], 300), 300)), 0, 7, "was altered"},
		{"encapsulation exchanged", changed(whole, file4, header), 7, 4, "was altered"},
		{"number altered", changed(whole, file4, fixed(flipped(whole[file4], 125+21), 125)), 4, 4, "is in its place"},
		{"batch altered", changed(whole, file4, fixed(flipped(whole[file4], 125+13), 125)), 4, 4, "does not follow"},
		{"bytes after a segment", changed(whole, file4, append(slices.Clone(whole[file4]), 0)), 7, 7, "unfinished"},
		{"segment removed", without(file4), 4, 4, "missing|ought to follow"},
		{"first segment removed", without(file1), 1, 1, "missing|ought to follow"},
		{"last segment removed", without(file7), 0, 7, "missing"},
		{"segment emptied", changed(whole, file4, nil), 4, 4, "a segment's header has"},
		{"segment duplicated", changed(whole, "00000000000000000010.seg", whole[file7]), 10, 0, "begins with entry 7"},
		{"segment duplicated within", changed(whole, "00000000000000000005.seg", whole[file4]), 5, 0, "entry 7 ought to follow"},
		{"segments swapped", changed(changed(whole, file4, whole[file7]), file7, whole[file4]), 4, 4, "begins with entry 7"},
		{"segment of another log", changed(whole, file4, files(t, other.dir)[file4]), 4, 4, "of another vault or log"},
		{"description of another log", changed(whole, "log.json", files(t, other.dir)["log.json"]), 1, 0, "of another vault or log"},
	} {
		dir := folder(t, test.files)
		_, err := Check(dir)
		if badSeq(err) != test.check || (test.check != 0) != (err != nil) || !mentions(err, test.problem) {
			t.Errorf("%s: Check: %v", test.name, err)
		}
		_, err = open(dir, l.arena, three, ticking())
		if badSeq(err) != test.check || (test.check != 0) != (err != nil) {
			t.Errorf("%s: Open: %v", test.name, err)
		}
		l.Log.dir = folder(t, test.files) // the files change under the open log
		_, _, err = l.Verify(t.Context())
		if badSeq(err) != test.verify || (test.verify != 0) != (err != nil) || !mentions(err, test.problem) {
			t.Errorf("%s: Verify: %v", test.name, err)
		}
		_, err = l.Read(t.Context(), l.keys, Query{})
		if test.verify != 0 && badSeq(err) == 0 || test.verify == 0 && err != nil {
			t.Errorf("%s: Read: %v", test.name, err)
		}
	}
}

func mentions(err error, problems string) bool {
	return err == nil || slices.ContainsFunc(strings.Split(problems, "|"), func(problem string) bool {
		return problem != "" && strings.Contains(err.Error(), problem)
	})
}

// TestUnfinishedBatch: of a batch that a crash interrupted any pages may be missing, of one before it none.
func TestUnfinishedBatch(t *testing.T) {
	t.Parallel()
	l := newLog(t, segmentLimit)
	l.add(2)
	durable := files(t, l.dir)[file1]
	var frames [][]byte
	for i, place := range []struct{ index, seq int }{{0, 3}, {1, 4}, {2, 5}, {0, 6}} {
		plaintext, err := appendPlaintext(nil, &Entry{Target: fmt.Sprintf("b%d", i), Outcome: Allowed})
		if err != nil {
			t.Fatal(err)
		}
		frame, err := sealFrame(nil, l.key, event, 0, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		number(frame, uint32(place.index), uint64(place.seq), 1)
		finish(frame)
		frames = append(frames, frame)
	}
	zeros := make([]byte, len(frames[0]))
	bad := flipped(frames[0], 80)
	garbage := make([]byte, maxBatch+1)
	for _, test := range []struct {
		name   string
		frames [][]byte
		kept   int // entries, or 0: it is no crash's doing
		bad    uint64
	}{
		{"whole", frames, 6, 0},
		{"the first page missing", [][]byte{zeros, frames[1], frames[2]}, 2, 0},
		{"the second page missing", [][]byte{frames[0], zeros, frames[2]}, 3, 0},
		{"all missing", [][]byte{zeros, zeros, zeros}, 2, 0},
		{"half a page", [][]byte{frames[0], frames[1][:40], zeros}, 3, 0},
		{"damaged before a later batch", [][]byte{bad, frames[1], frames[2], frames[3]}, 0, 3},
		{"missing before a later batch", [][]byte{frames[0], frames[1], zeros, frames[3]}, 0, 5},
		{"an old entry after damage", [][]byte{bad, durable[125:]}, 0, 3},
		{"bytes put in between", [][]byte{zeros[:7], frames[0]}, 0, 3},
		{"more than a batch", [][]byte{garbage}, 0, 3},
	} {
		dir := folder(t, changed(files(t, l.dir), file1, append(slices.Clone(durable), slices.Concat(test.frames...)...)))
		log, err := open(dir, l.arena, segmentLimit, ticking())
		if test.kept == 0 {
			if badSeq(err) != test.bad {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got := targets(t, log, l.keys)
		if test.kept < 6 {
			last := got[len(got)-1]
			if got = got[:len(got)-1]; !strings.HasSuffix(last, fmt.Sprintf("of an unfinished write after entry %d", test.kept)) {
				t.Errorf("%s: it says %q", test.name, last)
			}
		}
		if diff := cmp.Diff([]string{"c1", "c2", "b0", "b1", "b2", "b3"}[:test.kept], got); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnwantedFiles are in the way or do not matter.
func TestUnwantedFiles(t *testing.T) {
	t.Parallel()
	l := newLog(t, three)
	l.add(3)
	whole := files(t, l.dir)
	l.open(folder(t, changed(whole, "new.tmp", []byte("half a head"))), three)
	for _, name := range []string{"1.seg", "+0000000000000000001.seg", "x.seg", "00000000000000000004.seg.seg"} {
		dir := folder(t, changed(whole, name, whole[file1]))
		if _, err := Check(dir); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	huge := folder(t, whole)
	if err := os.Truncate(filepath.Join(huge, file1), 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(huge); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a huge segment: %v", err)
	}
	// A file where the next segment is to be is not written over, and holds the log up.
	if err := os.WriteFile(filepath.Join(l.dir, file4), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), Entry{Outcome: Allowed}); !errors.Is(err, errNoSegment) {
		t.Errorf("Append: %v", err)
	}
	if got := files(t, l.dir)[file4]; string(got) != "x" {
		t.Errorf("the file is now %q", got)
	}
}
