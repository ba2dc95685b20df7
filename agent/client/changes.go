package client

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Version names one version of a credential.
type Version struct {
	Credential string `json:"credential"` // its name
	Version    uint64 `json:"version"`
}

const (
	// question is longer than the agent keeps a question for changes open.
	question = 90 * time.Second
	// After a failure the pause doubles from the first to the last; each is drawn from the half below, so that the
	// jobs of a host do not come all at once when their agent is back.
	firstRest = 500 * time.Millisecond
	lastRest  = 30 * time.Second
)

// Changed waits until ref gives another credential or version than have, and answers nil then: Get has it. What has
// changed may be nothing that matters to the job: see [Credential.Same]. It goes on waiting while the agent or its
// server is away or too busy, and is told at once or, where the host had let go of its lease, within about a minute.
// It fails with ErrRefused once this job may not have the credential anymore, with ErrUsage, or with ctx's error.
func (c *Client) Changed(ctx context.Context, ref string, have Version) error {
	query := url.Values{"ref": {ref}, "credential": {have.Credential}, "version": {strconv.FormatUint(have.Version, 10)}}
	rest := firstRest
	for {
		pause := jitter(rest)
		now, later, err := c.askChanges(ctx, query)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrRefused), errors.Is(err, ErrUsage):
			return err
		case err != nil:
			rest = min(2*rest, lastRest)
		case now != (Version{}) && now != have:
			return nil
		default:
			rest = firstRest
			pause = max(later, jitter(firstRest))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// askChanges asks once: the version of now, or none and how long to wait before asking again.
func (c *Client) askChanges(ctx context.Context, query url.Values) (now Version, later time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, question)
	defer cancel()
	response, err := c.request(ctx, "/v1/credentials/changes", query)
	if err != nil {
		return Version{}, 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	switch {
	case err != nil:
		return Version{}, 0, c.unreachable(err)
	case response.StatusCode == http.StatusNoContent:
		if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 8); err == nil && seconds > 0 {
			later = jitter(time.Duration(seconds) * time.Second)
		}
		return Version{}, later, nil
	case response.StatusCode != http.StatusOK:
		return Version{}, 0, problem(response.StatusCode, body)
	}
	return now, 0, json.Unmarshal(body, &now)
}

// Same tells in constant time whether two credentials have the same fields with the same values: a new version may
// have, and what was built of the old one is then good still. It looks neither at names nor at versions.
func (c *Credential) Same(other *Credential) bool {
	same := len(c.Fields) == len(other.Fields)
	for name, value := range c.Fields {
		theirs, ok := other.Fields[name]
		if equal := subtle.ConstantTimeCompare(value, theirs) == 1; !equal || !ok {
			same = false
		}
	}
	return same
}
