package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/test/kit"
)

func isRollback(err error) bool {
	return errors.Is(err, audit.ErrVaultRolledBack) || errors.Is(err, audit.ErrLogRolledBack)
}

// segmentHead is how long a segment's header is; its last four bytes are the checksum of the others.
const segmentHead = 125

// frames are a segment's header and its entries, as the documentation has them.
func frames(segment []byte) (parts [][]byte) {
	parts = append(parts, segment[:segmentHead])
	for rest := segment[segmentHead:]; len(rest) > 0; {
		n := 8 + int(binary.BigEndian.Uint32(rest))
		parts = append(parts, rest[:n])
		rest = rest[n:]
	}
	return parts
}

// rewritten is an entry with other bytes at an offset and a checksum that is right again.
func rewritten(entry []byte, at int, with ...byte) []byte {
	entry = slices.Clone(entry)
	copy(entry[at:], with)
	sum := crc32.Checksum(append(slices.Clone(entry[:4]), entry[8:]...), crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(entry[4:], sum)
	return entry
}

// TestTamperedLogOfAVault alters the log beside the vault that knows it. An end that was cut off in full entries, with
// the checkpoint, is for the hosts to notice: TestEndCutOff.
func TestTamperedLogOfAVault(t *testing.T) {
	t.Parallel()
	v, other := newSmall(t), newSmall(t)
	log, foreign := readLog(t, v), readLog(t, other)
	names := segmentNames(log)
	if len(names) != 3 {
		t.Fatalf("%d segments", len(names))
	}
	first, middle, last := names[0], names[1], names[2]
	m, l := frames(log[middle]), frames(log[last])
	if len(m) < 6 || len(l) < 6 {
		t.Fatalf("%d and %d entries", len(m)-1, len(l)-1)
	}
	without := func(parts [][]byte, i int) []byte {
		return slices.Concat(slices.Delete(slices.Clone(parts), i, i+1)...)
	}
	with := func(parts [][]byte, i int, entry []byte) []byte {
		parts = slices.Clone(parts)
		parts[i] = entry
		return slices.Concat(parts...)
	}
	swapped := func(parts [][]byte, i, k int) []byte {
		parts = slices.Clone(parts)
		parts[i], parts[k] = parts[k], parts[i]
		return slices.Concat(parts...)
	}
	type files = map[string][]byte
	end := len(l) - 1
	for what, tc := range map[string]struct {
		change func(f files)
		want   error
	}{
		"nothing":                                 {func(files) {}, nil},
		"an entry removed":                        {func(f files) { f[middle] = without(m, 3) }, audit.ErrCorrupt},
		"the first of a segment":                  {func(f files) { f[middle] = without(m, 1) }, audit.ErrCorrupt},
		"the last of a segment":                   {func(f files) { f[middle] = without(m, len(m)-1) }, audit.ErrCorrupt},
		"one of the last segment":                 {func(f files) { f[last] = without(l, 2) }, audit.ErrCorrupt},
		"the last entry":                          {func(f files) { f[last] = without(l, end) }, errBehind},
		"the last change":                         {func(f files) { f[last] = slices.Concat(l[:end-1]...) }, audit.ErrLogRolledBack},
		"the last segment":                        {func(f files) { delete(f, last) }, audit.ErrLogRolledBack},
		"the last segment emptied":                {func(f files) { f[last] = nil }, audit.ErrLogRolledBack},
		"a segment removed":                       {func(f files) { delete(f, middle) }, audit.ErrCorrupt},
		"the first segment":                       {func(f files) { delete(f, first) }, audit.ErrCorrupt},
		"all segments":                            {func(f files) { delete(f, first); delete(f, middle); delete(f, last) }, audit.ErrLogRolledBack},
		"two entries swapped":                     {func(f files) { f[middle] = swapped(m, 2, 3) }, audit.ErrCorrupt},
		"two of the last":                         {func(f files) { f[last] = swapped(l, 2, 3) }, audit.ErrCorrupt},
		"the last two swapped":                    {func(f files) { f[last] = swapped(l, end-1, end) }, audit.ErrCorrupt},
		"segments swapped":                        {func(f files) { f[middle], f[last] = f[last], f[middle] }, audit.ErrCorrupt},
		"a segment twice":                         {func(f files) { f[segmentAfter(v)] = f[last] }, audit.ErrCorrupt},
		"an entry twice":                          {func(f files) { f[last] = slices.Concat(log[last], l[end]) }, audit.ErrCorrupt},
		"an old entry at the end":                 {func(f files) { f[last] = slices.Concat(log[last], m[2]) }, audit.ErrCorrupt},
		"an entry in another's place":             {func(f files) { f[middle] = with(m, 3, rewritten(l[3], 14, m[3][14:22]...)) }, audit.ErrCorrupt},
		"a byte of an entry rewritten":            {func(f files) { f[middle] = with(m, 3, rewritten(m[3], 90, m[3][90]^1)) }, audit.ErrCorrupt},
		"a time rewritten":                        {func(f files) { f[middle] = with(m, 3, rewritten(m[3], 22, 0x11)) }, audit.ErrCorrupt},
		"a byte of the last segment's first":      {func(f files) { f[last] = with(l, 1, rewritten(l[1], 90, l[1][90]^1)) }, audit.ErrLogRolledBack},
		"a byte of the last entry":                {func(f files) { f[last] = with(l, end, rewritten(l[end], 90, l[end][90]^1)) }, errBehind},
		"a commit number rewritten":               {func(f files) { f[last] = with(l, end-1, rewritten(l[end-1], 37, l[end-1][37]+1)) }, audit.ErrLogRolledBack},
		"the last outcome made a failure":         {func(f files) { f[last] = with(l, end, rewritten(l[end], 9, 4)) }, errBehind},
		"another vault's segment":                 {func(f files) { f[first] = foreign[first] }, audit.ErrCorrupt},
		"another vault's segments":                {func(f files) { clearSegments(f); maps.Copy(f, foreign) }, audit.ErrLogRolledBack},
		"another vault's entry":                   {func(f files) { f[first] = with(frames(log[first]), 2, frames(foreign[first])[2]) }, audit.ErrCorrupt},
		"another vault's description":             {func(f files) { f["log.json"] = foreign["log.json"] }, audit.ErrCorrupt},
		"the checkpoint removed":                  {func(f files) { delete(f, "checkpoint") }, nil},
		"noise for a checkpoint":                  {func(f files) { f["checkpoint"] = []byte("noise\n") }, nil},
		"another vault's segments but one's name": {func(f files) { f[middle] = foreign[middle] }, audit.ErrCorrupt},
	} {
		c, changed := v.copied(t), maps.Clone(log)
		tc.change(changed)
		if err := os.RemoveAll(c.path(auditFolder)); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(c.path(auditFolder), 0o700); err != nil {
			t.Fatal(err)
		}
		for name, content := range changed {
			writeFile(t, filepath.Join(c.path(auditFolder), name), content)
		}
		c.wants(t, what, tc.want)
	}
}

// TestLastCheckpointHasAll: nothing may be taken off the end of a log that was closed in good order, neither the outcome
// of its last change, for which nobody waited, nor the number of the refusals that were only counted.
func TestLastCheckpointHasAll(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	for _, refused := range []int{0, 3, 0} {
		for left := 20; ; left-- {
			took := v.refuseAndEdit(t, refused)
			got := must(Verify(v.data, "", nil))(t)
			if got.Promised != nil && *got.Promised == got.Entries {
				break
			}
			// Closing waits no longer for a disk that is slow; then it is tried again.
			if took < 2*time.Second || left == 0 {
				t.Fatalf("after %d refusals the checkpoint is not of all %d entries: %+v", refused, got.Entries, got)
			}
		}
	}
}

// refuseAndEdit leaves an end of the log that nobody waited for, and says how long closing took.
func (v *small) refuseAndEdit(t *testing.T, refused int) (took time.Duration) {
	t.Helper()
	s := must(v.start(t))(t)
	credentials := must(v.vault(s))(t)
	for range refused {
		if _, err := credentials.Open(t.Context(), grant.Caller{Person: &tamperer}, "nowhere"); !errors.Is(err, vault.ErrNotFound) {
			t.Error(err)
		}
	}
	text := "another description"
	if _, _, err := credentials.Edit(t.Context(), tamperer, "erp", vault.Change{Description: &text}); err != nil {
		t.Error(err)
	}
	began := time.Now()
	stop(t, s)
	return time.Since(began)
}

func clearSegments(files map[string][]byte) {
	maps.DeleteFunc(files, func(name string, _ []byte) bool { return strings.HasSuffix(name, ".seg") })
}

// segmentAfter is the name of the next segment.
func segmentAfter(v *small) string { return fmt.Sprintf("%020d.seg", v.entries+1) }

func segmentNames(log map[string][]byte) (names []string) {
	for name := range log {
		if strings.HasSuffix(name, ".seg") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func readLog(t *testing.T, v *small) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, path := range must(filepath.Glob(v.path(auditFolder + "/*")))(t) {
		files[filepath.Base(path)] = must(os.ReadFile(path))(t)
	}
	return files
}

// TestTruncatedFilesOfAVault cuts each file at many lengths. What is behind the store's last page in use may go.
func TestTruncatedFilesOfAVault(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	used := usedPages(t, v.path(storeFile))
	t.Run("files", func(t *testing.T) {
		for _, file := range v.names(t) {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, v)
				content := b.files[file]
				step := 31
				if file == storeFile {
					step = 509
				}
				if kit.Race {
					step *= 7
				}
				for n := 0; n < len(content); n += step {
					b.truncated(t, file, n, used)
				}
				b.truncated(t, file, len(content)-1, used)
				for _, n := range []int{0, len(content) / 2} {
					c := v.copied(t)
					writeFile(t, c.path(file), content[:n])
					c.wants(t, fmt.Sprintf("%s cut to %d bytes", file, n), nil)
				}
			})
		}
	})
}

func (b *bench) truncated(t *testing.T, file string, n, used int) {
	t.Helper()
	if err := os.Truncate(b.path(file), int64(n)); err != nil {
		t.Fatal(err)
	}
	got, err := b.look(t, file == storeFile)
	harmless := file == storeFile && n >= used || filepath.Base(file) == "checkpoint" ||
		strings.HasSuffix(file, ".json") && n == len(b.files[file])-1 // its last line end
	switch {
	case err != nil && !isNamed(err):
		t.Errorf("cut to %d bytes: an error without a name: %v", n, err)
	case err == nil && !b.same(got, file == storeFile):
		t.Errorf("cut to %d bytes: other answers", n)
	case err == nil && !harmless:
		t.Errorf("cut to %d bytes: nothing was noticed", n)
	}
	if file == storeFile {
		writeFile(t, b.path(file), b.files[file])
	} else {
		b.putBack(t)
	}
}
