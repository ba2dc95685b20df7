package main

import (
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) setting() *cobra.Command {
	return cli.Group("setting", "Settings: what an organisation may choose",
		"  strongroom setting set requests off",
		a.settingList(), a.settingGet(), a.settingSet())
}

func (a *app) settingList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the settings with what they mean",
		Example: "  strongroom setting list",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.SettingList, error) { return c.Settings(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "VALUE", "DEFAULT", "MEANING"}}
			for _, s := range list.Items {
				t.Add(s.Name, s.Value, s.Default, s.Help)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) settingGet() *cobra.Command {
	return &cobra.Command{
		Use:     "get NAME",
		Short:   "Show a setting's value, alone",
		Example: "  strongroom setting get session-idle",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := call(a, func(c *api.Client) (*api.Setting, error) { return c.Setting(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add(s.Value)
			return a.Show(s, t)
		},
	}
}

func (a *app) settingSet() *cobra.Command {
	return &cobra.Command{
		Use:     "set NAME VALUE",
		Short:   "Change a setting, which works at once",
		Long:    `Change a setting, which works at once. The empty value sets it back to its default.`,
		Example: "  strongroom setting set session-idle 15m",
		Args:    cli.Takes("NAME", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := call(a, func(c *api.Client) (*api.Setting, error) { return c.SetSetting(cmd.Context(), args[0], args[1]) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add(s.Name, s.Value)
			return a.Show(s, t)
		},
	}
}
