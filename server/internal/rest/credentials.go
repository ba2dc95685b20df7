package rest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/fleet"
	"github.com/strongroom/strongroom/server/internal/people"
	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
)

func (r *REST) registerCredentials(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/credentials", summary: "List credentials", access: may(grant.CredentialView, grant.CredentialOwn)}, listCredentials)
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials", summary: "Add a credential", access: may(grant.CredentialCreate, grant.CredentialOwn), status: http.StatusCreated, maxBody: maxValues}, r.addCredential)
	add(r, doc, route{method: http.MethodGet, path: "/v1/credentials/{ref}", summary: "Show a credential without its secrets", access: may(grant.CredentialView, grant.CredentialOwn)}, showCredential)
	add(r, doc, route{method: http.MethodPatch, path: "/v1/credentials/{ref}", summary: "Change a credential", access: may(grant.CredentialEdit, grant.CredentialOwn), maxBody: maxValues}, r.editCredential)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/credentials/{ref}", summary: "Delete a credential", access: may(grant.CredentialDelete, grant.CredentialOwn)}, deleteCredential)
	add(r, doc, route{method: http.MethodGet, path: "/v1/credentials/{ref}/versions", summary: "List a credential's versions", access: may(grant.CredentialView, grant.CredentialOwn)}, listVersions)
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials/{ref}/reveal", summary: "Reveal a credential's secrets", access: may(grant.CredentialReveal, grant.CredentialOwn, grant.RequestMake)}, r.reveal)
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials/{ref}/rollback", summary: "Make an earlier version the newest", access: may(grant.CredentialEdit, grant.CredentialOwn)}, rollbackCredential)
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials/{ref}/disconnect", summary: "Stop a credential's delivery", access: may(grant.CredentialEdit, grant.CredentialOwn)}, switchCredential((*vault.Vault).Disconnect))
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials/{ref}/connect", summary: "Deliver a credential again", access: may(grant.CredentialEdit, grant.CredentialOwn)}, switchCredential((*vault.Vault).Connect))
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials/{ref}/transfer", summary: "Hand a credential to somebody else", access: may(grant.CredentialEdit, grant.CredentialOwn, grant.UserEdit)}, transferCredential)
}

type credentialQuery struct {
	Application string `query:"application" maxLength:"63"`
	Owner       string `query:"owner" maxLength:"63"`
	Tag         string `query:"tag" maxLength:"512" doc:"KEY=VALUE"`
	Search      string `query:"search" maxLength:"256" doc:"part of a name or description"`
	Page
}

func listCredentials(_ context.Context, c *call, in *credentialQuery) (api.CredentialList, error) {
	out := api.CredentialList{Items: []api.Credential{}}
	if in.Tag != "" && !strings.Contains(in.Tag, "=") {
		return out, usage("tag", "write it as KEY=VALUE")
	}
	after, limit, err := in.bounds()
	if err != nil {
		return out, err
	}
	filter := vault.Filter{Application: in.Application, Owner: in.Owner, Tag: in.Tag, Search: in.Search, After: after, Limit: limit}
	list, more := c.rooms.Vault.List(c.person, filter)
	for _, m := range list {
		out.Items = append(out.Items, credentialOf(m, c.rooms.Vault.Now()))
	}
	if more {
		out.Next = cursor(list[len(list)-1].Name)
	}
	return out, nil
}

func credentialOf(m credential.Metadata, now time.Time) api.Credential {
	return api.Credential{
		Name: m.Name, Kind: string(m.Kind), Application: m.Application, AuthType: string(m.AuthType),
		Owner: m.Owner, Default: m.Default, Version: m.Version, Created: m.Created, Updated: m.Updated,
		Expires: timeOrNull(m.Ends()), Disconnected: timeOrNull(m.Disconnected), Health: string(m.Health(now)), Tags: notNil(m.Tags),
		Revision: m.Revision,
	}
}

func showCredential(_ context.Context, c *call, in *ByRef) (api.CredentialDetail, error) {
	return detail(c, in.Ref)
}

func detail(c *call, ref string) (api.CredentialDetail, error) {
	m, v, err := c.rooms.Vault.Show(c.person, ref)
	if err != nil {
		return api.CredentialDetail{}, err
	}
	c.revision = m.Revision
	return api.CredentialDetail{
		Credential: credentialOf(m, c.rooms.Vault.Now()), Description: m.Description, Describe: m.Describe, Requestable: m.Requestable,
		Fields: notNil(v.Fields), SecretFields: texts(v.Secrets),
	}, nil
}

func (r *REST) addCredential(ctx context.Context, c *call, in *creates[api.CredentialAdd]) (api.CredentialDetail, error) {
	b := &in.Body
	if b.AuthType != "" && credential.AuthType(b.AuthType).Fields() == nil {
		return api.CredentialDetail{}, usage("auth_type", "there is no such one; strongroom application show lists those that there are")
	}
	sent := envelopes{b.Sealed, b.Name, b.Secrets, b.Variables, b.Masked}
	if err := fits(sent, b.Fields, b.Generate); err != nil {
		return api.CredentialDetail{}, err
	}
	value, shown, err := r.open(c, sent)
	if err != nil {
		return api.CredentialDetail{}, err
	}
	defer value.Wipe()
	said := *b
	said.Sealed, said.Secrets, said.Variables, said.Masked = api.Sealed{}, nil, nil, nil
	return once(ctx, c, making{key: in.IdempotencyKey, what: b.Name, body: said, secrets: value, shown: shown},
		func(ctx context.Context) (api.CredentialDetail, error) {
			m, err := c.rooms.Vault.Add(ctx, c.person, b.Name, vault.Change{
				Application: b.Application, AuthType: credential.AuthType(b.AuthType),
				Fields: union(b.Fields, shown), Value: value, Generate: b.Generate,
				Description: &b.Description, Describe: b.Describe, Tags: b.Tags, Expires: b.Expires,
				Default: &b.Default, Requestable: &b.Requestable,
			})
			if err != nil {
				return api.CredentialDetail{}, err
			}
			return detail(c, m.Name)
		}, func(name string) (api.CredentialDetail, error) { return detail(c, name) })
}

type credentialEdit struct {
	ByRef
	Precondition
	Body api.CredentialEdit
}

func (r *REST) editCredential(ctx context.Context, c *call, in *credentialEdit) (api.CredentialDetail, error) {
	b := &in.Body
	revision, err := in.revision()
	if err != nil {
		return api.CredentialDetail{}, err
	}
	sent := envelopes{b.Sealed, in.Ref, b.Secrets, b.Variables, b.Masked}
	if err := fits(sent, b.Fields, b.Generate); err != nil {
		return api.CredentialDetail{}, err
	}
	value, shown, err := r.open(c, sent)
	if err != nil {
		return api.CredentialDetail{}, err
	}
	defer value.Wipe()
	m, gained, err := c.rooms.Vault.Edit(ctx, c.person, in.Ref, vault.Change{
		Revision: revision,
		Fields:   union(b.Fields, shown), Value: value, Generate: b.Generate,
		Description: b.Description, Describe: b.Describe, Tags: b.Tags, Expires: b.Expires,
		Default: b.Default, Requestable: b.Requestable,
	})
	if err != nil {
		return api.CredentialDetail{}, err
	}
	out, err := detail(c, m.Name)
	out.AccessAdded = accessAdded(gained, c.rooms.Fleet.List(), []string{m.Name})
	return out, err
}

// maxAccess bounds how many pairs an answer shows.
const maxAccess = 100

// accessAdded shows what grants give that reach something newly: each host that
// they reach with each credential that is named.
func accessAdded(gained []grant.Grant, hosts []fleet.Host, credentials []string) []api.Access {
	out := []api.Access{}
	for _, g := range gained {
		for _, ref := range credentials {
			reached := false
			for _, h := range hosts {
				if !h.Revoked.IsZero() || !g.Reaches(h.Caller()) || len(out) == maxAccess {
					continue
				}
				reached = true
				out = append(out, api.Access{Grant: g.Name, Host: h.ID, Credential: ref})
			}
			if !reached && len(out) < maxAccess {
				out = append(out, api.Access{Grant: g.Name, Credential: ref})
			}
		}
	}
	return out
}

// fits holds the members against the kind of the credential.
func fits(sent envelopes, fields map[string]string, generate []string) error {
	custom := strings.Contains(sent.credential, "/")
	switch {
	case custom && len(sent.secrets)+len(fields)+len(generate) > 0:
		return usage("secrets, fields and generate", "they are for app credentials; this one has variables and masked")
	case !custom && len(sent.variables)+len(sent.masked) > 0:
		return usage("variables and masked", "they are for credentials of one's own, OWNER/NAME; this one has fields and secrets")
	}
	return nil
}

func union(a, b map[string]string) map[string]string {
	out := make(map[string]string, len(a)+len(b))
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

func notNil(m map[string]string) map[string]string { return union(m, nil) }

type credentialAt struct {
	ByRef
	Precondition
}

func deleteCredential(ctx context.Context, c *call, in *credentialAt) (api.CredentialDeleted, error) {
	revision, err := in.revision()
	if err != nil {
		return api.CredentialDeleted{}, err
	}
	m, _, err := c.rooms.Vault.Show(c.person, in.Ref)
	if err != nil {
		return api.CredentialDeleted{}, err
	}
	holding := c.rooms.Delivery.Holding(m.ID)
	m, changed, err := c.rooms.Vault.Delete(ctx, c.person, in.Ref, revision)
	out := api.CredentialDeleted{Deleted: m.Name, GrantsChanged: texts(changed), LeasesEnded: holding}
	if m.Default {
		out.DefaultOf = m.Application
	}
	return out, err
}

type rollback struct {
	ByRef
	Precondition
	Body api.Rollback
}

func rollbackCredential(ctx context.Context, c *call, in *rollback) (api.CredentialDetail, error) {
	revision, err := in.revision()
	if err != nil {
		return api.CredentialDetail{}, err
	}
	m, err := c.rooms.Vault.Rollback(ctx, c.person, in.Ref, in.Body.To, revision)
	if err != nil {
		return api.CredentialDetail{}, err
	}
	return detail(c, m.Name)
}

// switchCredential is disconnect and connect.
func switchCredential(do func(*vault.Vault, context.Context, grant.Person, string, uint64) (credential.Metadata, error)) func(context.Context, *call, *credentialAt) (api.CredentialSwitched, error) {
	return func(ctx context.Context, c *call, in *credentialAt) (api.CredentialSwitched, error) {
		revision, err := in.revision()
		if err != nil {
			return api.CredentialSwitched{}, err
		}
		m, _, err := c.rooms.Vault.Show(c.person, in.Ref)
		if err != nil {
			return api.CredentialSwitched{}, err
		}
		holding := c.rooms.Delivery.Holding(m.ID)
		if _, err := do(c.rooms.Vault, ctx, c.person, in.Ref, revision); err != nil {
			return api.CredentialSwitched{}, err
		}
		out := api.CredentialSwitched{}
		if out.CredentialDetail, err = detail(c, in.Ref); out.Disconnected != nil {
			out.LeasesEnded = holding
		}
		return out, err
	}
}

type transfer struct {
	ByRef
	Body api.Transfer
}

func transferCredential(ctx context.Context, c *call, in *transfer) (api.Transferred, error) {
	to, err := c.rooms.People.User(in.Body.To)
	if err != nil {
		return api.Transferred{}, inMember("to", err, people.ErrNoUser)
	}
	if !to.Disabled.IsZero() {
		return api.Transferred{}, usage("to", "this user is disabled")
	}
	receiver := vault.Receiver{ID: to.ID, Name: to.Name}
	if owner, _, custom := strings.Cut(in.Ref, "/"); custom {
		u, err := c.rooms.People.User(owner)
		if err != nil && !errors.Is(err, people.ErrNoUser) {
			return api.Transferred{}, err
		}
		if receiver.OwnerGone = u.Disabled; err != nil {
			receiver.OwnerGone = time.Unix(0, 0) // there is none of that name
		}
	}
	done, err := c.rooms.Vault.Transfer(ctx, c.person, in.Ref, receiver)
	return api.Transferred{Waiting: done.Waiting, GrantsChanged: texts(done.Grants)}, err
}

func listVersions(_ context.Context, c *call, in *ByRef) (api.CredentialVersions, error) {
	out := api.CredentialVersions{Items: []api.CredentialVersion{}}
	versions, err := c.rooms.Vault.Versions(c.person, in.Ref)
	for i, v := range versions {
		origins := []string{}
		for _, o := range v.Origins {
			origins = append(origins, o.String())
		}
		out.Items = append(out.Items, api.CredentialVersion{
			Version: v.Number, Current: i == 0, Created: v.Created, CreatedBy: v.CreatedBy, Origins: origins,
		})
	}
	return out, err
}

type revealRequest struct {
	Ref  string `path:"ref" maxLength:"127"`
	Body api.RevealRequest
}

// reveal makes the envelope first: the log shall not say that a value was
// revealed to somebody who cannot be given it.
func (r *REST) reveal(ctx context.Context, c *call, in *revealRequest) (api.RevealAnswer, error) {
	if in.Body.Request == "" {
		return api.RevealAnswer{}, usage("request", "give a random identifier, which is bound into each envelope")
	}
	sealer, enc, err := r.toClient(c, in.Body.PublicKey)
	if err != nil {
		return api.RevealAnswer{}, err
	}
	defer sealer.Wipe()
	opened, err := c.rooms.Vault.Open(ctx, grant.Caller{Person: &c.person}, in.Ref)
	if err != nil {
		return api.RevealAnswer{}, err
	}
	defer opened.Value.Wipe()
	out := api.RevealAnswer{Enc: enc, Version: opened.Version.Number, Secrets: map[string][]byte{}}
	about := envelope.Context{Request: in.Body.Request, Credential: in.Ref, Version: out.Version}
	for _, about.Field = range opened.Value.Names() {
		if out.Secrets[about.Field], err = sealer.Seal(opened.Value[about.Field].Reveal(), about); err != nil {
			return api.RevealAnswer{}, err
		}
	}
	return out, nil
}
