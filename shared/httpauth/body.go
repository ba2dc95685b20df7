package httpauth

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// readBody reads a request's body and puts an equal one in its place, so that it can be signed and then sent.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	_ = r.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("reading the body in order to sign it: %w", err)
	}
	if len(b) > maxBody {
		return nil, fmt.Errorf("%w: it is longer than %d bytes, which is the most that can be signed", ErrBody, maxBody)
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength = int64(len(b))
	return b, nil
}

// replayable says whether the request can be sent more than once.
func replayable(r *http.Request) bool {
	return r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
}

// copyOf makes a request of its own, with a fresh body, for one sending.
func copyOf(r *http.Request) (*http.Request, error) {
	out := r.Clone(r.Context())
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, fmt.Errorf("reading the body anew: %w", err)
		}
		out.Body = body
	}
	return out, nil
}
