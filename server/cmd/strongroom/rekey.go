package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) rekey() *cobra.Command {
	return &cobra.Command{
		Use:   "rekey",
		Short: "Rotate the keys that the vault's records are under, while it is served",
		Long: `Make new keys for the vault's records, for its index of names and for the check that no record is an old one, bring
every record over, and drop the old keys. Everything goes on meanwhile; commits wait about a second for each million
records at the beginning. It goes on in the server where this command is interrupted, and after a crash or a seal when
the vault is unsealed again.

The root key stays, and with it what opens the vault. What was overwritten stays in free parts of vault.db, under the
old keys, until it is written over.`,
		Example: "  strongroom rekey --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := call(a, func(c *api.Client) (*api.Rekey, error) { return a.awaitRekey(cmd.Context(), c) })
			if err != nil {
				return err
			}
			if out.Problem != "" {
				return cli.Exit(cli.Failed, errors.New(out.Problem))
			}
			t := cli.Table{}
			t.Add("records", out.Records)
			t.Add("started", out.Started)
			t.Add("finished", out.Finished)
			return a.Show(out, t)
		},
	}
}

// awaitRekey asks until the rotation has ended, and says now and then how far it is.
func (a *app) awaitRekey(ctx context.Context, c *api.Client) (*api.Rekey, error) {
	state, err := c.Rekey(ctx)
	if err == nil && state.Resumed {
		a.Hint("going on with a rotation that was cut short")
	}
	told := time.Now()
	for wait := 20 * time.Millisecond; err == nil && state.Running; wait = min(2*wait, time.Second) {
		if time.Since(told) > 2*time.Second {
			a.Hint("%d of %d records are left", state.Left, state.Records)
			told = time.Now()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		state, err = c.RekeyState(ctx)
	}
	return state, err
}
