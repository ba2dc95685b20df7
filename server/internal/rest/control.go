package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/envelope"
)

func (r *REST) registerControl(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/status", summary: "How the server is", access: anytime}, r.status)
	add(r, doc, route{method: http.MethodGet, path: "/v1/envelope", summary: "A key to seal the values of one request to, on this connection", access: anytime}, r.issueEnvelope)
	add(r, doc, route{method: http.MethodPost, path: "/v1/seal", summary: "Seal the vault"}, r.seal)
	add(r, doc, route{method: http.MethodPost, path: "/v1/unseal", summary: "Unseal the vault", access: anytime, maxBody: 64 << 10, timeout: longTime}, r.unseal)
}

func (r *REST) status(context.Context, *call, *nothing) (api.Status, error) {
	s := r.control.Status()
	if s.Warnings == nil {
		s.Warnings = []string{}
	}
	return s, nil
}

// seal leaves the rooms first: the server waits until they are empty.
func (r *REST) seal(ctx context.Context, c *call, _ *nothing) (api.Seal, error) {
	c.leave()
	if err := r.control.Seal(context.WithoutCancel(ctx), c.person); err != nil {
		return api.Seal{}, err
	}
	return api.Seal{Sealed: true}, nil
}

// unseal is asked for by anybody, so its attempts are few: one is a key that was
// sent as it must be.
func (r *REST) unseal(ctx context.Context, c *call, in *with[api.UnsealRequest]) (api.Seal, error) {
	opener, err := r.opener(c, in.Body.Sealed)
	if err != nil {
		return api.Seal{}, err
	}
	defer opener.Wipe()
	key, err := opener.Open(in.Body.KeyFile, envelope.Context{Request: in.Body.Request, Field: "key_file"})
	if err != nil {
		return api.Seal{}, err
	}
	defer key.Wipe()
	if !r.limits.unseal(c.request.RemoteAddr, r.now()) {
		return api.Seal{}, busy("too many attempts to unseal: wait a minute")
	}
	return api.Seal{}, r.control.Unseal(ctx, key)
}
