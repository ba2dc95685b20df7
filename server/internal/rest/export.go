package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/strongroom/strongroom/server/internal/audit"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

// An export may take exportTime in all, and a client that takes less than exportPiece in exportPace is cut off.
const (
	exportTime  = time.Hour
	exportPiece = 64 << 10
	exportPace  = 30 * time.Second
)

// registerExport is not all huma's: the answer is streamed, a JSON document a line. An answer that is cut off is a
// connection that is cut off, so that nobody takes a part for the whole.
func (r *REST) registerExport(doc huma.API) {
	at := route{
		method: http.MethodGet, path: "/v1/audit/export", summary: "Read the whole log, oldest first, an entry a line",
		access: may(grant.AuditView), timeout: exportTime,
	}
	r.routes[at.pattern()] = &at
	op := at.operation(doc)
	op.Responses["200"] = &huma.Response{
		Description: "entries as JSON, one a line", Content: map[string]*huma.MediaType{api.ExportType: {}},
	}
	huma.Register(doc, op, func(ctx context.Context, in *AuditFilter) (*huma.StreamResponse, error) {
		c := callOf(ctx)
		q := in.query(c)
		entry := audit.Entry{Actor: c.person.Name, Action: "audit.export", Outcome: audit.Allowed}
		if _, err := c.rooms.Audit.Append(ctx, entry); err != nil {
			return nil, r.problem(c, at.pattern(), err)
		}
		return &huma.StreamResponse{Body: func(to huma.Context) {
			to.SetHeader("Content-Type", api.ExportType)
			_, out := humago.Unwrap(to)
			w := paced{out, http.NewResponseController(out)}
			if err := export(ctx, c, q, w); err != nil {
				r.log.Warn("an export of the log was not sent to its end", "error", err)
				panic(http.ErrAbortHandler)
			}
		}}, nil
	})
}

// export writes what the query matches.
func export(ctx context.Context, c *call, q audit.Query, w paced) error {
	buffered := bufio.NewWriterSize(w, exportPiece)
	lines := json.NewEncoder(buffered)
	err := c.rooms.Audit.Export(ctx, c.rooms.AuditKeys, q, func(e audit.Entry) error { return lines.Encode(entryOf(e)) })
	if err != nil {
		return err
	}
	return buffered.Flush()
}

// paced gives each piece its own time to be taken.
type paced struct {
	to   io.Writer
	conn *http.ResponseController
}

// Write is part of io's contract.
func (p paced) Write(b []byte) (int, error) {
	if err := p.conn.SetWriteDeadline(time.Now().Add(exportPace)); err != nil {
		return 0, err
	}
	return p.to.Write(b)
}
