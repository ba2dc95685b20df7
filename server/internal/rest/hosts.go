package rest

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/delivery"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/identity"
)

func (r *REST) registerHosts(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/hosts", summary: "List hosts"}, listHosts)
	add(r, doc, route{method: http.MethodGet, path: "/v1/hosts/{id}", summary: "Show a host"}, showHost)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/hosts/{id}", summary: "Revoke a host"}, revokeHost)
	add(r, doc, route{method: http.MethodPost, path: "/v1/hosts/join-tokens", summary: "Make a join token", status: http.StatusCreated}, addJoinToken)
}

func listHosts(_ context.Context, c *call, _ *nothing) (api.HostList, error) {
	out := api.HostList{Items: []api.Host{}}
	for _, h := range c.rooms.Fleet.List() {
		out.Items = append(out.Items, hostOf(h))
	}
	return out, nil
}

func showHost(_ context.Context, c *call, in *byID) (api.Host, error) {
	h, err := c.rooms.Fleet.Get(in.ID)
	return hostOf(h), err
}

func hostOf(h fleet.Host) api.Host {
	return api.Host{
		ID: h.ID, Name: h.Name, Labels: notNil(h.Labels), OS: h.OS, Version: h.Version, Enrolled: h.Enrolled,
		LastSeen: timeOrNull(h.LastSeen), Connected: h.Connected, Revoked: !h.Revoked.IsZero(), Frozen: !h.Frozen.IsZero(),
	}
}

func revokeHost(ctx context.Context, c *call, in *byID) (api.HostRevoked, error) {
	if err := c.rooms.Fleet.Revoke(ctx, c.person, in.ID); err != nil {
		return api.HostRevoked{}, err
	}
	out := api.HostRevoked{Host: in.ID, VersionsHeld: []api.VersionHeld{}}
	// Looked at afterwards, so that nothing is given out in between.
	for _, h := range c.rooms.Delivery.HeldBy(in.ID) {
		out.VersionsHeld = append(out.VersionsHeld, versionHeld(c, h))
	}
	return out, nil
}

// versionHeld names a credential unless it is somebody else's own.
func versionHeld(c *call, h delivery.Held) api.VersionHeld {
	out := api.VersionHeld{Credential: h.Credential, Version: h.Version}
	if m, ok := c.rooms.Vault.Get(h.Credential); ok && (m.Kind == credential.App || m.OwnerID == c.person.ID) {
		out.Credential = m.Name
	}
	return out
}

func addJoinToken(ctx context.Context, c *call, in *with[api.JoinTokenAdd]) (api.JoinToken, error) {
	life := cmp.Or(time.Duration(in.Body.TTL), time.Hour)
	token, expires, err := c.rooms.Fleet.NewJoinToken(ctx, c.person, in.Body.Labels, life, cmp.Or(in.Body.Uses, 1))
	if err != nil {
		return api.JoinToken{}, err
	}
	join := identity.Join{Server: c.rooms.AgentsAddress, Fingerprint: c.rooms.Fleet.RootFingerprint(), Token: token}
	return api.JoinToken{Token: token, Join: join.Text(), Expires: expires}, nil
}
