package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func (a *app) user() *cobra.Command {
	return cli.Group("user", "Users: who may sign in, and in which role",
		"  strongroom user add bob --role developer --password @bob.txt",
		keyed(a.userAdd()), a.userList(), a.userShow(), a.userRole(), a.userSwitch(true), a.userSwitch(false), a.userPasswd(), a.userDelete())
}

func (a *app) userAdd() *cobra.Command {
	var role, password, bcrypt string
	cmd := &cobra.Command{
		Use:   "add NAME --role ROLE",
		Short: "Add a user",
		Long: `Add a user with a first password, or with the bcrypt hash of one that is in use elsewhere: that is replaced at the
user's next login.`,
		Example: "  strongroom user add bob --role developer --password @bob.txt",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var first, hash *secret.Buffer
			switch changed := cmd.Flags().Changed; {
			case role == "":
				return required("--role ROLE")
			case changed("password") && changed("bcrypt"):
				return cli.Usagef("--password and --bcrypt: give one of them")
			case changed("bcrypt"):
				hash, err = a.values.Secret("--bcrypt", bcrypt)
			case changed("password"):
				first, err = a.values.Secret("--password", password)
			default:
				first, err = a.askTwice("The new user's first password: ", "--password @FILE")
			}
			if err != nil {
				return err
			}
			defer first.Wipe()
			defer hash.Wipe()
			u, err := call(a, func(c *api.Client) (*api.User, error) { return c.AddUser(cmd.Context(), args[0], role, first, hash) })
			if err != nil {
				return err
			}
			return a.Show(u, userTable(u))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&role, "role", "", "the user's `ROLE`: see strongroom role list")
	flags.StringVar(&password, "password", "", "the first password: `@FILE` or -")
	flags.StringVar(&bcrypt, "bcrypt", "", "the bcrypt hash of a password: `@FILE` or -")
	return cmd
}

// askTwice asks for a new password, which nobody sees while it is typed.
func (a *app) askTwice(question, flag string) (*secret.Buffer, error) {
	first, err := a.askSecret(question, flag)
	if err != nil {
		return nil, err
	}
	again, err := a.askSecret("Once more: ", flag)
	if err != nil {
		first.Wipe()
		return nil, err
	}
	defer again.Wipe()
	if !secret.Equal(first.Reveal(), again.Reveal()) {
		first.Wipe()
		return nil, cli.Usagef("the two are not the same")
	}
	return first, nil
}

func userTable(u *api.User) cli.Table {
	t := cli.Table{}
	t.Add("name", u.Name)
	t.Add("role", u.Role)
	t.Add("created", u.Created)
	t.Add("disabled", sinceOrNo(u.Disabled))
	t.Add("second factor", u.Factor)
	return t
}

func sinceOrNo(at *time.Time) string {
	if at == nil {
		return "no"
	}
	return "since " + cli.Cell(at)
}

func (a *app) userList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the users",
		Example: "  strongroom user list --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.UserList, error) { return c.Users(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "ROLE", "CREATED", "DISABLED", "SECOND FACTOR"}}
			for _, u := range list.Items {
				t.Add(u.Name, u.Role, u.Created, sinceOrNo(u.Disabled), u.Factor)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) userShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show a user",
		Example: "  strongroom user show bob",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u, err := call(a, func(c *api.Client) (*api.User, error) { return c.User(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			return a.Show(u, userTable(u))
		},
	}
}

func (a *app) userRole() *cobra.Command {
	return &cobra.Command{
		Use:     "role NAME ROLE",
		Short:   "Give a user another role, which works at once",
		Example: "  strongroom user role bob auditor",
		Args:    cli.Takes("NAME", "ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editUser(cmd.Context(), args[0], api.UserEdit{Role: &args[1]})
		},
	}
}

func (a *app) userSwitch(off bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "enable NAME",
		Short:   "Let a disabled user in again",
		Example: "  strongroom user enable bob",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.editUser(cmd.Context(), args[0], api.UserEdit{Disabled: &off})
		},
	}
	if off {
		cmd.Use, cmd.Short, cmd.Example = "disable NAME", "Keep a user out, with every token, until enabled again", "  strongroom user disable bob"
	}
	return cmd
}

// editUser changes a user as it is now. Whoever changes it in between wins, and
// this command says so.
func (a *app) editUser(ctx context.Context, name string, in api.UserEdit) error {
	u, err := call(a, func(c *api.Client) (*api.User, error) {
		seen, err := c.User(ctx, name)
		if err != nil {
			return nil, err
		}
		return c.EditUser(ctx, name, seen.Revision, in)
	})
	if err != nil {
		return err
	}
	return a.Show(u, userTable(u))
}

func (a *app) userPasswd() *cobra.Command {
	var password, present string
	cmd := &cobra.Command{
		Use:   "passwd [NAME]",
		Short: "Change your own password, or reset somebody else's",
		Long: `Change your own password, which takes the present one and ends your sessions; or reset somebody else's, which ends their
sessions and tokens and locks their own credentials for a time (setting custom-lock).`,
		Example: "  strongroom user passwd --present @old.txt --password @new.txt",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			me, err := call(a, func(c *api.Client) (*api.Whoami, error) { return c.Whoami(cmd.Context()) })
			if err != nil {
				return err
			}
			name := me.User
			if len(args) == 1 {
				name = args[0]
			}
			var old *secret.Buffer
			if name == me.User {
				if old, err = a.secretFlag(cmd, "present", present, a.askSecret, "Your present password: "); err != nil {
					return err
				}
				defer old.Wipe()
			}
			next, err := a.secretFlag(cmd, "password", password, a.askTwice, "The new password: ")
			if err != nil {
				return err
			}
			defer next.Wipe()
			_, err = call(a, func(c *api.Client) (struct{}, error) {
				return struct{}{}, c.SetPassword(cmd.Context(), name, old, next)
			})
			if err != nil {
				return err
			}
			if name == me.User {
				a.Hint("your sessions have ended: log in again")
			}
			return a.done("password_set", name)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&present, "present", "", "your present password: `@FILE` or -")
	flags.StringVar(&password, "password", "", "the new password: `@FILE` or -")
	return cmd
}

// secretFlag reads a flag's secret, or asks for it.
func (a *app) secretFlag(cmd *cobra.Command, flag, text string, ask func(question, flag string) (*secret.Buffer, error), question string) (*secret.Buffer, error) {
	if cmd.Flags().Changed(flag) {
		return a.values.Secret("--"+flag, text)
	}
	return ask(question, "--"+flag+" @FILE")
}

func (a *app) userDelete() *cobra.Command {
	var yes, purge bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a user",
		Long: `Delete a user with every token. Somebody who has credentials of their own is not deleted: have them transferred
first (strongroom credential transfer), or delete them as well with --purge.`,
		Example: "  strongroom user delete bob --yes\n  strongroom user delete carol --purge --yes",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				what := map[bool]string{false: "every token", true: "every token and every credential of their own"}[purge]
				if err := a.confirm(fmt.Sprintf("Delete the user %s with %s? This cannot be undone.", args[0], what)); err != nil {
					return err
				}
			}
			_, err := call(a, func(c *api.Client) (struct{}, error) {
				seen, err := c.User(cmd.Context(), args[0])
				if err != nil {
					return struct{}{}, err
				}
				return struct{}{}, c.DeleteUser(cmd.Context(), args[0], seen.Revision, purge)
			})
			if err != nil {
				return err
			}
			return a.done("deleted", args[0])
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&purge, "purge", false, "delete the credentials of the user's own as well")
	return cmd
}

// done shows what a command did to one thing.
func (a *app) done(what, to string) error {
	t := cli.Table{}
	t.Add(what, to)
	return a.Show(map[string]string{what: to}, t)
}
