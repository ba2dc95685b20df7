package barrier

import (
	"fmt"
	"runtime"
	"sync"
)

// Decoding JSON takes longer than all else of reading a record, so that a vault of many records is opened by all cores:
// the transaction's own goroutine reads the store and calls fn, in the order of the IDs, and others decrypt and decode
// what lies between.
const (
	portionRecords = 64
	fewRecords     = 4 * portionRecords // which are not worth it
)

// ScanJSON calls fn with every record of a kind that PutJSON wrote, in the order of their IDs, until fn returns an error,
// which ScanJSON then returns. fn must not write.
func ScanJSON[T any](tx *Tx, kind Kind, fn func(T) error) error {
	if tx.changes != nil || tx.count(kind) < fewRecords {
		return tx.Scan(kind, func(id string, text []byte) error {
			var doc T
			if err := decode(kind, id, text, &doc); err != nil {
				return err
			}
			return fn(doc)
		})
	}
	if err := checkCaller(kind, onlyID); err != nil {
		return err
	}
	s := &scanning[T]{tx: tx, kind: kind, fn: fn, work: make(chan *portion[T], 2*runtime.GOMAXPROCS(0))}
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for p := range s.work {
				p.err = p.open(tx, kind)
				close(p.done)
			}
		})
	}
	defer group.Wait() // they read with the transaction
	defer close(s.work)
	return s.run()
}

// scanning is one run of ScanJSON.
type scanning[T any] struct {
	tx    *Tx
	kind  Kind
	fn    func(T) error
	work  chan *portion[T]
	given []*portion[T] // to the workers, the oldest first
	seen  int
	ended error // what a portion or fn ended it with
}

// portion is some records, one behind the other.
type portion[T any] struct {
	ids  []string
	raws [][]byte
	size int   // of raws
	docs []T   // of the first records
	err  error // of the one behind those
	done chan struct{}
}

func (s *scanning[T]) run() error {
	prefix := recordKey(s.kind, "")
	next := &portion[T]{done: make(chan struct{})}
	err := s.tx.store.Scan(prefix, func(key, raw []byte) error {
		next.ids, next.raws = append(next.ids, string(key[len(prefix):])), append(next.raws, append([]byte(nil), raw...))
		next.size += len(raw)
		if len(next.ids) < portionRecords && next.size < chunkBytes {
			return nil
		}
		s.give(next)
		next = &portion[T]{done: make(chan struct{})}
		if len(s.given) == cap(s.work) {
			return s.take()
		}
		return nil
	})
	if s.ended != nil {
		return s.ended
	}
	s.give(next) // also what was read before a fault of the store: an earlier fault is the first one
	for len(s.given) > 0 {
		if err := s.take(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if want := s.tx.count(s.kind); s.seen != want {
		return fmt.Errorf("%w: %d records of kind %s, there should be %d", ErrRollback, s.seen, s.kind, want)
	}
	return nil
}

func (s *scanning[T]) give(p *portion[T]) {
	s.given = append(s.given, p)
	s.work <- p
}

// take gives the oldest portion to fn.
func (s *scanning[T]) take() error {
	p := s.given[0]
	s.given = s.given[1:]
	<-p.done
	for _, doc := range p.docs {
		s.seen++
		if s.ended = s.fn(doc); s.ended != nil {
			return s.ended
		}
	}
	s.ended = p.err
	return s.ended
}

// open decrypts and decodes records up to the first that fails.
func (p *portion[T]) open(tx *Tx, kind Kind) error {
	for i, id := range p.ids {
		r, key, err := tx.check(p.raws[i], kind, id)
		if err != nil {
			return err
		}
		text, err := r.openPublic(tx.b.arena, key, kind, id)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", kind, id, err)
		}
		var doc T
		if err := decode(kind, id, text, &doc); err != nil {
			return err
		}
		p.docs = append(p.docs, doc)
	}
	return nil
}
