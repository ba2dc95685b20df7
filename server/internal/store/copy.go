package store

import "io"

// Copy is the store as it was when the copy was begun, whatever is written since. Until it is closed the file keeps the
// pages of that time, so it grows with what is written; and a write that needs the file to grow much waits for it.
type Copy struct{ tx *transaction }

// Copy begins one. It may be used by one goroutine; Close of the DB waits for it.
func (db *DB) Copy() (*Copy, error) {
	tx, err := db.begin(false)
	if err != nil {
		return nil, err
	}
	return &Copy{tx}, nil
}

// Size is what WriteTo writes, in bytes.
func (c *Copy) Size() int64 { return c.tx.bolt.Size() }

// WriteTo writes a store that Open opens. It ends with w's error, or with ErrCorrupt.
func (c *Copy) WriteTo(w io.Writer) (n int64, err error) {
	into := &remembering{Writer: w} // bbolt makes a text of its error
	var failed error
	if err := guard(func() { n, failed = c.tx.bolt.WriteTo(into) }); err != nil {
		c.tx.db.fail(err)
		return n, err
	}
	if into.err != nil {
		return n, into.err
	}
	return n, failed
}

type remembering struct {
	io.Writer
	err error
}

// Write keeps the error.
func (r *remembering) Write(b []byte) (n int, err error) {
	n, err = r.Writer.Write(b)
	r.err = err
	return n, err
}

// Close gives the pages back. Closing twice is harmless.
func (c *Copy) Close() { c.tx.end() }
