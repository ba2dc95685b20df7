package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// OpensWithHeader is the header of the answer to GET /v1/backup that says in words what opens the backup.
const OpensWithHeader = "Strongroom-Opens-With"

// Backup is what the client was sent.
type Backup struct {
	Bytes     int64  `json:"bytes"`
	OpensWith string `json:"opens_with"`
}

// backupPace is how long the client waits for the next bytes. The server first makes the whole backup.
const backupPace = time.Minute

// Backup writes a backup of the vault to w. After an error w has a part of it, which is worthless.
func (c *Client) Backup(ctx context.Context, w io.Writer) (*Backup, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(longTimeout, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	req, err := c.request(ctx, call{method: http.MethodGet, path: []string{"backup"}})
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, notReachable(c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	if resp.ContentLength <= 0 {
		return nil, fmt.Errorf("%w: it does not say how long the backup is", ErrFailed)
	}
	var n int64
	for n < resp.ContentLength {
		late.Reset(backupPace)
		m, err := io.CopyN(w, resp.Body, min(1<<20, resp.ContentLength-n))
		n += m
		var network interface{ Timeout() bool }
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), ctx.Err() != nil:
			return nil, fmt.Errorf("%w: the backup was cut off after %d of %d bytes", ErrNotReachable, n, resp.ContentLength)
		case err != nil:
			return nil, err
		}
	}
	return &Backup{Bytes: n, OpensWith: resp.Header.Get(OpensWithHeader)}, nil
}
