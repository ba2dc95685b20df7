package uplink

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/wire"
)

// ErrLog means that the server's audit log is not the one that this host has seen, or has less in it. Such a server is
// not asked for anything, and what the host holds is served to its end.
var ErrLog = errors.New("this host does not trust the server's audit log")

// mistrust is why. It counts as not reachable: nothing is known to be refused.
type mistrust struct{ why string }

func (m mistrust) Error() string   { return ErrLog.Error() + ": " + m.why }
func (m mistrust) Unwrap() []error { return []error{ErrLog, ErrNotReachable} }

// checkpointFile has the last checkpoint of the server's audit log that this host verified.
const checkpointFile = "checkpoint"

// checkpointInterval is how old the file may be while checkpoints come. Each welcome writes it too.
const checkpointInterval = 5 * time.Minute

// witness remembers what this host has seen of the server's log, so that a server that was put back to an older copy,
// or has another past, is found out.
type witness struct {
	path string
	log  *slog.Logger
	now  func() time.Time

	mu      sync.Mutex
	by      *connection // that was shown what was seen, so that its proofs begin there
	text    []byte      // signed; nil: nothing was seen yet
	last    checkpoint.Checkpoint
	written time.Time // when the file was
}

// newWitness goes on from the file, if that is a checkpoint of the log of the key. A damaged one, or one that is left
// from another server, is replaced at the next welcome.
func newWitness(id *Identity, log *slog.Logger) *witness {
	w := &witness{path: filepath.Join(id.state, checkpointFile), log: log, now: time.Now}
	text, err := readSmall(w.path, checkpoint.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return w
	}
	if err == nil {
		var last checkpoint.Checkpoint
		if last, err = checkpoint.Parse(id.stored.LogKey, text); err == nil {
			w.text, w.last = text, last
		}
	}
	if err != nil {
		log.Warn("what this host has seen of the server's audit log is not known: the file is of no use", "path", w.path, "error", err)
	}
	return w
}

// show is what to tell the server on a connection. From here on other connections are not listened to.
func (w *witness) show(by *connection) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by = by
	return w.text
}

// accept verifies a checkpoint and remembers it; now says that it is to be written at once. It fails with ErrLog. What
// comes on a connection that another one takes the place of is left to that.
func (w *witness) accept(by *connection, logKey string, c *wire.Checkpoint, now bool) error {
	if c == nil {
		return mistrust{"it sent no checkpoint of it; update the server, or tell an admin"}
	}
	next, err := checkpoint.Parse(logKey, c.GetText())
	if err != nil {
		return mistrust{err.Error() + ": tell an admin that it is another log than the one that this host knows, or tampered with"}
	}
	proof, err := checkpoint.Hashes(c.GetConsistency())
	if err != nil {
		return mistrust{err.Error()}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by != by {
		return nil
	}
	if w.text != nil {
		if err := next.Extends(w.last, proof); err != nil {
			return mistrust{fmt.Sprintf("it is older than, or differs from, what this host saw at entry %d (%v). It may have been put back "+
				"without strongroom-server restore, or tampered with: tell an admin", w.last.Size, err)}
		}
		if next.Epoch > w.last.Epoch {
			w.log.Warn("the server was restored on purpose: what this host saw of its audit log before does not bind it any more",
				"epoch", next.Epoch, "entries", next.Size, "seen_epoch", w.last.Epoch, "seen_entries", w.last.Size)
		}
	}
	w.text, w.last = c.GetText(), next
	if now || w.now().Sub(w.written) >= checkpointInterval {
		w.write()
	}
	return nil
}

// write makes the file durable; the lock is held. Where it cannot be written, the host remembers until it ends.
func (w *witness) write() {
	if err := durable.Replace(w.path, w.text); err != nil {
		w.log.Warn("what this host has seen of the server's audit log is not stored", "error", err)
		return
	}
	w.written = w.now()
}

// witnessed holds a welcome against what this host has seen. A host that joined before servers told their log's key
// takes the one that it is told first.
func (u *Uplink) witnessed(c *connection, w *wire.Welcome) error {
	key, told := c.id.stored.LogKey, w.GetLogKey()
	switch {
	case key == "" && told == "":
		return nil // a server of before, and nothing to hold it against
	case key != "" && told != key:
		return mistrust{"it has another key than the log that this host knows: tell an admin"}
	}
	if err := u.witness.accept(c, told, w.GetCheckpoint(), true); err != nil || key != "" {
		return err
	}
	return u.trustLog(c, told)
}

// trustLog stores the log's key with the identity.
func (u *Uplink) trustLog(c *connection, logKey string) error {
	next := *c.id
	next.stored.LogKey = logKey
	if err := writeStored(filepath.Join(next.state, identityFile), next.stored, next.key); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.id == c.id {
		u.id = &next
	}
	c.id = &next
	return nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return os.ReadFile(path)
}
