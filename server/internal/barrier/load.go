package barrier

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/strongroom/strongroom/shared/secret"
)

// Opening reads every record once. The store is read by one goroutine, in the order of the keys; it hands out chunks of
// records, which all cores decrypt and count into a part of the set hash; and one goroutine takes the chunks into the
// index, in order again, so that the first fault is the first by key. What is under way at a time is bounded by the
// number of chunks.
const (
	chunkRecords = 256
	chunkBytes   = 256 << 10 // beyond which no record is added

	checkerRoom = 16 << 10 // bytes of the arena, for each core
)

// chunk is some records on their way through the loader.
type chunk struct {
	data    []byte // each record's key and value, one behind the other
	sizes   []sizes
	entries []entry  // what is known of each
	names   []string // and its key in the store
	set     sum
	err     error
	done    chan struct{}
}

type sizes struct{ key, value int }

// loader is one opening.
type loader struct {
	b       *Barrier
	keys    *keyring
	work    chan *chunk // for the workers
	ordered chan *chunk // the same, for the index
	free    chan *chunk
	failed  atomic.Bool // a chunk has a fault: nothing behind it counts
	large   sync.Mutex  // held while a record is decrypted that does not fit a worker's own buffer
	roomy   bool        // the arena has room for the workers' buffers and the largest record besides
}

// loadIndex decrypts every record and builds the index, which must be the set that the root record speaks of.
func (tx *Tx) loadIndex() error {
	workers := runtime.GOMAXPROCS(0)
	chunks := 2*workers + 2
	l := &loader{
		b: tx.b, keys: tx.keys,
		work: make(chan *chunk, chunks), ordered: make(chan *chunk, chunks), free: make(chan *chunk, chunks),
	}
	l.roomy = tx.b.arena.Size()-tx.b.arena.InUse() > workers*checkerRoom+MaxPlaintext
	for range chunks {
		l.free <- &chunk{}
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(l.open)
	}
	var set sum
	var fault error
	group.Go(func() { set, fault = l.collect() })
	err := l.read(tx)
	close(l.work)
	close(l.ordered)
	group.Wait()
	switch {
	case fault != nil:
		return fault // it stands before what the reading ended with
	case err != nil:
		return err
	case set != tx.b.root.set:
		return fmt.Errorf("%w: an older record, or one that was removed or added, beside the root record of commit %d",
			ErrRollback, tx.b.root.commit)
	}
	return nil
}

// read hands out the store's records.
func (l *loader) read(tx *Tx) error {
	c := l.next()
	err := tx.store.Scan(nil, func(key, value []byte) error {
		if l.failed.Load() {
			return errEnough
		}
		if len(c.sizes) == chunkRecords || len(c.sizes) > 0 && len(c.data)+len(value) > chunkBytes {
			l.hand(c)
			c = l.next()
		}
		c.data = append(append(c.data, key...), value...)
		c.sizes = append(c.sizes, sizes{len(key), len(value)})
		return nil
	})
	l.hand(c) // also what was read before a fault of the store: an earlier fault is the first one
	return err
}

func (l *loader) next() *chunk {
	c := <-l.free
	*c = chunk{data: c.data[:0], sizes: c.sizes[:0], entries: c.entries[:0], names: c.names[:0], done: make(chan struct{})}
	return c
}

func (l *loader) hand(c *chunk) {
	l.ordered <- c
	l.work <- c
}

// collect takes the chunks into the index, up to the first fault.
func (l *loader) collect() (set sum, fault error) {
	for c := range l.ordered {
		<-c.done
		if fault == nil {
			fault = c.err
			l.take(c)
			set = set.plus(c.set)
		}
		if cap(c.data) > chunkBytes {
			c.data = nil // a large record's
		}
		l.free <- c
	}
	return set, fault
}

func (l *loader) take(c *chunk) {
	for i, name := range c.names {
		if e := c.entries[i]; e.commit != 0 {
			kind, id, _ := cutKey(name)
			l.b.index.set(kind, id, e)
		}
	}
}

// open is a worker. Where the arena is too full for a checker all records are taken for large ones.
func (l *loader) open() {
	var checker *secret.Checker
	if l.roomy {
		var err error
		if checker, err = l.b.arena.NewChecker(checkerRoom); err == nil {
			defer checker.Wipe()
		} else {
			checker = nil // somebody else was quicker
		}
	}
	for c := range l.work {
		if !l.failed.Load() {
			if c.err = l.openChunk(c, checker); c.err != nil {
				l.failed.Store(true)
			}
		}
		close(c.done)
	}
}

func (l *loader) openChunk(c *chunk, checker *secret.Checker) error {
	var scratch []byte
	rest := c.data
	for _, size := range c.sizes {
		name, raw := string(rest[:size.key]), rest[size.key:size.key+size.value]
		rest = rest[size.key+size.value:]
		e, err := l.openRecord(name, raw, checker)
		if err != nil {
			return err
		}
		c.names, c.entries = append(c.names, name), append(c.entries, e)
		if e.commit == 0 {
			continue
		}
		kind, id, _ := cutKey(name)
		var term sum
		term, scratch = l.keys.term(scratch, &e, kind, id)
		c.set = c.set.plus(term)
	}
	return nil
}

// openRecord gives no entry for the root record, which loadRoot has opened.
func (l *loader) openRecord(name string, raw []byte, checker *secret.Checker) (entry, error) {
	kind, id, err := splitKey(name)
	if err != nil || kind == kindRoot && id == onlyID {
		return entry{}, err
	}
	r, err := l.b.decode(raw, kind, id)
	if err != nil {
		return entry{}, err
	}
	if r.commit > l.b.root.commit || r.epoch > l.b.epoch || r.commit == 0 {
		return entry{}, fmt.Errorf("%w: %s/%s is of commit %d, epoch %d, the root record of %d, epoch %d",
			ErrRollback, kind, id, r.commit, r.epoch, l.b.root.commit, l.b.epoch)
	}
	if kind != kindKeyring { // which loadKeyring has opened
		if err := l.tryOpen(r, kind, id, checker); err != nil {
			return entry{}, fmt.Errorf("%s/%s: %w", kind, id, err)
		}
	}
	return entryOf(r), nil
}

func (l *loader) tryOpen(r record, kind Kind, id string, checker *secret.Checker) error {
	key, err := l.keys.key(r.keyNumber)
	if err != nil {
		return err
	}
	if checker != nil && len(r.ciphertext) <= checkerRoom {
		return named(checker.Check(key, r.salt, recordInfo, zeroNonce[:], r.ciphertext, associated(r.header, kind, id)))
	}
	l.large.Lock()
	defer l.large.Unlock()
	var plaintext *secret.Buffer
	plaintext, err = r.open(l.b.arena, key, kind, id)
	plaintext.Wipe()
	return err
}
