package barrier

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/strongroom/strongroom/shared/secret"
)

func TestRaiseEpoch(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	put(t, b, "a", "one")
	no := errors.New("no")
	if err := b.Update(func(tx *Tx) error { return errors.Join(tx.RaiseEpoch(), no) }); !errors.Is(err, no) || b.Epoch() != 1 {
		t.Errorf("epoch %d, %v", b.Epoch(), err)
	}
	if err := b.View((*Tx).RaiseEpoch); err == nil {
		t.Error("raised in a View")
	}
	do(t, b, (*Tx).RaiseEpoch)
	put(t, b, "b", "two")
	for range 2 {
		if b.Epoch() != 2 || b.Commit() != 4 {
			t.Errorf("epoch %d, commit %d", b.Epoch(), b.Commit())
		}
		want(t, b, "a", "one")
		want(t, b, "b", "two")
		b = s.reopen(t, b)
	}
	now := read(t, s.db)
	for key, epoch := range map[string]uint32{"item/a": 1, "item/b": 2, "root/main": 2} {
		if r, err := decodeRecord([]byte(now[key])); err != nil || r.epoch != epoch {
			t.Errorf("%s is of epoch %d, %v", key, r.epoch, err)
		}
	}
	if err := b.Update(func(tx *Tx) error { tx.epoch = math.MaxUint32; return tx.RaiseEpoch() }); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}

// TestBackupKey: the open barrier and the root key give the same, for one salt and one vault.
func TestBackupKey(t *testing.T) {
	t.Parallel()
	s := newBench(t)
	b := s.create(t)
	salt := bytes.Repeat([]byte{3}, 32)
	key := func(of func() (*secret.Buffer, error)) []byte {
		t.Helper()
		k, err := of()
		if err != nil {
			t.Fatal(err)
		}
		defer k.Wipe()
		return bytes.Clone(k.Reveal())
	}
	open := key(func() (*secret.Buffer, error) { return b.BackupKey(salt) })
	for what, same := range map[string][2]any{
		"the root key":  {key(func() (*secret.Buffer, error) { return BackupKey(s.arena, s.root, vault, salt) }), true},
		"another salt":  {key(func() (*secret.Buffer, error) { return b.BackupKey(salt[1:]) }), false},
		"another vault": {key(func() (*secret.Buffer, error) { return BackupKey(s.arena, s.root, "ff"+vault[2:], salt) }), false},
	} {
		if got := bytes.Equal(same[0].([]byte), open); got != same[1].(bool) {
			t.Errorf("%s gives the same: %t", what, got)
		}
	}
	if !b.IsRoot(s.root) {
		t.Error("its own root key is another's")
	}
	other, err := s.arena.Random(32)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Wipe()
	if b.IsRoot(other) {
		t.Error("another's root key is its own")
	}
	b.Close()
	if _, err := b.BackupKey(salt); !errors.Is(err, ErrClosed) || b.IsRoot(s.root) {
		t.Errorf("closed: %v", err)
	}
}
