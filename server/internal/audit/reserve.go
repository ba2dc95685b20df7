package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/strongroom/strongroom/shared/durable"
)

// essential are the actions that take something away or stop it, as well as what has to be logged before one of them can
// be done at all. They are done with the reserve where the disk has no room left; everything else is ordinary and is
// refused then. Only what is allowed counts: whoever is refused must not use up the reserve.
var essential = map[string]bool{
	"grant.revoke":      true,
	"host.revoke":       true,
	"vault.seal":        true,
	"token.revoke":      true,
	"credential.delete": true,
	"user.disable":      true,

	"grant.prune":      true, // the rest of credential.delete
	"request.drop":     true, // likewise
	"credential.purge": true, // likewise
	"vault.unseal":     true, // without it a server that is started on a full disk could not revoke
	"log.recover":      true, // likewise
	"log.prune":        true, // it makes room
}

func (e *Entry) essential() bool { return e.Outcome == Allowed && essential[e.Action] }

const (
	// reserveSize is room for some 30,000 entries, or for some hundred changes of the store.
	reserveSize = 8 << 20
	// restoreEvery is how often a reserve that is not whole is tried to be made so.
	restoreEvery = time.Second
)

// noRoom tells whether a write failed because there was no room for it. A limit on the size of files is one too.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// reserve is a file that only takes up room, so that essential actions find some on a full disk: it is given up for the
// first that finds none. It is whole, or absent, or empty: the mark, also after a crash, that it was given up. Until it
// is whole again ordinary entries are refused before anything is written, or they would fill what was freed. That it
// never could be made refuses nothing.
//
// A nil reserve is none: nothing is refused and nothing given up.
type reserve struct {
	path string
	now  func() time.Time

	givenUp atomic.Bool // changed under mu

	mu      sync.Mutex
	problem error // why it is not whole
	using   int   // essential steps that are under way with what was freed
	tried   time.Time
	timer   *time.Timer
	closed  bool
}

// openReserve looks for the file at path and makes it where that is possible.
func openReserve(path string, now func() time.Time) *reserve {
	r := &reserve{path: path, now: now}
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Lstat(path)
	if err == nil && info.Size() == reserveSize {
		// A copy of the file may be the same size and take up nothing.
		if err = r.allocate(path, os.O_WRONLY); err == nil {
			return r
		}
		_ = os.Remove(path) // the part of it that takes up room is in the way of a whole one
	}
	r.givenUp.Store(err == nil && info.Size() == 0)
	r.restore()
	return r
}

// admit refuses an ordinary entry while the reserve is given up.
func (r *reserve) admit() error {
	if r == nil || !r.givenUp.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.givenUp.Load() && r.now().Sub(r.tried) >= restoreEvery {
		r.restore()
	}
	if r.givenUp.Load() {
		return fmt.Errorf("%w (what is left is kept for revoking and sealing)", ErrNoSpace)
	}
	return nil
}

// retry runs a step that writes for e. If that is essential and there was no room, it gives up the reserve and runs the
// step once more.
func (r *reserve) retry(e *Entry, step func() error) error {
	err := step()
	if r == nil || !e.essential() || !errors.Is(err, ErrNoSpace) {
		return err
	}
	if giveUp := r.use(); giveUp != nil {
		return errors.Join(err, giveUp)
	}
	defer r.used()
	return step()
}

// use gives the reserve up unless that has happened, and keeps it from being restored until used. Also then there may be
// more room than before: another step gave it up meanwhile, or an attempt to restore it had taken the room.
func (r *reserve) use() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.problem == nil {
		if err := r.empty(); err != nil {
			return err
		}
	}
	r.using++
	return nil
}

func (r *reserve) used() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.using--
}

func (r *reserve) empty() error {
	file, err := os.OpenFile(r.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// The freed room can be had once that is synced, on a file system with a journal.
	if err := errors.Join(file.Truncate(0), file.Sync(), file.Close()); err != nil {
		return err
	}
	r.givenUp.Store(true)
	r.problem = ErrNoSpace
	r.tried = r.now()
	r.arm()
	return nil
}

// restore makes the reserve whole if there is room for it, beside its place, since it must never be there in part.
func (r *reserve) restore() {
	if r.using > 0 {
		return
	}
	r.tried = r.now()
	r.problem = r.make()
	if r.problem == nil {
		r.givenUp.Store(false)
		return
	}
	r.arm()
}

func (r *reserve) make() error {
	made := r.path + ".new"
	// A crash may have left it, and then it takes up the very room that is looked for.
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(r.path)
	// Trying takes the last room away from those who write just then: there is no need to where it cannot succeed.
	if free, err := freeRoom(dir); err == nil && free < reserveSize {
		return fmt.Errorf("%s: %w: %d bytes are free, %d are needed", r.path, syscall.ENOSPC, free, reserveSize)
	}
	if err := r.allocate(made, os.O_WRONLY|os.O_CREATE|os.O_EXCL); err != nil {
		return errors.Join(err, os.Remove(made))
	}
	if err := os.Rename(made, r.path); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

func (r *reserve) allocate(path string, flags int) error {
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(allocate(file, reserveSize), file.Sync(), file.Close())
}

// fill takes up room by writing.
func fill(file *os.File, size int64) error {
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// arm sees to it that the next attempt comes by itself.
func (r *reserve) arm() {
	if r.timer == nil && !r.closed {
		r.timer = time.AfterFunc(restoreEvery, r.tick)
	}
}

func (r *reserve) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = nil
	if r.closed || r.problem == nil {
		return
	}
	r.restore()
	if r.problem != nil {
		r.arm() // also where it was in use
	}
}

// state is nil while the reserve is whole, and says otherwise why it is not.
func (r *reserve) state() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.givenUp.Load() {
		return ErrNoSpace
	}
	return r.problem
}

func (r *reserve) close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}
