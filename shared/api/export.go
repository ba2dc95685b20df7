package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ExportType is what GET /v1/audit/export answers with: AuditEntry as JSON, one
// a line.
const ExportType = "application/jsonl"

// exportPace is how long the client waits for the next bytes. A filter may leave
// out most of a long log.
const exportPace = 5 * time.Minute

func (q AuditQuery) values() url.Values {
	values := query("actor", q.Actor, "action", q.Action, "credential", q.Credential, "host", q.Host, "outcome", q.Outcome, "cursor", q.Cursor)
	if !q.Since.IsZero() {
		values.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if !q.Until.IsZero() {
		values.Set("until", q.Until.UTC().Format(time.RFC3339Nano))
	}
	return values
}

// ExportAudit writes the entries of the log that q matches to w, oldest first,
// each an AuditEntry as JSON in a line of its own; Cursor and Limit are not for
// it. After an error w has a part of them.
func (c *Client) ExportAudit(ctx context.Context, q AuditQuery, w io.Writer) (bytes int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(exportPace, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	q.Cursor = ""
	req, err := c.request(ctx, call{method: http.MethodGet, path: []string{"audit", "export"}, query: q.values()})
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, notReachable(c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, refusal(resp)
	}
	for {
		late.Reset(exportPace)
		n, err := io.CopyN(w, resp.Body, 256<<10)
		bytes += n
		var network interface{ Timeout() bool }
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && ctx.Err() == nil:
			return bytes, nil
		case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), ctx.Err() != nil:
			return bytes, fmt.Errorf("%w: the export was cut off after %d bytes", ErrNotReachable, bytes)
		default:
			return bytes, err
		}
	}
}
