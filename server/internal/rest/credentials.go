package rest

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/envelope"
	"github.com/strongroom/strongroom/shared/grant"
)

func (r *REST) registerCredentials(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/credentials", summary: "List credentials"}, listCredentials)
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials", summary: "Add a credential", status: http.StatusCreated, maxBody: maxValues}, r.addCredential)
	add(r, doc, route{method: http.MethodGet, path: "/v1/credentials/{ref}", summary: "Show a credential without its secrets"}, showCredential)
	add(r, doc, route{method: http.MethodPatch, path: "/v1/credentials/{ref}", summary: "Change a credential", maxBody: maxValues}, r.editCredential)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/credentials/{ref}", summary: "Delete a credential"}, deleteCredential)
	add(r, doc, route{method: http.MethodGet, path: "/v1/credentials/{ref}/versions", summary: "List a credential's versions"}, listVersions)
	add(r, doc, route{method: http.MethodPost, path: "/v1/credentials/{ref}/reveal", summary: "Reveal a credential's secrets"}, r.reveal)
	add(r, doc, route{method: http.MethodGet, path: "/v1/applications", summary: "List the catalogue"}, listApplications)
	add(r, doc, route{method: http.MethodGet, path: "/v1/applications/{name}", summary: "Show an application"}, showApplication)
}

type credentialQuery struct {
	Application string `query:"application" maxLength:"63"`
	Owner       string `query:"owner" maxLength:"63"`
	Tag         string `query:"tag" maxLength:"512" doc:"KEY=VALUE"`
	Search      string `query:"search" maxLength:"256" doc:"part of a name or description"`
}

func listCredentials(_ context.Context, c *call, in *credentialQuery) (api.CredentialList, error) {
	out := api.CredentialList{Items: []api.Credential{}}
	if in.Tag != "" && !strings.Contains(in.Tag, "=") {
		return out, usage("tag", "write it as KEY=VALUE")
	}
	filter := vault.Filter{Application: in.Application, Owner: in.Owner, Tag: in.Tag, Search: in.Search}
	for _, m := range c.rooms.Vault.List(c.person, filter) {
		out.Items = append(out.Items, credentialOf(m))
	}
	return out, nil
}

func credentialOf(m credential.Metadata) api.Credential {
	return api.Credential{
		Name: m.Name, Kind: string(m.Kind), Application: m.Application, AuthType: string(m.AuthType),
		Owner: m.Owner, Default: m.Default, Version: m.Version, Created: m.Created, Updated: m.Updated,
		Expires: timeOrNull(m.Expires), Health: "unknown", Tags: notNil(m.Tags),
	}
}

func showCredential(_ context.Context, c *call, in *byRef) (api.CredentialDetail, error) {
	return detail(c, in.Ref)
}

func detail(c *call, ref string) (api.CredentialDetail, error) {
	m, v, err := c.rooms.Vault.Show(c.person, ref)
	if err != nil {
		return api.CredentialDetail{}, err
	}
	return api.CredentialDetail{
		Credential: credentialOf(m), Description: m.Description, Describe: m.Describe, Requestable: m.Requestable,
		Fields: notNil(v.Fields), SecretFields: texts(v.Secrets),
	}, nil
}

func (r *REST) addCredential(ctx context.Context, c *call, in *with[api.CredentialAdd]) (api.CredentialDetail, error) {
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
}

type credentialEdit struct {
	Ref  string `path:"ref" maxLength:"127"`
	Body api.CredentialEdit
}

func (r *REST) editCredential(ctx context.Context, c *call, in *credentialEdit) (api.CredentialDetail, error) {
	b := &in.Body
	sent := envelopes{b.Sealed, in.Ref, b.Secrets, b.Variables, b.Masked}
	if err := fits(sent, b.Fields, b.Generate); err != nil {
		return api.CredentialDetail{}, err
	}
	value, shown, err := r.open(c, sent)
	if err != nil {
		return api.CredentialDetail{}, err
	}
	defer value.Wipe()
	m, err := c.rooms.Vault.Edit(ctx, c.person, in.Ref, vault.Change{
		Fields: union(b.Fields, shown), Value: value, Generate: b.Generate,
		Description: b.Description, Describe: b.Describe, Tags: b.Tags, Expires: b.Expires,
		Default: b.Default, Requestable: b.Requestable,
	})
	if err != nil {
		return api.CredentialDetail{}, err
	}
	return detail(c, m.Name)
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

func deleteCredential(ctx context.Context, c *call, in *byRef) (api.CredentialDeleted, error) {
	m, _, err := c.rooms.Vault.Show(c.person, in.Ref)
	if err != nil {
		return api.CredentialDeleted{}, err
	}
	holding := c.rooms.Delivery.Holding(m.ID)
	m, changed, err := c.rooms.Vault.Delete(ctx, c.person, in.Ref)
	return api.CredentialDeleted{
		Deleted: m.Name, GrantsChanged: texts(changed), LeasesEnded: holding,
	}, err
}

func listVersions(_ context.Context, c *call, in *byRef) (api.CredentialVersions, error) {
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
	exporter, err := envelope.Exporter(c.request.TLS)
	if err != nil {
		return api.RevealAnswer{}, err
	}
	sealer, enc, err := envelope.NewSealer(r.arena, in.Body.PublicKey, envelope.ToClient, exporter)
	if err != nil {
		if errors.Is(err, envelope.ErrEnvelope) {
			err = usage("public_key", "not an X25519 public key")
		}
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

func listApplications(_ context.Context, c *call, _ *nothing) (api.ApplicationList, error) {
	out := api.ApplicationList{Items: []api.Application{}}
	for _, a := range c.rooms.Catalogue.List() {
		out.Items = append(out.Items, api.Application{
			Name: a.Name, Title: a.Title, Category: a.Category, AuthTypes: authTypes(a.AuthTypes),
		})
	}
	return out, nil
}

func showApplication(_ context.Context, c *call, in *byName) (api.ApplicationDetail, error) {
	a, err := c.rooms.Catalogue.Get(in.Name)
	if err != nil {
		return api.ApplicationDetail{}, err
	}
	out := api.ApplicationDetail{
		Application: api.Application{Name: a.Name, Title: a.Title, Category: a.Category, AuthTypes: authTypes(a.AuthTypes)},
		Fields:      map[string][]credential.Field{},
	}
	for _, t := range a.AuthTypes {
		if out.Fields[string(t)], err = a.Fields(t); err != nil {
			return api.ApplicationDetail{}, err
		}
	}
	return out, nil
}

func authTypes(in []credential.AuthType) []string {
	out := make([]string, 0, len(in))
	for _, t := range in {
		out = append(out, string(t))
	}
	return out
}
