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
		entry := audit.Entry{Actor: c.person.Name, Action: "audit.export", Outcome: audit.Allowed, Reason: in.text()}
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

// text is what the log says of a filter: what somebody types is not in it.
func (f AuditFilter) text() string {
	text := "entries"
	for _, one := range []struct {
		given bool
		text  string
	}{
		{!f.Since.IsZero(), " since " + f.Since.UTC().Format(time.RFC3339)},
		{!f.Until.IsZero(), " until " + f.Until.UTC().Format(time.RFC3339)},
		{f.Actor != "", " of one actor"}, {f.Action != "", " of one action"}, {f.Credential != "", " of one credential"},
		{f.Host != "", " of one host"}, {f.Outcome != "", " that are " + f.Outcome},
	} {
		if one.given {
			text += one.text
		}
	}
	if text == "entries" {
		return "all entries"
	}
	return text
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
