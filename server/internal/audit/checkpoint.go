package audit

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/durable"
	"github.com/strongroom/strongroom/shared/secret"
)

// checkpointFile is the newest checkpoint, in the log's folder, for whoever checks the log offline.
const checkpointFile = "checkpoint"

// checkpointInterval is how often a log that grows gets another checkpoint.
const checkpointInterval = time.Minute

// closingWait is how long the last checkpoint waits for entries that are on their way to the disk.
const closingWait = 2 * time.Second

// LogKey is the verifier string of the log's key.
func (l *Log) LogKey() string { return l.desc.logKey() }

// Checkpoint signs the log's present size and root. epoch is the vault's.
func (l *Log) Checkpoint(keys Keys, epoch uint32) (text []byte, err error) {
	if err := l.desc.holds(keys); err != nil {
		return nil, err
	}
	s, err := l.sign(keys, epoch)
	return s.Text, err
}

// Signed is a checkpoint and its text with the signature.
type Signed struct {
	checkpoint.Checkpoint
	Text []byte
}

func (l *Log) sign(keys Keys, epoch uint32) (s Signed, err error) {
	verifier, err := note.NewVerifier(l.desc.logKey())
	if err != nil {
		return s, err
	}
	s.Origin, s.Epoch = verifier.Name(), epoch
	s.Size, s.Root = l.treeState()
	s.Text, err = note.Sign(&note.Note{Text: s.Body()}, signer{verifier, keys.Signing})
	return s, err
}

// signer is note's; the expanded key exists only while it signs.
type signer struct {
	note.Verifier
	seed *secret.Buffer
}

// Sign is part of note's contract.
func (s signer) Sign(message []byte) (signature []byte, err error) {
	seed := s.seed.Reveal()
	if len(seed) != ed25519.SeedSize {
		return nil, ErrWrongKeys
	}
	secret.Do(func() {
		full := ed25519.NewKeyFromSeed(seed)
		signature = ed25519.Sign(full, message)
		secret.Wipe(full)
	})
	return signature, nil
}

// Checkpoints are what an unsealed log promises. A log that grows gets another one each minute, which is written beside
// the segments; what others saw of the log is held against what it has now. They end with Close, before their keys do.
type Checkpoints struct {
	log   *Log
	keys  Keys
	epoch uint32
	now   func() time.Time

	stop     chan struct{}
	stopped  chan struct{}
	stopping sync.Once

	mu      sync.Mutex
	closed  bool
	latest  Signed
	kept    bool  // the file tells of more than the log has: it is evidence
	unsaved error // why the latest is not in the file
	grown   func()

	proving sync.Mutex
	proofs  map[[2]uint64]link

	behind behind
}

// link is what ties a smaller tree to a larger one.
type link struct {
	root  tlog.Hash // of the smaller
	proof []tlog.Hash
}

const maxProofs = 1000

// Checkpoints signs the log's present state, and again as it grows. A checkpoint in the log's folder that the log does
// not extend is reported like one that an agent shows, and stays where it is.
func (l *Log) Checkpoints(ctx context.Context, keys Keys, epoch uint32) (*Checkpoints, error) {
	return l.checkpoints(ctx, keys, epoch, checkpointInterval)
}

func (l *Log) checkpoints(ctx context.Context, keys Keys, epoch uint32, interval time.Duration) (*Checkpoints, error) {
	if err := l.desc.holds(keys); err != nil {
		return nil, err
	}
	c := &Checkpoints{
		log: l, keys: keys, epoch: epoch, now: time.Now,
		stop: make(chan struct{}), stopped: make(chan struct{}), proofs: map[[2]uint64]link{}, grown: func() {},
	}
	if err := c.refresh(); err != nil {
		return nil, err
	}
	if err := c.compareFile(ctx); err != nil {
		return nil, err
	}
	c.save()
	go c.run(interval)
	return c, nil
}

// OnGrowth has fn called after each new checkpoint. It is set once, before anybody is shown one.
func (c *Checkpoints) OnGrowth(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grown = fn
}

// Latest is at most a minute old.
func (c *Checkpoints) Latest() Signed {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}

// Close signs a last time, all that was logged until then. Afterwards the keys may be wiped.
func (c *Checkpoints) Close() {
	c.stopping.Do(func() {
		close(c.stop)
		<-c.stopped
		// What nobody waits for is promised as well: the outcome of the last change, and the refusals that were only
		// counted. Without that somebody could take them off the end of a log that was closed in good order.
		c.log.FlushRefusals()
		ctx, cancel := context.WithTimeout(context.Background(), closingWait)
		defer cancel()
		_, _ = c.log.snapshot(ctx)
		_ = c.refresh() // the log goes on without it
		c.save()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *Checkpoints) run(interval time.Duration) {
	defer close(c.stopped)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.stop:
			return
		}
		if c.log.Size() == c.Latest().Size || c.refresh() != nil {
			continue
		}
		c.save()
		c.mu.Lock()
		grown := c.grown
		c.mu.Unlock()
		grown()
	}
}

// refresh signs what the log is now. The lock keeps the keys from being wiped meanwhile.
func (c *Checkpoints) refresh() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	s, err := c.log.sign(c.keys, c.epoch)
	if err == nil && s.Size >= c.latest.Size {
		c.latest = s
	}
	return err
}

func (c *Checkpoints) path() string { return filepath.Join(c.log.dir, checkpointFile) }

// save puts the latest checkpoint into the file. Where that cannot be written, Warnings says so.
func (c *Checkpoints) save() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept {
		return
	}
	c.unsaved = durable.Replace(c.path(), c.latest.Text)
}

// ReadCheckpoint reads the checkpoint that a server left in the log's folder: fs.ErrNotExist where there is none. It
// verifies nothing.
func ReadCheckpoint(dir string) ([]byte, error) {
	return readSmall(filepath.Join(dir, checkpointFile), checkpoint.MaxText)
}

// compareFile looks at what the server itself promised last. A file that is missing, unreadable or another log's says
// nothing and is replaced.
func (c *Checkpoints) compareFile(ctx context.Context) error {
	text, err := ReadCheckpoint(c.log.dir)
	if err != nil {
		return nil
	}
	if _, _, err := c.Since(ctx, "", text); err != nil {
		return err
	}
	c.kept = c.Behind() != ""
	return nil
}

// From proves that the log of the latest checkpoint extends its first size entries.
func (c *Checkpoints) From(ctx context.Context, size uint64) (Signed, []tlog.Hash, error) {
	latest := c.Latest()
	l, err := c.link(ctx, size, latest.Size)
	return latest, l.proof, err
}

// link computes what ties size from to size to, once for all who ask.
func (c *Checkpoints) link(ctx context.Context, from, to uint64) (link, error) {
	c.proving.Lock()
	defer c.proving.Unlock()
	at := [2]uint64{from, to}
	if l, ok := c.proofs[at]; ok {
		return l, nil
	}
	n, err := c.log.nodes(ctx)
	if err != nil {
		return link{}, err
	}
	var l link
	if l.root, err = tlog.TreeHash(int64(from), n); err != nil {
		return link{}, err
	}
	if l.proof, err = n.consistency(from, to); err != nil {
		return link{}, err
	}
	if len(c.proofs) >= maxProofs {
		clear(c.proofs)
	}
	c.proofs[at] = l
	return l, nil
}

// Prove proves one entry in a signed checkpoint and shows it: ErrNoEntry where there is none.
func (c *Checkpoints) Prove(ctx context.Context, seq uint64) (checkpoint.Proof, error) {
	n, err := c.log.nodes(ctx)
	if err != nil {
		return checkpoint.Proof{}, err
	}
	if seq == 0 || seq > n.view.end.size {
		return checkpoint.Proof{}, ErrNoEntry
	}
	in := c.Latest()
	if in.Size < seq {
		if in, err = c.signNow(); err != nil {
			return checkpoint.Proof{}, err
		}
		// The log may have grown since.
		if n, err = c.log.nodes(ctx); err != nil {
			return checkpoint.Proof{}, err
		}
	}
	p, err := n.prove(c.log.arena, c.keys, seq, in.Size)
	p.LogKey, p.Checkpoint = c.log.LogKey(), string(in.Text)
	return p, err
}

// signNow signs for one reader. Agents are not shown it, so that they get one a minute.
func (c *Checkpoints) signNow() (Signed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return Signed{}, ErrClosed
	}
	return c.log.sign(c.keys, c.epoch)
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrCorrupt, filepath.Base(path), limit)
	}
	return os.ReadFile(path)
}
