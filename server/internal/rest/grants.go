package rest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

func (r *REST) registerGrants(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/grants", summary: "List grants", access: may(grant.GrantView)}, listGrants)
	add(r, doc, route{method: http.MethodPost, path: "/v1/grants", summary: "Make a grant", access: may(grant.GrantEdit, grant.CredentialOwn), status: http.StatusCreated}, addGrant)
	add(r, doc, route{method: http.MethodGet, path: "/v1/grants/{name}", summary: "Show a grant", access: may(grant.GrantView, grant.CredentialOwn)}, showGrant)
	add(r, doc, route{method: http.MethodPut, path: "/v1/grants/{name}", summary: "Change a grant", access: may(grant.GrantEdit, grant.CredentialOwn)}, editGrant)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/grants/{name}", summary: "Revoke a grant", access: may(grant.GrantEdit, grant.CredentialOwn)}, revokeGrant)
	add(r, doc, route{method: http.MethodPost, path: "/v1/explain", summary: "What the gate would decide, and why", access: may(grant.GrantView)}, explain)
}

func listGrants(_ context.Context, c *call, _ *nothing) (api.GrantList, error) {
	out := api.GrantList{Items: []api.Grant{}}
	for _, g := range c.rooms.Vault.Grants(c.person) {
		out.Items = append(out.Items, grantOf(g))
	}
	return out, nil
}

func showGrant(_ context.Context, c *call, in *ByName) (api.Grant, error) {
	g, err := oneGrant(c, in.Name)
	return grantOf(g), err
}

func addGrant(ctx context.Context, c *call, in *creates[api.GrantRule]) (api.GrantMade, error) {
	return once(ctx, c, making{key: in.IdempotencyKey, what: in.Body.Name, body: in.Body},
		func(ctx context.Context) (api.GrantMade, error) {
			if _, err := c.rooms.Vault.AddGrant(ctx, c.person, ruleOf(in.Body)); err != nil {
				return api.GrantMade{}, inMember("credentials", err, vault.ErrNotFound)
			}
			return madeGrant(c, in.Body.Name)
		}, func(name string) (api.GrantMade, error) { return madeGrant(c, name) })
}

type grantEdit struct {
	ByName
	Precondition
	Body api.GrantRule
}

func editGrant(ctx context.Context, c *call, in *grantEdit) (api.GrantMade, error) {
	revision, err := in.revision()
	if err != nil {
		return api.GrantMade{}, err
	}
	if in.Body.Name != in.Name {
		return api.GrantMade{}, usage("name", "a grant keeps its name")
	}
	if _, err := c.rooms.Vault.EditGrant(ctx, c.person, ruleOf(in.Body), revision); err != nil {
		return api.GrantMade{}, inMember("credentials", err, vault.ErrNotFound)
	}
	return madeGrant(c, in.Name)
}

func oneGrant(c *call, name string) (grant.Grant, error) {
	g, err := c.rooms.Vault.Grant(c.person, name)
	c.revision = g.Revision
	return g, err
}

func madeGrant(c *call, name string) (api.GrantMade, error) {
	g, err := oneGrant(c, name)
	if err != nil {
		return api.GrantMade{}, err
	}
	return api.GrantMade{Grant: grantOf(g), Reaches: reached(c, g)}, nil
}

// maxReached bounds how many hosts an answer names.
const maxReached = 20

// reached says which hosts a grant is for now, to those who may list them.
func reached(c *call, g grant.Grant) *api.HostsReached {
	if !c.person.Can(grant.HostView) {
		return nil
	}
	out := &api.HostsReached{Hosts: []string{}}
	for _, h := range c.rooms.Fleet.List() {
		if !h.Revoked.IsZero() || !h.Frozen.IsZero() || !g.Reaches(h.Caller()) {
			continue
		}
		if out.Total++; out.Total <= maxReached {
			out.Hosts = append(out.Hosts, cmp.Or(h.Name, h.ID))
		}
	}
	return out
}

func ruleOf(b api.GrantRule) grant.Grant {
	return grant.Grant{
		Name: b.Name, Credentials: b.Credentials, Applications: b.Applications, Tags: b.Tags,
		Hosts: b.Hosts, HostLabels: b.HostLabels, AnyHost: b.AnyHost,
		Conditions: grant.Conditions{
			Jobs: grant.Jobs(b.Jobs), Access: grant.Access(b.Access),
			TTL: time.Duration(b.TTL), Offline: time.Duration(b.Offline), Until: timeOrZero(b.Until),
		},
	}
}

func grantOf(g grant.Grant) api.Grant {
	return api.Grant{
		GrantRule: api.GrantRule{
			Name: g.Name, Credentials: texts(g.Credentials), Applications: texts(g.Applications), Tags: texts(g.Tags),
			Hosts: texts(g.Hosts), HostLabels: texts(g.HostLabels), AnyHost: g.AnyHost, Jobs: jobsOf(g.Jobs),
			Access: string(g.Access), TTL: api.Duration(g.TTL), Offline: api.Duration(g.Offline), Until: timeOrNull(g.Until),
		},
		Empty: g.Empty(), Created: g.Created, CreatedBy: g.CreatedBy, Revision: g.Revision,
	}
}

func jobsOf(j grant.Jobs) api.Jobs {
	return api.Jobs{
		JobUsers: texts(j.JobUsers), JobUnits: texts(j.JobUnits), JobContainers: texts(j.JobContainers),
		JobExes: texts(j.JobExes), JobExeHashes: texts(j.JobExeHashes), JobClaims: texts(j.JobClaims),
	}
}

// texts makes a JSON array of what may be nil.
func texts(in []string) []string { return append([]string{}, in...) }

func revokeGrant(ctx context.Context, c *call, in *ByName) (api.GrantRevoked, error) {
	g, err := c.rooms.Vault.Grant(c.person, in.Name)
	if err != nil {
		return api.GrantRevoked{}, err
	}
	ended := leasesBy(c.rooms, g.ID)
	if err := c.rooms.Vault.RevokeGrant(ctx, c.person, in.Name); err != nil {
		return api.GrantRevoked{}, err
	}
	return api.GrantRevoked{Revoked: in.Name, LeasesEnded: ended}, nil
}

// leasesBy counts what hosts hold by one grant alone.
func leasesBy(rooms *Rooms, id string) int {
	n := 0
	for _, h := range rooms.Fleet.List() {
		for _, held := range rooms.Delivery.HeldBy(h.ID) {
			m, ok := rooms.Vault.Get(held.Credential)
			if !ok {
				continue
			}
			if d := rooms.Vault.Permits(h.Caller(), m); len(d.Grants) == 1 && d.Grants[0].ID == id {
				n++
			}
		}
	}
	return n
}

func explain(_ context.Context, c *call, in *with[api.ExplainRequest]) (api.Explanation, error) {
	b := in.Body
	if _, err := credential.ParseReference(b.Credential); err != nil {
		return api.Explanation{}, err
	}
	h, err := c.rooms.Fleet.Get(b.Host)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return api.Explanation{Reason: grant.ReasonHostUnknown}, nil
	case err != nil:
		return api.Explanation{}, err
	case !h.Revoked.IsZero():
		return api.Explanation{Reason: grant.ReasonHostRevoked}, nil
	case !h.Frozen.IsZero():
		return api.Explanation{Reason: grant.ReasonHostFrozen}, nil
	}
	d := c.rooms.Vault.Explain(c.person, h.Caller(), b.Credential, jobOf(b.Job))
	out := api.Explanation{Allowed: d.Allowed, Reason: d.Reason}
	if d.Allowed && len(d.Grants) > 0 {
		out.Grant = d.Grants[0].Name
	}
	return out, nil
}

// jobOf takes a user that is a number as a uid, as grants do.
func jobOf(j api.Job) grant.Job {
	job := grant.Job{User: j.User, Unit: j.Unit, Container: j.Container, Exe: j.Exe, ExeSHA256: j.SHA256, Claims: j.Claims}
	if grant.IsUID(j.User) {
		job.User, job.UID = "", j.User
	}
	return job
}
