package main

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
)

func (a *app) application() *cobra.Command {
	return group("application", "The catalogue of applications that credentials are for",
		"  strongroom application show generic-rest",
		a.applicationList(), a.applicationShow())
}

func (a *app) applicationList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the catalogue",
		Example: "  strongroom application list",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.ApplicationList, error) { return c.Applications(cmd.Context()) })
			if err != nil {
				return err
			}
			t := table{head: []string{"NAME", "TITLE", "CATEGORY", "AUTH TYPES"}}
			for _, i := range list.Items {
				t.add(i.Name, i.Title, i.Category, i.AuthTypes)
			}
			return a.show(list, t)
		},
	}
}

func (a *app) applicationShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show APP",
		Short:   "Show an application and the fields of its credentials",
		Example: "  strongroom application show generic-rest",
		Args:    takes("APP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			app, err := call(a, func(c *api.Client) (*api.ApplicationDetail, error) { return c.Application(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			t := table{}
			t.add("name", app.Name)
			t.add("title", app.Title)
			t.add("category", app.Category)
			for _, authType := range slices.Sorted(maps.Keys(app.Fields)) {
				for _, f := range app.Fields[authType] {
					flag := map[bool]string{true: "--secret", false: "--field"}[f.Secret]
					need := map[bool]string{true: "required", false: "optional"}[f.Required]
					t.add(authType, flag+" "+f.Name+" ("+need+"): "+f.Help)
				}
			}
			return a.show(app, t)
		},
	}
}
