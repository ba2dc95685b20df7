package main

import (
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) role() *cobra.Command {
	return cli.Group("role", "Roles: what users may do",
		"  strongroom role list",
		a.roleList(), a.roleShow(), keyed(a.roleAdd()), a.roleDelete())
}

func (a *app) roleList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the roles",
		Example: "  strongroom role list",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.RoleList, error) { return c.Roles(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "BUILT IN", "PERMISSIONS"}}
			for _, r := range list.Items {
				t.Add(r.Name, r.BuiltIn, r.Permissions)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) roleShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show what a role may do",
		Example: "  strongroom role show developer",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call(a, func(c *api.Client) (*api.Role, error) { return c.Role(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			return a.Show(r, roleTable(r))
		},
	}
}

func roleTable(r *api.Role) cli.Table {
	t := cli.Table{}
	t.Add("name", r.Name)
	t.Add("built in", r.BuiltIn)
	for _, p := range r.Permissions {
		t.Add("may", p)
	}
	return t
}

func (a *app) roleAdd() *cobra.Command {
	var permissions []string
	cmd := &cobra.Command{
		Use:   "add NAME --permission P...",
		Short: "Make a role out of permissions",
		Long: `Make a role out of permissions that you have yourself. A role never changes: to give its users something else, make
another one and give them that.`,
		Example: "  strongroom role add operator --permission 'host.*' --permission audit.view",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := call(a, func(c *api.Client) (*api.Role, error) {
				return c.AddRole(cmd.Context(), api.RoleAdd{Name: args[0], Permissions: permissions})
			})
			if err != nil {
				return err
			}
			return a.Show(r, roleTable(r))
		},
	}
	cmd.Flags().StringArrayVar(&permissions, "permission", nil, "a `PERMISSION`, such as host.view, or host.* for all of a noun")
	return cmd
}

func (a *app) roleDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a role that nobody has",
		Example: "  strongroom role delete operator",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := call(a, func(c *api.Client) (struct{}, error) { return struct{}{}, c.DeleteRole(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			return a.done("deleted", args[0])
		},
	}
}
