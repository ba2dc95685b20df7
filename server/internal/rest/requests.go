package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

// Whose request it is decides the vault.
func (r *REST) registerRequests(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/requests", summary: "List requests of one's own and those to answer", access: signedIn}, listRequests)
	add(r, doc, route{method: http.MethodPost, path: "/v1/requests", summary: "Ask for somebody's credential", access: may(grant.RequestMake), status: http.StatusCreated}, makeRequest)
	add(r, doc, route{method: http.MethodPost, path: "/v1/requests/{number}/approve", summary: "Give what a request asks for", access: may(grant.CredentialOwn)}, approveRequest)
	add(r, doc, route{method: http.MethodPost, path: "/v1/requests/{number}/deny", summary: "Refuse a request", access: may(grant.CredentialOwn)}, denyRequest)
	add(r, doc, route{method: http.MethodPost, path: "/v1/requests/{number}/revoke", summary: "Take an approval back, or a request of one's own", access: signedIn}, revokeRequest)
}

type ByNumber struct {
	Number uint64 `path:"number" minimum:"1"`
}

func requestOf(r vault.Request) api.Request {
	return api.Request{
		Number: r.Number, Credential: r.Name, Requester: r.Requester, Reason: r.Reason, Access: string(r.Access),
		Host: r.Host, Jobs: jobsOf(r.Jobs), Status: string(r.Status),
		Created: r.Created, Decided: timeOrNull(r.Decided), Until: timeOrNull(r.Until),
	}
}

func listRequests(_ context.Context, c *call, _ *nothing) (api.RequestList, error) {
	out := api.RequestList{Items: []api.Request{}}
	for _, r := range c.rooms.Vault.Requests(c.person) {
		out.Items = append(out.Items, requestOf(r))
	}
	return out, nil
}

func makeRequest(ctx context.Context, c *call, in *creates[api.RequestMake]) (api.Request, error) {
	b := in.Body
	if b.Host != "" {
		if _, err := c.rooms.Fleet.Get(b.Host); err != nil {
			return api.Request{}, inMember("host", err, fleet.ErrNotFound)
		}
	}
	return once(ctx, c, making{key: in.IdempotencyKey, body: b}, func(ctx context.Context) (api.Request, error) {
		r, err := c.rooms.Vault.MakeRequest(ctx, c.person, b.Credential, vault.Request{
			Reason: b.Reason, Access: grant.Access(b.Access), Host: b.Host, Jobs: grant.Jobs(b.Jobs),
		})
		return requestOf(r), inMember("credential", err, vault.ErrNotFound)
	}, nil)
}

type requestApprove struct {
	ByNumber
	Body api.RequestApprove
}

func approveRequest(ctx context.Context, c *call, in *requestApprove) (api.Request, error) {
	r, err := c.rooms.Vault.Approve(ctx, c.person, in.Number, timeOrZero(in.Body.Until))
	return requestOf(r), err
}

func denyRequest(ctx context.Context, c *call, in *ByNumber) (api.Request, error) {
	r, err := c.rooms.Vault.Deny(ctx, c.person, in.Number)
	return requestOf(r), err
}

func revokeRequest(ctx context.Context, c *call, in *ByNumber) (api.Request, error) {
	r, err := c.rooms.Vault.RevokeRequest(ctx, c.person, in.Number)
	return requestOf(r), err
}
