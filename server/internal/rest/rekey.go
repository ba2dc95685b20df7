package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

func (r *REST) registerRekey(doc huma.API) {
	add(r, doc, route{method: http.MethodPost, path: "/v1/rekey", summary: "Rotate the vault's keys", access: may(grant.VaultKeys), timeout: longTime}, startRekey)
	add(r, doc, route{method: http.MethodGet, path: "/v1/rekey", summary: "How far the rotation of the vault's keys is", access: may(grant.VaultKeys)}, showRekey)
}

func startRekey(ctx context.Context, c *call, _ *nothing) (api.Rekey, error) {
	return c.rooms.Keeping.Rekey(ctx, c.person)
}

func showRekey(_ context.Context, c *call, _ *nothing) (api.Rekey, error) {
	return c.rooms.Keeping.RekeyState(), nil
}
