package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/credential"
)

func (a *app) application() *cobra.Command {
	return cli.Group("application", "The catalogue of applications that credentials are for",
		"  strongroom application show generic-rest",
		a.applicationList(), a.applicationShow(), a.applicationImport(), a.applicationDelete())
}

func (a *app) applicationList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the catalogue",
		Example: "  strongroom application list",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.ApplicationList, error) { return c.Applications(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "TITLE", "CATEGORY", "AUTH TYPES", "SOURCE"}}
			for _, i := range list.Items {
				t.Add(i.Name, i.Title, i.Category, i.AuthTypes, sourceOf(i))
			}
			return a.Show(list, t)
		},
	}
}

// sourceOf is where the definition comes from, and whether it is used.
func sourceOf(app api.Application) string {
	if app.Broken != "" {
		return app.Source + ", not used"
	}
	return app.Source
}

func (a *app) applicationShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show APP",
		Short:   "Show an application and the fields of its credentials; --json has its whole definition",
		Example: "  strongroom application show generic-rest",
		Args:    cli.Takes("APP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := call(a, func(c *api.Client) (*api.ApplicationDetail, error) { return c.Application(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			t, err := applicationTable(app)
			if err != nil {
				return err
			}
			return a.Show(app, t)
		},
	}
}

// definition is what people are shown of an application's file.
type definition struct {
	Docs    []string      `json:"docs"`
	Origins []string      `json:"origins"`
	Fields  []originField `json:"fields"`
	Auth    []struct {
		Type    string        `json:"type"`
		Title   string        `json:"title"`
		Origins []string      `json:"origins"` // in the place of the application's, and of those in its fields
		Fields  []originField `json:"fields"`
	} `json:"auth_types"`
}

type originField struct {
	Name   string `json:"name"`
	Origin bool   `json:"origin"`
}

// of gives what the vendor calls an auth type, and the templates of where its values may be sent to.
func (d definition) of(authType string) (title string, origins []string) {
	origins = d.Origins
	fields := d.Fields
	for _, auth := range d.Auth {
		if auth.Type != authType {
			continue
		}
		if title = auth.Title; len(auth.Origins) > 0 {
			origins, fields = auth.Origins, nil
		}
		fields = slices.Concat(fields, auth.Fields)
	}
	origins = slices.Clone(origins)
	for _, f := range fields {
		if f.Origin {
			origins = append(origins, "{"+f.Name+"}")
		}
	}
	return cmp.Or(title, credential.AuthType(authType).Title()), origins
}

func applicationTable(app *api.ApplicationDetail) (cli.Table, error) {
	t := cli.Table{}
	text, err := json.Marshal(app.Definition)
	if err != nil {
		return t, err
	}
	var d definition
	if err := json.Unmarshal(text, &d); err != nil {
		return t, fmt.Errorf("the server's definition of %s cannot be read: %w", app.Name, err)
	}
	t.Add("name", app.Name)
	t.Add("title", app.Title)
	t.Add("category", app.Category)
	for _, link := range d.Docs {
		t.Add("docs", link)
	}
	t.Add("source", sourceOf(app.Application))
	if app.Broken != "" {
		t.Add("not used", app.Broken)
	}
	if app.Updated != nil {
		t.Add("imported", cli.Cell(app.Updated)+" by "+app.UpdatedBy)
	}
	for _, authType := range slices.Sorted(maps.Keys(app.Fields)) {
		title, origins := d.of(authType)
		t.Add(authType, title)
		if len(origins) > 0 {
			t.Add(authType, "is sent to "+strings.Join(origins, ", "))
		}
		for _, f := range app.Fields[authType] {
			flag := map[bool]string{true: "--secret", false: "--field"}[f.Secret]
			need := map[bool]string{true: "required", false: "optional"}[f.Required]
			if f.Default != "" {
				need = "else " + f.Default
			}
			t.Add(authType, flag+" "+f.Name+" ("+need+"): "+f.Help)
		}
		if days := app.ExpiresDays[authType]; days > 0 {
			t.Add(authType, fmt.Sprintf("--expires (else %dd): how long a new secret lasts", days))
		}
	}
	return t, nil
}
