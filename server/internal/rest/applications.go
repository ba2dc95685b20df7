package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/vault"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/grant"
)

// Who may redefine an application needs grant.edit as well, which the vault sees to: a route takes one of several.
func (r *REST) registerApplications(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/applications", summary: "List the catalogue", access: signedIn}, listApplications)
	add(r, doc, route{method: http.MethodGet, path: "/v1/applications/{name}", summary: "Show an application", access: signedIn}, showApplication)
	add(r, doc, route{method: http.MethodPut, path: "/v1/applications/{name}", summary: "Import an application's definition, which takes the permission grant.edit as well", access: may(grant.SettingEdit)}, setApplication)
	add(r, doc, route{method: http.MethodDelete, path: "/v1/applications/{name}", summary: "Delete an imported definition, which takes the permission grant.edit as well; a built-in one is back", access: may(grant.SettingEdit)}, deleteApplication)
}

func applicationOf(a vault.Application) api.Application {
	out := api.Application{
		Name: a.Name, Title: a.Title, Category: a.Category, AuthTypes: authTypes(a.AuthTypes), Source: string(a.Source), Revision: a.Revision,
	}
	if a.Broken != nil {
		out.Broken = a.Broken.Error()
	}
	return out
}

func authTypes(in []credential.AuthType) []string {
	out := make([]string, 0, len(in))
	for _, t := range in {
		out = append(out, string(t))
	}
	return out
}

func listApplications(_ context.Context, c *call, _ *nothing) (api.ApplicationList, error) {
	out := api.ApplicationList{Items: []api.Application{}}
	for _, a := range c.rooms.Vault.Applications() {
		out.Items = append(out.Items, applicationOf(a))
	}
	return out, nil
}

func showApplication(_ context.Context, c *call, in *ByName) (api.ApplicationDetail, error) {
	a, err := c.rooms.Vault.Application(in.Name)
	if err != nil {
		return api.ApplicationDetail{}, err
	}
	c.revision = a.Revision
	out := api.ApplicationDetail{
		Application: applicationOf(a), Fields: map[string][]credential.Field{}, PasswordPolicy: a.PasswordPolicy,
		ExpiresDays: map[string]int{}, Updated: timeOrNull(a.Updated), UpdatedBy: a.UpdatedBy,
	}
	if len(a.AuthTypes) > 0 {
		out.Definition = a.Application
	}
	for _, t := range a.AuthTypes {
		if out.Fields[string(t)], err = a.Fields(t); err != nil {
			return api.ApplicationDetail{}, err
		}
		if days := int(a.DefaultExpiry(t).Hours() / 24); days > 0 {
			out.ExpiresDays[string(t)] = days
		}
	}
	return out, nil
}

type applicationSet struct {
	ByName
	Precondition
	IfNoneMatch string `header:"If-None-Match" maxLength:"64" doc:"*, in the place of If-Match: there must be none yet, not even a built-in one"`
	Body        api.ApplicationSet
}

// revision is that of the Precondition, or vault.Absent (RFC 9110, section 13.1.2).
func (in *applicationSet) revision() (uint64, error) {
	switch {
	case in.IfNoneMatch == "":
		return in.Precondition.revision()
	case in.IfNoneMatch != "*" || in.IfMatch != "":
		return 0, usage("If-None-Match", "it is * or is not there, and If-Match is not there beside it")
	}
	return vault.Absent, nil
}

func setApplication(ctx context.Context, c *call, in *applicationSet) (api.ApplicationChanged, error) {
	revision, err := in.revision()
	if err != nil {
		return api.ApplicationChanged{}, err
	}
	done, err := c.rooms.Vault.SetApplication(ctx, c.person, in.Name, in.Body.YAML, revision, in.Body.DryRun)
	if err != nil {
		return api.ApplicationChanged{}, err
	}
	if !in.Body.DryRun {
		c.revision = done.After.Revision
	}
	out := changedOf(in.Name, done)
	out.DryRun = in.Body.DryRun
	return out, nil
}

type applicationDelete struct {
	ByName
	Precondition
}

func deleteApplication(ctx context.Context, c *call, in *applicationDelete) (api.ApplicationChanged, error) {
	revision, err := in.revision()
	if err != nil {
		return api.ApplicationChanged{}, err
	}
	done, err := c.rooms.Vault.DeleteApplication(ctx, c.person, in.Name, revision)
	if err != nil {
		return api.ApplicationChanged{}, err
	}
	return changedOf(in.Name, done), nil
}

func changedOf(name string, done vault.Redefinition) api.ApplicationChanged {
	out := api.ApplicationChanged{Name: name, Outcome: done.Outcome(), Source: string(done.After.Source), Differences: []api.ApplicationDifference{}}
	for _, d := range done.Differences {
		out.Differences = append(out.Differences, api.ApplicationDifference{What: d.What, Removed: texts(d.Removed), Added: texts(d.Added)})
	}
	return out
}
