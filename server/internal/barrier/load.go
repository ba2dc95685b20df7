package barrier

import (
	"cmp"
	"fmt"
	"math"
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
	number       int64
	keys, values []byte // each record's, one behind the other
	sizes        []sizes
	entries      []entry  // what is known of each
	names        []string // and its key in the store
	set          sum
	err          error
	done         chan struct{}
}

type sizes struct{ key, value int }

// loader is one opening.
type loader struct {
	b       *Barrier
	keys    *keyring
	work    chan *chunk // for the workers
	ordered chan *chunk // the same, for the index
	free    chan *chunk
	handed  int64        // how many chunks were handed out
	failed  atomic.Int64 // the first chunk that is known to have a fault: nothing behind it counts
	large   sync.Mutex   // held while a record is decrypted that does not fit a worker's own buffer
	roomy   bool         // the arena has room for the workers' buffers and the largest record besides
}

// loadIndex decrypts every record and builds the index, which must be the set that the root record speaks of.
func (tx *Tx) loadIndex() error {
	workers := runtime.GOMAXPROCS(0)
	chunks := 2*workers + 2
	l := &loader{
		b: tx.b, keys: tx.keys,
		work: make(chan *chunk, chunks), ordered: make(chan *chunk, chunks), free: make(chan *chunk, chunks),
	}
	l.failed.Store(math.MaxInt64)
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
		if l.failed.Load() < l.handed {
			return errEnough
		}
		if len(c.sizes) == chunkRecords || len(c.sizes) > 0 && len(c.values)+len(value) > chunkBytes {
			l.hand(c)
			c = l.next()
		}
		c.keys, c.values = append(c.keys, key...), append(c.values, value...)
		c.sizes = append(c.sizes, sizes{len(key), len(value)})
		return nil
	})
	l.hand(c) // also what was read before a fault of the store: an earlier fault is the first one
	return err
}

func (l *loader) next() *chunk {
	c := <-l.free
	*c = chunk{keys: c.keys[:0], values: c.values[:0], sizes: c.sizes[:0], entries: c.entries[:0], names: c.names[:0],
		done: make(chan struct{})}
	return c
}

func (l *loader) hand(c *chunk) {
	c.number = l.handed
	l.handed++
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
		if cap(c.values) > 2*chunkBytes {
			c.values = nil // a large record's
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

// opener is a worker.
type opener struct {
	*loader
	// The arena's room for what is decrypted; nil where the arena is too full for one: all records are taken for large.
	checker *secret.Checker
	terms   *summing

	// Records that wait for the checker, all under one key: what is checked, and where in the store it is.
	sealed []secret.Sealed
	names  []string
	bound  []byte // what their ciphertexts are bound to; it never grows
	key    *secret.Buffer
}

// open takes chunks until there are no more.
func (l *loader) open() {
	o := &opener{loader: l, terms: newSumming(l.keys.setHash), bound: make([]byte, 0, chunkRecords*maxAssociated)}
	if l.roomy {
		if checker, err := l.b.arena.NewChecker(checkerRoom); err == nil { // or somebody else was quicker
			o.checker = checker
			defer checker.Wipe()
		}
	}
	for c := range l.work {
		if c.number < l.failed.Load() {
			if c.err = o.openChunk(c); c.err != nil {
				l.fail(c.number)
			}
		}
		close(c.done)
	}
}

// fail notes that a chunk has a fault.
func (l *loader) fail(chunk int64) {
	for {
		first := l.failed.Load()
		if first <= chunk || l.failed.CompareAndSwap(first, chunk) {
			return
		}
	}
}

func (o *opener) openChunk(c *chunk) error {
	keys, values := string(c.keys), c.values
	for _, size := range c.sizes {
		name, raw := keys[:size.key], values[:size.value]
		keys, values = keys[size.key:], values[size.value:]
		e, err := o.openRecord(name, raw)
		if err != nil {
			return cmp.Or(o.check(), err) // a record before it may be at fault, too
		}
		c.names, c.entries = append(c.names, name), append(c.entries, e)
	}
	if err := o.check(); err != nil {
		return err
	}
	c.set = o.terms.take()
	return nil
}

// openRecord gives no entry for the root record, which loadRoot has opened. What it does not open at once waits for
// check.
func (o *opener) openRecord(name string, raw []byte) (entry, error) {
	kind, id, err := splitKey(name)
	if err != nil || kind == kindRoot && id == onlyID {
		return entry{}, err
	}
	r, err := o.b.decode(raw, kind, id)
	if err != nil {
		return entry{}, err
	}
	if r.commit > o.b.root.commit || r.epoch > o.b.epoch || r.commit == 0 {
		return entry{}, fmt.Errorf("%w: %s/%s is of commit %d, epoch %d, the root record of %d, epoch %d",
			ErrRollback, kind, id, r.commit, r.epoch, o.b.root.commit, o.b.epoch)
	}
	if kind != kindKeyring { // which loadKeyring has opened
		if err := o.tryOpen(name, r, kind, id); err != nil {
			return entry{}, err
		}
	}
	e := entryOf(r)
	o.terms.add(kind, id, &e)
	return e, nil
}

func (o *opener) tryOpen(name string, r record, kind Kind, id string) error {
	key, err := o.keys.key(r.keyNumber)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if o.checker != nil && len(r.ciphertext) <= checkerRoom {
		if key != o.key {
			if err := o.check(); err != nil {
				return err
			}
			o.key = key
		}
		at := len(o.bound)
		o.bound = appendAssociated(o.bound, r.header, kind, id)
		o.sealed = append(o.sealed, secret.Sealed{Salt: r.salt, Ciphertext: r.ciphertext, AD: o.bound[at:]})
		o.names = append(o.names, name)
		return nil
	}
	o.large.Lock()
	defer o.large.Unlock()
	plaintext, err := r.open(o.b.arena, key, kind, id)
	plaintext.Wipe()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// check decrypts the records that wait for it.
func (o *opener) check() error {
	if len(o.sealed) == 0 {
		return nil
	}
	failed, err := o.checker.Check(o.key, recordInfo, zeroNonce[:], o.sealed)
	if err != nil {
		err = fmt.Errorf("%s: %w", o.names[failed], named(err))
	}
	o.sealed, o.names, o.bound = o.sealed[:0], o.names[:0], o.bound[:0]
	return err
}
