package rest

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/delivery"
	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
	"github.com/strongroom/strongroom/shared/identity"
)

func (r *REST) registerHosts(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/hosts", summary: "List hosts", access: may(grant.HostView)}, listHosts)
	add(r, doc, route{method: http.MethodGet, path: "/v1/hosts/{id}", summary: "Show a host", access: may(grant.HostView)}, showHost)
	add(r, doc, route{method: http.MethodPatch, path: "/v1/hosts/{id}", summary: "Label a host", access: may(grant.HostLabel)}, labelHost)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/hosts/{id}", summary: "Revoke a host", access: may(grant.HostRevoke)}, revokeHost)
	add(r, doc, route{method: http.MethodPost, path: "/v1/hosts/join-tokens", summary: "Make a join token", access: may(grant.HostJoin), status: http.StatusCreated}, addJoinToken)
}

func listHosts(_ context.Context, c *call, _ *nothing) (api.HostList, error) {
	out := api.HostList{Items: []api.Host{}}
	for _, h := range c.rooms.Fleet.List() {
		out.Items = append(out.Items, hostOf(h))
	}
	return out, nil
}

func showHost(_ context.Context, c *call, in *ByID) (api.Host, error) {
	h, err := c.rooms.Fleet.Get(in.ID)
	if err != nil {
		return api.Host{}, err
	}
	c.revision = h.Revision
	return hostOf(h), nil
}

func hostOf(h fleet.Host) api.Host {
	return api.Host{
		ID: h.ID, Name: h.Name, Revision: h.Revision, Labels: notNil(h.Labels), OS: h.OS, Version: h.Version, Enrolled: h.Enrolled,
		LastSeen: timeOrNull(h.LastSeen), Connected: h.Connected, Revoked: !h.Revoked.IsZero(), Frozen: !h.Frozen.IsZero(),
	}
}

type hostLabel struct {
	ByID
	Precondition
	Body api.HostLabel
}

func labelHost(ctx context.Context, c *call, in *hostLabel) (api.HostLabelled, error) {
	revision, err := in.revision()
	if err != nil {
		return api.HostLabelled{}, err
	}
	var gained []grant.Grant
	h, err := c.rooms.Fleet.Label(ctx, c.person, in.ID, revision, in.Body.Labels, judgeLabels(c.rooms.Vault, c.person, &gained))
	if err != nil {
		return api.HostLabelled{}, err
	}
	c.revision = h.Revision
	out := api.HostLabelled{Host: hostOf(h), AccessAdded: []api.Access{}}
	for _, g := range gained {
		out.AccessAdded = append(out.AccessAdded, accessAdded([]grant.Grant{g}, []fleet.Host{h}, c.rooms.Vault.Named(c.person, g))...)
	}
	out.AccessAdded = out.AccessAdded[:min(len(out.AccessAdded), maxAccess)]
	return out, nil
}

// judgeLabels judges for Fleet.Label by the grants that there are and by who may grant. gained are those that give more.
func judgeLabels(v *vault.Vault, who grant.Person, gained *[]grant.Grant) func(before, after grant.Host, store func() error) error {
	return func(before, after grant.Host, store func() error) error {
		return v.HoldGrants(func() (err error) {
			if *gained, err = v.WidensHost(who, before, after); err != nil {
				return err
			}
			return store()
		})
	}
}

func revokeHost(ctx context.Context, c *call, in *ByID) (api.HostRevoked, error) {
	if err := c.rooms.Fleet.Revoke(ctx, c.person, in.ID); err != nil {
		return api.HostRevoked{}, err
	}
	out := api.HostRevoked{Host: in.ID, VersionsHeld: []api.VersionHeld{}}
	// Looked at afterwards, so that nothing is given out in between.
	for _, h := range c.rooms.Delivery.HeldBy(in.ID) {
		if name, ok := heldName(c, h); ok {
			out.VersionsHeld = append(out.VersionsHeld, api.VersionHeld{Credential: name, Version: h.Version})
		} else {
			out.PrivateHeld = true
		}
	}
	return out, nil
}

// heldName names a credential, and somebody else's own, or one that is gone, by its ID to those who find that in the log.
func heldName(c *call, h delivery.Held) (name string, ok bool) {
	if m, ok := c.rooms.Vault.Get(h.Credential); ok && (m.Kind == credential.App || m.OwnerID == c.person.ID) {
		return m.Name, true
	}
	return h.Credential, c.person.Can(grant.AuditView)
}

func addJoinToken(ctx context.Context, c *call, in *creates[api.JoinTokenAdd]) (api.JoinToken, error) {
	if _, err := c.rooms.Vault.WidensHost(c.person, grant.Host{}, grant.Host{Labels: in.Body.Labels}); err != nil {
		return api.JoinToken{}, err
	}
	life := cmp.Or(time.Duration(in.Body.TTL), time.Hour)
	return once(ctx, c, making{key: in.IdempotencyKey, body: in.Body}, func(ctx context.Context) (api.JoinToken, error) {
		maker := c.person
		if c.token.Scopes != nil && !maker.Can(grant.GrantEdit) {
			maker.ID = "" // what is for less than its person may do leaves behind nothing that is for more
		}
		token, expires, err := c.rooms.Fleet.NewJoinToken(ctx, maker, in.Body.Labels, life, cmp.Or(in.Body.Uses, 1))
		if err != nil {
			return api.JoinToken{}, err
		}
		join := identity.Join{Server: c.rooms.AgentsAddress, Fingerprint: c.rooms.Fleet.RootFingerprint(), Token: token}
		return api.JoinToken{Token: token, Join: join.Text(), Expires: expires}, nil
	}, nil)
}
