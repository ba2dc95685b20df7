package rest

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

// Backup is a backup that is ready to be sent.
type Backup struct {
	File      *os.File
	Size      int64
	OpensWith string // in words
	Done      func() // gives the file back
}

// A client that takes less than this much in this long is cut off.
const (
	backupPiece = 1 << 20
	backupPace  = 30 * time.Second
)

// registerBackup is not huma's: the answer is a file, and may take as long as it takes.
func (r *REST) registerBackup(doc huma.API) {
	at := route{method: http.MethodGet, path: "/v1/backup", summary: "Take a backup of the vault", access: may(grant.VaultBackup), timeout: longTime}
	r.routes[at.pattern()] = &at
	op := at.operation(doc)
	op.Responses["200"] = &huma.Response{
		Description: "the backup's file", Content: map[string]*huma.MediaType{"application/octet-stream": {}},
	}
	doc.OpenAPI().AddOperation(&op)
	r.mux.HandleFunc(at.pattern(), func(w http.ResponseWriter, req *http.Request) {
		c := callOf(req.Context())
		made, err := c.rooms.Keeping.Backup(req.Context(), c.person)
		if err != nil {
			write(w, r.problem(c, at.pattern(), err))
			return
		}
		defer made.Done()
		ending := c.unsealed.ending
		c.leave() // sealing need not wait for what is ciphertext in a file already
		h := w.Header()
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Length", strconv.FormatInt(made.Size, 10))
		h.Set(api.OpensWithHeader, made.OpensWith)
		if err := sendPieces(ending, w, made); err != nil {
			r.log.Warn("a backup was not fetched to its end", "error", err)
		}
	})
}

// sendPieces stops at once where the server is sealed: the file then stays short, which the client sees.
func sendPieces(ending context.Context, w http.ResponseWriter, made Backup) error {
	conn := http.NewResponseController(w)
	for left := made.Size; left > 0; {
		if err := ending.Err(); err != nil {
			return err
		}
		if err := conn.SetWriteDeadline(time.Now().Add(backupPace)); err != nil {
			return err
		}
		n, err := io.CopyN(w, made.File, min(left, backupPiece))
		if left -= n; err != nil {
			return err
		}
	}
	return nil
}
