package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/server/internal/backup"
	"github.com/strongroom/strongroom/server/internal/rest"
	"github.com/strongroom/strongroom/server/internal/store"
	"github.com/strongroom/strongroom/shared/grant"
)

// backup makes a whole backup in a file without a name beside the vault, and
// gives that: whoever fetches it slowly holds up nothing but the next backup. It
// takes as much room on the disk as the vault has. While it is made the store
// keeps the pages that it copies, and grows with what is written meanwhile.
func (k *keeping) backup(ctx context.Context, who grant.Person) (made rest.Backup, err error) {
	select {
	case k.backing <- struct{}{}:
	case <-ctx.Done():
		return made, ctx.Err()
	}
	file, err := os.CreateTemp(k.path(""), ".backup-*")
	done := func() {
		file.Close()
		<-k.backing
	}
	if err != nil {
		<-k.backing
		return made, err
	}
	// The name is not needed, and a crash then leaves nothing.
	err = os.Remove(file.Name())
	var header backup.Header
	if err == nil {
		header, err = k.writeBackup(ctx, file)
	}
	if err == nil {
		made.Size, err = file.Seek(0, io.SeekEnd)
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = k.log.Append(ctx, audit.Entry{
			Actor: who.Name, Action: "vault.backup", Outcome: audit.Allowed,
			Reason: fmt.Sprintf("commit %d of epoch %d, %d bytes", header.Commit, header.Epoch, made.Size),
		})
	}
	if err != nil {
		done()
		return rest.Backup{}, err
	}
	made.File, made.Done, made.OpensWith = file, done, k.header.Load().OpensWith()
	return made, nil
}

// writeBackup copies store and log as they are at one moment.
func (k *keeping) writeBackup(ctx context.Context, file *os.File) (h backup.Header, err error) {
	b := k.rooms.barrier
	var copied *store.Copy
	log, err := k.log.Copy(ctx, func() (err error) {
		h.Commit, h.Epoch = b.Commit(), b.Epoch()
		copied, err = k.db.Copy()
		return err
	})
	if err != nil {
		return h, err
	}
	defer copied.Close()
	if h.Seal, err = k.header.Load().Text(); err != nil {
		return h, err
	}
	h.Vault, h.Made = k.header.Load().Vault(), time.Now().UTC().Truncate(time.Second)
	files := []backup.File{{Name: backup.StoreName, Size: copied.Size(), WriterTo: copied}}
	need := copied.Size()
	for _, f := range log.Files {
		files = append(files, backup.File{Name: f.Name, Size: f.Size, WriterTo: f})
		need += f.Size
	}
	if err := roomFor(k.path(""), need); err != nil {
		return h, err
	}
	return h, backup.Write(whileIn(ctx, file), b.BackupKey, h, files)
}

// ErrNoRoom means that the disk has too little room for something that can wait.
var ErrNoRoom = errors.New("there is too little room on the vault's disk")

// spare is what a backup leaves free for what cannot wait.
const spare = 64 << 20

func roomFor(dir string, need int64) error {
	if free := freeSpace(dir); free >= 0 && free < need+spare {
		return fmt.Errorf("%w: a backup takes %d MiB for a while, and %d MiB are free", ErrNoRoom, (need+spare)>>20, free>>20)
	}
	return nil
}

// writing ends with its context.
type writing struct {
	ctx context.Context
	w   io.Writer
}

func whileIn(ctx context.Context, w io.Writer) io.Writer { return writing{ctx, w} }

func (w writing) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(b)
}
