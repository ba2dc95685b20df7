package api

import (
	"context"
	"net/http"
	"time"
)

// Rekey says how far a rotation of the vault's keys has come. It answers POST /v1/rekey, which begins one, or finds
// one under way, and GET /v1/rekey.
type Rekey struct {
	Running  bool       `json:"running"`
	Records  int        `json:"records" doc:"how many there are"`
	Left     int        `json:"left" doc:"how many are still under old keys"`
	Resumed  bool       `json:"resumed" doc:"it goes on with one that a crash or a seal had cut short"`
	Started  *time.Time `json:"started" doc:"null: none was begun since the vault was unsealed"`
	Finished *time.Time `json:"finished" doc:"null: not at its end"`
	Problem  string     `json:"problem,omitempty" doc:"why it stopped before its end; nothing is lost by that"`
}

// Rekey begins to rotate the vault's keys, which goes on after it returns. It waits up to ten minutes.
func (c *Client) Rekey(ctx context.Context) (*Rekey, error) {
	var out Rekey
	if _, err := c.do(ctx, call{method: http.MethodPost, path: []string{"rekey"}, out: &out, timeout: longTimeout}); err != nil {
		return nil, err
	}
	return &out, nil
}

// RekeyState says how far the last rotation has come.
func (c *Client) RekeyState(ctx context.Context) (*Rekey, error) {
	return get[Rekey](ctx, c, nil, "rekey")
}
