package main

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
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
			t := cli.Table{}
			t.Add("name", app.Name)
			t.Add("title", app.Title)
			t.Add("category", app.Category)
			t.Add("source", sourceOf(app.Application))
			if app.Broken != "" {
				t.Add("not used", app.Broken)
			}
			if app.Updated != nil {
				t.Add("imported", cli.Cell(app.Updated)+" by "+app.UpdatedBy)
			}
			for _, authType := range slices.Sorted(maps.Keys(app.Fields)) {
				for _, f := range app.Fields[authType] {
					flag := map[bool]string{true: "--secret", false: "--field"}[f.Secret]
					need := map[bool]string{true: "required", false: "optional"}[f.Required]
					t.Add(authType, flag+" "+f.Name+" ("+need+"): "+f.Help)
				}
			}
			return a.Show(app, t)
		},
	}
}
