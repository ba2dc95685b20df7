package uplink

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/strongroom/strongroom/shared/checkpoint"
	"github.com/strongroom/strongroom/shared/wire"
)

// ledger is a log that can be at any size.
type ledger struct {
	t      *testing.T
	key    string
	signer note.Signer
	hashes []tlog.Hash
}

const ledgerSize = 40

// newLedger makes a log whose entries from fork on are its own.
func newLedger(t *testing.T, fork int) *ledger {
	t.Helper()
	private, key, err := note.GenerateKey(rand.Reader, "strongroom-audit/1")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{t: t, key: key, signer: signer}
	l.fill(fork)
	return l
}

func (l *ledger) fill(fork int) {
	l.hashes = nil
	for i := range int64(ledgerSize) {
		text := fmt.Sprintf("entry %d", i)
		if i >= int64(fork) {
			text += " of another past"
		}
		more, err := tlog.StoredHashes(i, []byte(text), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes = append(l.hashes, more...)
	}
}

// forked is the same log with other entries from one on.
func (l *ledger) forked(from int) *ledger {
	other := *l
	other.fill(from)
	return &other
}

func (l *ledger) ReadHashes(indexes []int64) (hashes []tlog.Hash, err error) {
	for _, i := range indexes {
		hashes = append(hashes, l.hashes[i])
	}
	return hashes, nil
}

// at is the checkpoint of a size, with the proof that it extends from.
func (l *ledger) at(epoch uint32, size, from int64) *wire.Checkpoint {
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	body := checkpoint.Checkpoint{Origin: l.signer.Name(), Size: uint64(size), Root: root, Epoch: epoch}.Body()
	text, err := note.Sign(&note.Note{Text: body}, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	c := &wire.Checkpoint{Text: text}
	if from > 0 && from <= size {
		proof, err := tlog.ProveTree(size, from, l)
		if err != nil {
			l.t.Fatal(err)
		}
		c.Consistency = checkpoint.Raw(proof)
	}
	return c
}

// knowing makes the witness of a host that has seen something, or nothing.
func (l *ledger) knowing(state string, seen *wire.Checkpoint) *witness {
	l.t.Helper()
	if seen != nil {
		if err := os.WriteFile(filepath.Join(state, checkpointFile), seen.GetText(), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	return newWitness(&Identity{state: state, stored: stored{LogKey: l.key}}, slog.New(slog.DiscardHandler))
}
