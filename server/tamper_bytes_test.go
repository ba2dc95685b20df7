package server

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/barrier"
	"github.com/strongroom/strongroom/server/internal/seal"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/secret"
	"github.com/strongroom/strongroom/test/kit"
)

const (
	flipShards = 4
	// wholeEvery is how often a changed file is given to a whole server too, in flips: a start costs as much as a
	// hundred looks at its lower floors, which is where all that tampering can reach is read.
	wholeEvery = 12 * racedEvery
	// racedEvery is every how many bytes are flipped where the race detector watches each access to memory.
	racedEvery = 41
)

// bench is one shard's copy of a vault. Its lower floors are opened as the server opens them, again and again.
type bench struct {
	*small
	arena *secret.Arena
	key   *secret.Buffer
	files map[string][]byte // as they were

	singles int // how many bytes were flipped one by one
}

func newBench(t *testing.T, v *small) *bench {
	t.Helper()
	b := &bench{small: v.copied(t), arena: newTestArena(t, LeastLockedMemory), files: map[string][]byte{}}
	b.key = must(seal.ReadKeyFile(b.arena, v.keyFile))(t)
	for _, file := range v.names(t) {
		b.files[file] = must(os.ReadFile(v.path(file)))(t)
	}
	return b
}

// look opens seal, store, barrier and log in the server's order, compares them and reads everything. Where only the
// store was changed the log is not opened for writing, which would cost three fsyncs a time.
func (b *bench) look(t *testing.T, onlyStore bool) (a answers, err error) {
	header, err := seal.Load(b.path(sealFile))
	if err != nil {
		return a, err
	}
	root, err := header.UnsealKeyFile(b.arena, b.key)
	if err != nil {
		return a, err
	}
	defer root.Wipe()
	db, err := store.Open(b.path(storeFile))
	if err != nil {
		return a, err
	}
	defer db.Close()
	if onlyStore {
		room, err := barrier.Open(db, b.arena, root, header.Vault())
		if err != nil {
			return a, err
		}
		defer room.Close()
		size, treeRoot := room.LogState()
		if err := audit.CheckVault(b.path(auditFolder), size, treeRoot, room.Commit()); err != nil {
			return a, err
		}
		a.Records, err = readRecords(room, b.keys)
		return a, err
	}
	log, err := audit.Open(b.path(auditFolder), b.arena)
	if err != nil {
		return a, err
	}
	defer log.Close()
	room, err := barrier.Open(db, b.arena, root, header.Vault())
	if err != nil {
		return a, err
	}
	defer room.Close()
	if err := log.Reconcile(t.Context(), room); err != nil {
		return a, err
	}
	return b.lookAtLog(t, log, room)
}

func (b *bench) lookAtLog(t *testing.T, log *audit.Log, room *barrier.Barrier) (a answers, err error) {
	keys, err := getAuditKeys(room)
	defer keys.Wipe()
	if err != nil {
		return a, err
	}
	promises, err := log.Checkpoints(t.Context(), keys, room.Epoch())
	if err != nil {
		return a, err
	}
	defer promises.Close()
	if what := promises.Behind(); what != "" {
		return a, fmt.Errorf("%w: %s", errBehind, what)
	}
	page, err := log.Read(t.Context(), keys, audit.Query{Limit: 1000})
	for _, e := range page.Items {
		if e.Seq <= b.entries {
			a.Log = append(a.Log, e)
		}
	}
	if err == nil {
		a.Records, err = readRecords(room, b.keys)
	}
	return a, err
}

// same tells whether a look saw what there was; of a log that was not looked at it says nothing.
func (b *bench) same(got answers, onlyStore bool) bool {
	return maps.Equal(got.Records, b.answers.Records) && (onlyStore || cmp.Equal(got.Log, b.answers.Log))
}

// flips counts what came of the flips of one file.
type flips struct{ noticed, unchanged, idle, whole atomic.Int64 }

// TestEveryByteOfAVault flips each byte of each file of a vault in turn.
func TestEveryByteOfAVault(t *testing.T) {
	t.Parallel()
	v := newSmall(t)
	files := map[string]int{} // all of them, and how many bytes have to be noticed at least
	for key, value := range readStore(t, v.path(storeFile)) {
		files[storeFile] += len(key) + len(value) // in one place each, as far as it is in use
	}
	for _, path := range must(filepath.Glob(v.path(auditFolder + "/*.seg")))(t) {
		info := must(os.Stat(path))(t)
		files[filepath.Join(auditFolder, info.Name())] = int(info.Size()) // all of it
	}
	files[filepath.Join(auditFolder, "log.json")] = 250
	files[filepath.Join(auditFolder, "checkpoint")] = 0 // what the server kept for itself; a log that is whole needs none
	files[sealFile] = 200
	counts := map[string]*flips{}
	for file := range files {
		counts[file] = &flips{}
	}
	t.Run("shards", func(t *testing.T) {
		for shard := range flipShards {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				b := newBench(t, v)
				for file := range files {
					b.flipAll(t, file, shard, counts[file])
				}
			})
		}
	})
	for file, least := range files {
		c := counts[file]
		t.Logf("%s: %d bytes noticed, %d made no difference, %d are not in use; %d were shown to a whole server too",
			file, c.noticed.Load(), c.unchanged.Load(), c.idle.Load(), c.whole.Load())
		if kit.Race {
			t.Logf("%s: one in %d of them only, beside the race detector", file, racedEvery)
			least /= 2 * racedEvery
		}
		if int(c.noticed.Load()) < least {
			t.Errorf("%s: only %d flips were noticed, at least %d matter", file, c.noticed.Load(), least)
		}
	}
}

// stretch is some bytes of a file.
type stretch struct{ at, n int }

func (s stretch) split(n int) (parts []stretch) {
	for at := s.at; at < s.at+s.n; at += n {
		parts = append(parts, stretch{at, min(n, s.at+s.n-at)})
	}
	return parts
}

// flipAll flips a shard's part of the bytes of a file.
func (b *bench) flipAll(t *testing.T, file string, shard int, count *flips) {
	all, unit := stretch{0, len(b.files[file])}, 64
	if file == storeFile {
		unit = 512
	}
	for i, s := range all.split(unit) {
		if i%flipShards == shard {
			b.narrow(t, file, s, count)
		}
	}
}

// narrow flips the bytes of a stretch one by one. Where the store's file is not in use, and all of a stretch may be
// inverted at once without a difference, that is enough.
func (b *bench) narrow(t *testing.T, file string, s stretch, count *flips) {
	parts := s.split(1)
	if file == storeFile && s.n > 64 {
		parts = s.split(64)
	}
	if file == storeFile && b.flip(t, file, s, 0xff) == nil {
		count.idle.Add(int64(s.n))
		return
	}
	for i, part := range parts {
		if part.n > 1 {
			b.narrow(t, file, part, count)
			continue
		}
		if b.singles++; kit.Race && b.singles%racedEvery != 0 {
			continue
		}
		mask := []byte{0x01, 0xff}[i%2]
		found := b.flip(t, file, part, mask)
		if found != nil {
			count.noticed.Add(1)
		} else {
			count.unchanged.Add(1)
		}
		if b.singles%wholeEvery == 0 {
			count.whole.Add(1)
			b.flipWhole(t, file, part, mask, found)
		}
	}
}

// flipped is what a stretch becomes, and what that is called.
func (b *bench) flipped(file string, s stretch, mask byte) (changed []byte, what string) {
	changed = bytes.Clone(b.files[file][s.at : s.at+s.n])
	for i := range changed {
		changed[i] ^= mask
	}
	return changed, fmt.Sprintf("%s, %d bytes from %d ^ %#x", file, s.n, s.at, mask)
}

// flip changes bytes, looks, and puts back whatever looking changed. It returns the error that the look came to.
func (b *bench) flip(t *testing.T, file string, s stretch, mask byte) error {
	changed, what := b.flipped(file, s, mask)
	onlyStore := file == storeFile
	patch(t, b.path(file), s.at, changed)
	got, err := b.look(t, onlyStore)
	if err != nil && !isNamed(err) {
		t.Errorf("%s: an error without a name: %v", what, err)
	}
	if err == nil && !b.same(got, onlyStore) {
		t.Errorf("%s: other answers: %s", what, cmp.Diff(b.answers, got))
	}
	if onlyStore {
		patch(t, b.path(file), s.at, b.files[file][s.at:s.at+s.n])
	} else {
		b.putBack(t)
	}
	return err
}

// putBack undoes what was done to the vault's files; the store's is left alone.
func (b *bench) putBack(t *testing.T) {
	for _, path := range must(filepath.Glob(b.path(auditFolder + "/*")))(t) {
		if b.files[filepath.Join(auditFolder, filepath.Base(path))] == nil {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for file, content := range b.files {
		if file != storeFile {
			writeFile(t, b.path(file), content)
		}
	}
}

// flipWhole gives the same change to a whole server, which has to find the same.
func (b *bench) flipWhole(t *testing.T, file string, s stretch, mask byte, found error) {
	changed, what := b.flipped(file, s, mask)
	c := b.copied(t)
	patch(t, c.path(file), s.at, changed)
	got, err := c.open(t)
	if (err == nil) != (found == nil) || err != nil && !isNamed(err) {
		t.Errorf("%s: the whole server says %v, its lower floors %v", what, err, found)
	}
	if diff := cmp.Diff(b.answers, got); err == nil && diff != "" {
		t.Errorf("%s: the whole server has other answers: %s", what, diff)
	}
}
