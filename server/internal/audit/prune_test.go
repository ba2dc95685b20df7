package audit

import (
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/checkpoint/merkletest"
)

// agedServer has some hundred entries, the clock a second later at each, with a change near the beginning and one near
// the end, and checkpoints that hosts saw on the way.
type agedServer struct {
	*testServer
	promises *Checkpoints
	leaves   [][]byte
	seen     []checkpoint.Checkpoint
}

func newAgedServer(t *testing.T) *agedServer {
	t.Helper()
	s := &agedServer{testServer: newServer(t)}
	s.put("first")
	for range 30 {
		s.add(7)
		s.see(s.Log)
	}
	s.put("last")
	s.add(40)
	s.promises = s.promise(s.Log, 1, time.Hour)
	s.leaves = naiveLeaves(t, s.dir)
	return s
}

func (s *agedServer) see(l *Log) {
	s.t.Helper()
	text, err := l.Checkpoint(s.keys, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := checkpoint.Parse(l.LogKey(), text)
	if err != nil {
		s.t.Fatal(err)
	}
	s.seen = append(s.seen, c)
}

func (s *agedServer) prune(c *Checkpoints, b *barrier.Barrier, age time.Duration) Pruned {
	s.t.Helper()
	p, err := c.Prune(s.t.Context(), b, age)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func pruned(files map[string][]byte) (names []string) {
	for name := range files {
		if strings.HasSuffix(name, ".hashes") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// promisesHold: every checkpoint that somebody saw is extended, those of before the cut as well, online and offline.
func (s *agedServer) promisesHold(l *Log, leaves [][]byte) {
	s.t.Helper()
	report, err := Check(l.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	if want := merkletest.Root(leaves); report.Size != uint64(len(leaves)) || report.Root != want {
		s.t.Fatalf("offline there are %d entries, want %d, or another root", report.Size, len(leaves))
	}
	for _, c := range s.seen {
		proof, err := l.Consistency(s.t.Context(), c.Size, uint64(len(leaves)))
		if err != nil || !slices.Equal(proof, merkletest.Proof(int(c.Size), leaves)) {
			s.t.Errorf("from %d entries: %v, or another proof", c.Size, err)
		}
		if err := report.Extends(c); err != nil {
			s.t.Errorf("from %d entries, offline: %v", c.Size, err)
		}
		c.Root[0]++
		if err := report.Extends(c); !errors.Is(err, checkpoint.ErrNotExtended) {
			s.t.Errorf("another log with %d entries is extended: %v", c.Size, err)
		}
	}
	if size, root, err := l.Verify(s.t.Context()); err != nil || size != report.Size || root != report.Root {
		s.t.Errorf("Verify: %d entries, %v", size, err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	s := newAgedServer(t)
	before := files(t, s.dir)
	p := s.prune(s.promises, s.vault, 120*time.Second)
	after := files(t, s.dir)
	if p.Size < 50 || p.Size > 220 || p.Root != merkletest.Root(s.leaves[:p.Size]) {
		t.Fatalf("%d entries of %d are pruned", p.Size, len(s.leaves))
	}
	s.leaves = append(slices.Clone(s.leaves[:p.Size]), naiveLeaves(t, s.dir)...) // with the entry of the pruning
	s.promisesHold(s.Log, s.leaves)
	if gone := pruned(after); len(gone) != len(segments(before))-len(segments(after))+1 && len(gone) != len(segments(before))-len(segments(after)) || len(gone) < 3 {
		t.Errorf("hashes %v beside segments %v", gone, segments(after))
	}
	if small, large := len(after[hashesName(1)]), len(before[segmentName(1)]); small*3 > large {
		t.Errorf("%d bytes took the place of %d", small, large)
	}
	if _, err := s.promises.Prove(t.Context(), p.Size); !errors.Is(err, ErrPruned) {
		t.Errorf("a proof of a pruned entry: %v", err)
	}
	proof, err := s.promises.Prove(t.Context(), p.Size+1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Verify(s.LogKey()); err != nil {
		t.Error(err)
	}
	page, err := s.Read(t.Context(), s.keys, Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	newest, last := page.Items[0], page.Items[len(page.Items)-1]
	if newest.Action != "log.prune" || newest.Actor != "system" || newest.Target != "entries 1 to "+itoa(p.Size) ||
		newest.Reason != "older than 2m0s, which is the setting audit-retention" || last.Seq <= p.Size || page.Next != "" {
		t.Errorf("the log ends with %+v and begins with entry %d", newest, last.Seq)
	}
	// Again there is nothing to prune, and nothing is logged.
	if again := s.prune(s.promises, s.vault, 10*time.Minute); again != p || s.Size() != uint64(len(s.leaves)) {
		t.Errorf("pruned again: %d entries, the log has %d", again.Size, s.Size())
	}
	s.reopened(image{files(t, s.dir), s.image().store}, p)
}

// reopened starts a server from an image and demands that all still holds there.
func (s *agedServer) reopened(i image, p Pruned) {
	s.t.Helper()
	l, b, err := s.reconcile(i)
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.promise(l, 1, time.Hour)
	if got := s.prune(c, b, 0); got.Size != p.Size {
		s.t.Errorf("%d entries are pruned, want %d", got.Size, p.Size)
	}
	now := files(s.t, l.dir)
	for _, name := range segments(now) {
		if name <= segmentName(p.Size) && p.Size > 0 {
			s.t.Errorf("%s is still there", name)
		}
	}
	leaves := append(slices.Clone(s.leaves[:p.Size]), naiveLeaves(s.t, l.dir)...)
	s.promisesHold(l, leaves)
	if err := put(s.t.Context(), l, b, "more"); err != nil {
		s.t.Error(err)
	}
	if report, err := Check(l.dir); err != nil || report.Pruned.Size != p.Size {
		s.t.Errorf("offline %d entries are pruned, %v", report.Pruned.Size, err)
	}
}

func itoa(n uint64) string { return strings.TrimLeft(segmentName(n)[:20], "0") }

// A crash between any two steps leaves one of these behind, and the next run does the rest.
func TestPruneCrashes(t *testing.T) {
	t.Parallel()
	s := newAgedServer(t)
	before := s.image()
	p := s.prune(s.promises, s.vault, 120*time.Second)
	after := s.image()
	gone := pruned(after.log)
	logged := maps.Clone(after.log)
	for name, data := range before.log {
		if logged[name] == nil {
			logged[name] = data
		}
	}
	for _, name := range gone {
		delete(logged, name)
	}
	unsigned := maps.Clone(logged)
	delete(unsigned, prunedFile)
	s.reopened(image{unsigned, before.store}, Pruned{})
	s.reopened(image{logged, before.store}, p) // signed, and nothing is gone
	for n, name := range gone {
		seg := strings.TrimSuffix(name, ".hashes") + ".seg"
		logged = changed(logged, name, after.log[name])
		s.reopened(image{logged, before.store}, p) // both are there
		logged = maps.Clone(logged)
		delete(logged, seg)
		s.reopened(image{logged, before.store}, p)
		if n > 3 {
			break
		}
	}
}

// What the vault or the last change needs stays, however old it is, and so does everything where nothing is old.
func TestPruneKeeps(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.put("only") // entries 1 and 2
	s.add(60)
	c := s.promise(s.Log, 1, time.Hour)
	if p, err := c.Prune(t.Context(), s.vault, time.Second); err != nil || p.Size != 0 || s.Size() != 62 {
		t.Errorf("%d entries are pruned, of %d, %v", p.Size, s.Size(), err)
	}
	aged := newAgedServer(t)
	for _, age := range []time.Duration{0, time.Hour} {
		if p := aged.prune(aged.promises, aged.vault, age); p.Size != 0 {
			t.Errorf("with a retention of %s: %d entries are pruned", age, p.Size)
		}
	}
	if p := aged.prune(aged.promises, aged.vault, time.Second); p.Size < 150 || p.Size >= 213 {
		t.Errorf("%d entries are pruned; the last change is entry 213", p.Size)
	}
}

// In a quiet log the next entry begins a segment, so that the old ones can go.
func TestPruneRolls(t *testing.T) {
	t.Parallel()
	s := &agedServer{testServer: newServer(t)}
	s.limit, s.room = segmentLimit, segmentLimit
	s.put("first") // entries 1 and 2
	s.add(30)
	c := s.promise(s.Log, 1, time.Hour)
	if p := s.prune(c, s.vault, 20*time.Second); p.Size != 0 {
		t.Fatalf("%d entries are pruned of the only segment", p.Size)
	}
	s.add(30)
	s.put("last") // entries 63 and 64
	s.add(1)
	if p := s.prune(c, s.vault, 20*time.Second); p.Size != 32 {
		t.Errorf("%d entries are pruned, want 32", p.Size)
	}
}

// Nobody but the log's key prunes.
func TestForgedPruning(t *testing.T) {
	t.Parallel()
	s := newAgedServer(t)
	whole := files(t, s.dir)
	view, err := s.snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first, err := view.leaves(0)
	if err != nil {
		t.Fatal(err)
	}
	hand := func(files map[string][]byte, i int, leaves []tlog.Hash) map[string][]byte {
		seg := view.segments[i]
		files = changed(files, hashesName(seg.first), s.desc.encodeHashes(seg.first, leaves))
		delete(files, segmentName(seg.first))
		return files
	}
	p := s.prune(s.promises, s.vault, 120*time.Second)
	honest := files(t, s.dir)
	next := len(pruned(honest))
	following, err := view.leaves(next)
	if err != nil {
		t.Fatal(err)
	}
	other := newLog(t, 2000)
	alter := func(at int) []byte {
		data := flipped(honest[hashesName(1)], at)
		binary.BigEndian.PutUint32(data[49:], hashesChecksum(data))
		return data
	}
	without := func(name string) map[string][]byte {
		files := maps.Clone(honest)
		delete(files, name)
		return files
	}
	signed := func(l *testLog, p Pruned) []byte {
		verifier, err := note.NewVerifier(l.LogKey())
		if err != nil {
			t.Fatal(err)
		}
		text, err := note.Sign(&note.Note{Text: p.text(verifier.Name())}, signer{verifier, l.keys.Signing})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	shorter, elsewhere, unlike := p, p, p
	shorter.Size, shorter.Root = view.segments[1].first-1, [32]byte(merkletest.Root(s.leaves[:view.segments[1].first-1]))
	elsewhere.Size++
	unlike.Root[3]++
	for name, forged := range map[string]map[string][]byte{
		"nothing signed":               hand(whole, 0, first),
		"one segment more than signed": hand(honest, next, following),
		"a later segment":              hand(whole, 1, nil),
		"the note is gone":             without(prunedFile),
		"the hashes are gone":          without(hashesName(1)),
		"another log's note":           changed(honest, prunedFile, signed(other, p)),
		"a note of fewer":              changed(honest, prunedFile, signed(s.testLog, shorter)),
		"a note of an entry inside":    changed(honest, prunedFile, signed(s.testLog, elsewhere)),
		"a note of other entries":      changed(honest, prunedFile, signed(s.testLog, unlike)),
		"a checkpoint as the note":     changed(honest, prunedFile, honest[checkpointFile]),
		"an altered note":              changed(honest, prunedFile, flipped(honest[prunedFile], 130)),
		"an altered hash":              changed(honest, hashesName(1), alter(hashesHeader+40)),
		"of another vault":             changed(honest, hashesName(1), alter(9)),
		"an altered checksum":          changed(honest, hashesName(1), flipped(honest[hashesName(1)], 50)),
		"hashes cut short":             changed(honest, hashesName(1), honest[hashesName(1)][:hashesHeader+32]),
	} {
		dir := folder(t, forged)
		if _, err := Check(dir); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: offline: %v", name, err)
		}
		if l, err := open(dir, s.arena, 2000, ticking()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
			_ = l.Close()
		}
	}
	for name, control := range map[string]map[string][]byte{"whole": whole, "honest": honest} {
		if _, err := Check(folder(t, control)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// While the server runs, too.
	if err := os.Remove(filepath.Join(s.dir, segmentName(p.Size+1))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Verify(t.Context()); badSeq(err) != p.Size+1 {
		t.Errorf("a segment that was taken away: %v", err)
	}
}

func FuzzPruned(f *testing.F) {
	d, _ := fuzzLog(f)
	f.Add(d.encodeHashes(1, make([]tlog.Hash, 3)), uint64(1))
	f.Add([]byte(prunedTitle+"\nx\n1\n\n\n\n— a b\n"), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, first uint64) {
		if leaves, err := d.decodeHashes(b, first); err == nil && string(d.encodeHashes(first, leaves)) != string(b) {
			t.Fatal("the hashes do not encode to what they were decoded from")
		}
		if p, err := d.decodePruned(b); err == nil {
			t.Fatalf("a note that nobody signed is taken: %+v", p)
		}
	})
}
