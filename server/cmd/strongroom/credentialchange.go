package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// asSeen changes a credential as it is now. Whoever changes it in between wins,
// and this command says so.
func asSeen[T any](ctx context.Context, c *api.Client, ref string, do func(context.Context, string, uint64) (*T, error)) (*T, error) {
	seen, err := c.Credential(ctx, ref)
	if err != nil {
		return nil, err
	}
	return do(ctx, ref, seen.Revision)
}

func (a *app) credentialRollback() *cobra.Command {
	var to uint64
	cmd := &cobra.Command{
		Use:   "rollback REF --to N",
		Short: "Make an earlier version the newest",
		Long: `Make an earlier version the newest: its value becomes the next version, bound to the places that it was for. The versions
in between stay.`,
		Example: "  strongroom credential rollback crm --to 3",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == 0 {
				return required("--to N")
			}
			d, err := call(a, func(c *api.Client) (*api.CredentialDetail, error) {
				return asSeen(cmd.Context(), c, args[0], func(ctx context.Context, ref string, revision uint64) (*api.CredentialDetail, error) {
					return c.RollbackCredential(ctx, ref, revision, to)
				})
			})
			if err != nil {
				return err
			}
			return a.Show(d, detailTable(d))
		},
	}
	cmd.Flags().Uint64Var(&to, "to", 0, "the version, `N`: see strongroom credential versions")
	return cmd
}

func (a *app) credentialDefault() *cobra.Command {
	return &cobra.Command{
		Use:     "default REF",
		Short:   "Let app:APPLICATION mean this credential",
		Example: "  strongroom credential default salesforce-prod",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			yes := true
			d, err := call(a, func(c *api.Client) (*api.CredentialDetail, error) {
				return asSeen(cmd.Context(), c, args[0], func(ctx context.Context, ref string, revision uint64) (*api.CredentialDetail, error) {
					return c.EditCredential(ctx, ref, revision, api.CredentialEdit{Default: &yes}, api.Values{})
				})
			})
			if err != nil {
				return err
			}
			return a.Show(d, detailTable(d))
		},
	}
}

func (a *app) credentialDisconnect() *cobra.Command {
	return &cobra.Command{
		Use:   "disconnect REF",
		Short: "End what hosts have of a credential, and deliver it to nobody until it is connected again",
		Long: `End what hosts have of a credential, and deliver it to nobody until it is connected again: with strongroom credential
connect, or with a new value. Everything that is stored stays.`,
		Example: "  strongroom credential disconnect crm",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.switchCredential(cmd.Context(), args[0], (*api.Client).DisconnectCredential)
		},
	}
}

func (a *app) credentialConnect() *cobra.Command {
	return &cobra.Command{
		Use:     "connect REF",
		Short:   "Deliver a disconnected credential again",
		Example: "  strongroom credential connect crm",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.switchCredential(cmd.Context(), args[0], (*api.Client).ConnectCredential)
		},
	}
}

func (a *app) switchCredential(ctx context.Context, ref string, do func(*api.Client, context.Context, string, uint64) (*api.CredentialSwitched, error)) error {
	d, err := call(a, func(c *api.Client) (*api.CredentialSwitched, error) {
		return asSeen(ctx, c, ref, func(ctx context.Context, ref string, revision uint64) (*api.CredentialSwitched, error) {
			return do(c, ctx, ref, revision)
		})
	})
	if err != nil {
		return err
	}
	t := detailTable(&d.CredentialDetail)
	t.Add("leases ended", d.LeasesEnded)
	return a.Show(d, t)
}

func (a *app) credentialTransfer() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "transfer REF --to USER",
		Short: "Hand a credential to somebody else",
		Long: `Hand a credential to somebody else. OWNER/NAME becomes USER/NAME, without the grants and requests that it had;
or USER/NAME-2, if they have one of that name.

A credential of somebody who is disabled is handed over by two people who may edit users: the second gives the same
command within a day.`,
		Example: "  strongroom credential transfer alice/payroll --to bob",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return required("--to USER")
			}
			d, err := call(a, func(c *api.Client) (*api.Transferred, error) { return c.TransferCredential(cmd.Context(), args[0], to) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			if d.Waiting {
				a.Hint("nothing has changed yet: within a day, somebody else who may edit users gives the same command")
				t.Add("waiting", "for a second person")
				return a.Show(d, t)
			}
			t.Add("owner", to)
			t.Add("grants changed", d.GrantsChanged)
			return a.Show(d, t)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "who shall have it, `USER`")
	return cmd
}

func accessText(x api.Access) string {
	host := x.Host
	if host == "" {
		host = "(no host yet)"
	}
	return fmt.Sprintf("%s on %s by grant %s", x.Credential, host, x.Grant)
}
