package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/secret"
)

// ErrNoEntry means that the log has no entry of that number.
var ErrNoEntry = errors.New("the audit log has no such entry")

// leafHash is the tree's leaf of a frame; header is the hash of its segment's header, scratch reused memory.
func leafHash(header *[sha256.Size]byte, f *frame, scratch *[]byte) tlog.Hash {
	*scratch = append((*scratch)[:0], header[:]...)
	*scratch = append(*scratch, f.bytes[checksumEnd:]...)
	return tlog.RecordHash(*scratch)
}

// Consistency proves that the tree of the first to entries begins with the tree of the first from entries (RFC 6962,
// 2.1.2). Both must be there. The proof of nothing, and of a tree to itself, is empty.
func (l *Log) Consistency(ctx context.Context, from, to uint64) ([]tlog.Hash, error) {
	n, err := l.nodes(ctx)
	if err != nil {
		return nil, err
	}
	return n.consistency(from, to)
}

func (n *nodes) consistency(from, to uint64) ([]tlog.Hash, error) {
	if from > to || to > n.view.end.size {
		return nil, fmt.Errorf("audit log: no proof from %d to %d entries: there are %d", from, to, n.view.end.size)
	}
	if from == 0 {
		return nil, nil
	}
	return tlog.ProveTree(int64(to), int64(from), n)
}

// prove gives the proof of one entry but for the checkpoint and its key: that it is in the tree of the first size ones.
func (n *nodes) prove(a *secret.Arena, keys Keys, seq, size uint64) (checkpoint.Proof, error) {
	v := &n.view
	for i := range v.segments {
		seg := &v.segments[i]
		if v.after(i).size < seq {
			continue
		}
		if seg.pruned {
			return checkpoint.Proof{}, ErrPruned
		}
		frames, err := v.load(i)
		if err != nil {
			return checkpoint.Proof{}, err
		}
		f := &frames[seq-seg.first]
		p := checkpoint.Proof{Header: seg.hash[:], Frame: f.bytes}
		if err := v.show(a, keys, seg, f, &p); err != nil {
			return checkpoint.Proof{}, badEntry(seq, seg.first, err)
		}
		if p.Outcome, err = v.outcomeOf(f, i, frames); err != nil {
			return checkpoint.Proof{}, err
		}
		inclusion, err := tlog.ProveRecord(int64(size), int64(seq-1), n)
		p.Inclusion = checkpoint.Raw(inclusion)
		return p, err
	}
	return checkpoint.Proof{}, ErrNoEntry
}

// show decrypts a frame into its proof.
func (v *snapshot) show(a *secret.Arena, keys Keys, seg *segment, f *frame, p *checkpoint.Proof) error {
	key, err := v.desc.openSegmentKey(a, keys, seg.enc)
	if err != nil {
		return err
	}
	defer key.Wipe()
	sum := f.bytes[hashAt:cipherAt]
	if p.Plaintext, err = secret.OpenPublic(key, sum[:secret.NonceSize], f.bytes[cipherAt:], sum); err != nil {
		return err
	}
	p.Entry, err = checkpoint.ReadFrame(p.Frame, p.Plaintext)
	return err
}

// outcomeOf finds the outcome of an intent, the newest before the next intent, since changes run one after the other.
// 0: there is none yet. frames are those of segment i, which has the intent.
func (v *snapshot) outcomeOf(f *frame, i int, frames []frame) (seq uint64, err error) {
	if f.kind != intent {
		return 0, nil
	}
	for ; ; i++ {
		for _, later := range frames {
			switch {
			case later.seq <= f.seq || later.kind == event:
			case later.kind == intent:
				return seq, nil
			case later.ref == f.seq:
				seq = later.seq
			}
		}
		if i+1 == len(v.segments) {
			return seq, nil
		}
		if frames, err = v.load(i + 1); err != nil {
			return 0, err
		}
	}
}
