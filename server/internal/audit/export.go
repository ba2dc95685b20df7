package audit

import (
	"context"

	"github.com/strongroom/strongroom/shared/secret"
)

// Export shows every entry that the query matches to each, oldest first, with the same content as Read gives it; Cursor
// and Limit are not for it. It stops at each's first error, which it returns. It takes the memory of two segments,
// whatever the log's size, and what is appended meanwhile is left out. Entries that are pruned meanwhile fail it with
// ErrPruned.
func (l *Log) Export(ctx context.Context, keys Keys, q Query, each func(Entry) error) error {
	if err := l.desc.holds(keys); err != nil {
		return err
	}
	view, err := l.snapshot(ctx)
	if err != nil {
		return err
	}
	for i := range view.segments {
		seg := &view.segments[i]
		if seg.pruned || !q.Since.IsZero() && seg.newest < q.Since.UnixNano() {
			continue // newest is of all entries up to its end
		}
		if err := l.exportSegment(ctx, &view, i, keys, &q, each); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) exportSegment(ctx context.Context, view *snapshot, i int, keys Keys, q *Query, each func(Entry) error) error {
	frames, err := view.load(i)
	if err != nil {
		return err
	}
	seg := &view.segments[i]
	key, err := l.desc.openSegmentKey(l.arena, keys, seg.enc)
	if err != nil {
		return badEntry(seg.first, seg.first, err)
	}
	defer key.Wipe()
	for at := range frames {
		f := &frames[at]
		if f.kind == committed || f.kind == notCommitted {
			continue // part of its intent
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := f.open(key)
		if err != nil {
			return badEntry(f.seq, seg.first, err)
		}
		if f.kind == intent {
			if err := l.conclusion(view, i, frames[at:], key, keys, &e); err != nil {
				return err
			}
		}
		if !q.matches(&e) {
			continue
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// conclusion gives the entry of an intent, which rest of segment i begins with, its outcome. key is that segment's.
func (l *Log) conclusion(view *snapshot, i int, rest []frame, key *secret.Buffer, keys Keys, e *Entry) error {
	seq, err := view.outcomeOf(&rest[0], i, rest)
	if err != nil {
		return err
	}
	if seq == 0 {
		e.Reason = reasonUnderWay
		return nil
	}
	first := rest[0].seq
	for view.after(i).size < seq { // rare: in the next segment
		i++
		first = view.segments[i].first
	}
	seg := &view.segments[i]
	if first != rest[0].seq {
		if rest, err = view.load(i); err != nil {
			return err
		}
		if key, err = l.desc.openSegmentKey(l.arena, keys, seg.enc); err != nil {
			return badEntry(seq, seg.first, err)
		}
		defer key.Wipe()
	}
	f := rest[seq-first]
	outcome, err := f.open(key)
	if err != nil {
		return badEntry(seq, seg.first, err)
	}
	e.conclude(f.kind, &outcome)
	return nil
}
