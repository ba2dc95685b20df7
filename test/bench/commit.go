//go:build linux

package main

import (
	"os"
	"sync"
)

// A committer is the least that makes records durable: whoever waits while one fsync runs shares the next. It appends
// and keeps nothing in order but the order of coming, so it is a floor below any store and any log.
type committer struct {
	file *os.File
	wake chan struct{}

	mu   sync.Mutex
	next *commitBatch
}

type commitBatch struct {
	records []byte
	done    chan struct{}
	err     error
}

func newBatch() *commitBatch { return &commitBatch{done: make(chan struct{})} }

// newCommitter makes the file. Its goroutine lasts until close.
func newCommitter(path string) (*committer, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	c := &committer{file: file, wake: make(chan struct{}, 1), next: newBatch()}
	go c.run()
	return c, nil
}

// commit returns once the record is durable.
func (c *committer) commit(record []byte) error {
	c.mu.Lock()
	b := c.next
	b.records = append(b.records, record...)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it knows already
	}
	<-b.done
	return b.err
}

func (c *committer) run() {
	for range c.wake {
		c.mu.Lock()
		b := c.next
		c.next = newBatch()
		c.mu.Unlock()
		if len(b.records) > 0 {
			if _, b.err = c.file.Write(b.records); b.err == nil {
				b.err = c.file.Sync()
			}
		}
		close(b.done)
	}
}

// close is called when no commit is under way.
func (c *committer) close() error {
	close(c.wake)
	return c.file.Close()
}
