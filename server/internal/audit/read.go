package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query narrows what Read returns; empty members do not.
type Query struct {
	Since   time.Time // no older entries
	Until   time.Time // no newer entries
	Actor   string
	Action  string
	Target  string
	Host    string
	Outcome Outcome
	Cursor  string // the Next of the page before
	Limit   int    // entries a page: 100 if 0, at most 1000
}

// Page is a part of the log, newest first.
type Page struct {
	Items []Entry `json:"items"`
	Next  string  `json:"next"` // the cursor of the next, older page; empty: there is none
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Read returns entries that match the query, decrypted with the log's private key. A change is one entry: its intent,
// with the outcome that was logged for it. Everything that was appended before the call is considered. What is read is
// checked against the tree, and the first entry that does not hold fails it with a BadEntry.
func (l *Log) Read(ctx context.Context, keys Keys, q Query) (Page, error) {
	if err := l.desc.holds(keys); err != nil {
		return Page{}, err
	}
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	view, err := l.snapshot(ctx)
	if err != nil {
		return Page{}, err
	}
	q.Limit = min(cmp.Or(max(q.Limit, 0), defaultLimit), maxLimit)
	p := pager{query: q, page: Page{Items: []Entry{}}}
	for i, seg := range slices.Backward(view.segments) {
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		if seg.pruned {
			break // as is everything before it
		}
		if at.outcome < seg.first && at.before <= seg.first {
			continue // wholly on the pages before
		}
		if !q.Since.IsZero() && seg.newest < q.Since.UnixNano() {
			break // as is everything before it
		}
		full, err := l.readPage(&view, i, keys, at, &p)
		if err != nil {
			return Page{}, err
		}
		if full {
			break
		}
	}
	return p.page, nil
}

// readPage takes segment i into a page, from its end, and tells whether the page is full.
func (l *Log) readPage(view *snapshot, i int, keys Keys, at cursor, p *pager) (full bool, err error) {
	frames, err := view.load(i)
	if err != nil {
		return false, err
	}
	seg := &view.segments[i]
	key, err := l.desc.openSegmentKey(l.arena, keys, seg.enc)
	if err != nil {
		return false, badEntry(seg.first, seg.first, err)
	}
	defer key.Wipe()
	for _, f := range slices.Backward(frames) {
		if f.seq >= at.before && f.seq != at.outcome {
			continue
		}
		e, err := f.open(key)
		if err != nil {
			return false, badEntry(f.seq, seg.first, err)
		}
		if p.take(f.kind, f.ref, e) {
			return true, nil
		}
	}
	return false, nil
}

// pager fills a page from entries that come newest first.
type pager struct {
	query Query
	page  Page

	// The outcome whose intent is yet to come. There is never more than one: changes run one after the other. Of
	// several for one intent the newest holds.
	outcome     Entry
	outcomeKind kind
	outcomeRef  uint64 // the intent's seq; 0: there is no outcome
}

// take takes the next older entry and tells whether the page is full.
func (p *pager) take(k kind, ref uint64, e Entry) bool {
	if k == committed || k == notCommitted {
		if p.outcomeRef != ref {
			p.outcome, p.outcomeKind, p.outcomeRef = e, k, ref
		}
		return false
	}
	if k == intent {
		p.merge(&e)
	}
	if !p.query.matches(&e) {
		return false
	}
	p.page.Items = append(p.page.Items, e)
	if len(p.page.Items) < p.query.Limit {
		return false
	}
	if e.Seq > 1 {
		p.page.Next = cursor{before: e.Seq, outcome: p.pending()}.String()
	}
	return true
}

// merge gives an intent its outcome.
func (p *pager) merge(e *Entry) {
	if p.outcomeRef != e.Seq {
		e.Reason = reasonUnderWay
		return
	}
	e.conclude(p.outcomeKind, &p.outcome)
	p.outcomeRef = 0
}

// pending is the seq of the outcome whose intent is on a later page, or 0.
func (p *pager) pending() uint64 {
	if p.outcomeRef == 0 {
		return 0
	}
	return p.outcome.Seq
}

func (q *Query) matches(e *Entry) bool {
	return !e.Time.Before(q.Since) &&
		(q.Until.IsZero() || !e.Time.After(q.Until)) &&
		(q.Actor == "" || q.Actor == e.Actor) &&
		(q.Outcome == "" || q.Outcome == e.Outcome) &&
		(q.Action == "" || q.Action == e.Action) &&
		(q.Target == "" || q.Target == e.Target) &&
		(q.Host == "" || q.Host == e.Host)
}

// cursor says where a page begins. Its text is BEFORE or BEFORE-OUTCOME, in decimal.
type cursor struct {
	before  uint64 // entries from this one on were on the pages before
	outcome uint64 // the outcome of an intent on this page, if that precedes the page's first; or 0
}

func (c cursor) String() string {
	if c.outcome == 0 {
		return strconv.FormatUint(c.before, 10)
	}
	return fmt.Sprintf("%d-%d", c.before, c.outcome)
}

func parseCursor(text string) (cursor, error) {
	if text == "" {
		return cursor{before: 1<<64 - 1}, nil
	}
	before, outcome, both := strings.Cut(text, "-")
	var c cursor
	var err, errOutcome error
	c.before, err = strconv.ParseUint(before, 10, 64)
	if both {
		c.outcome, errOutcome = strconv.ParseUint(outcome, 10, 64)
	}
	if errors.Join(err, errOutcome) != nil || c.String() != text {
		return cursor{}, fmt.Errorf("%w: %q", ErrCursor, text)
	}
	return c, nil
}
