package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// maxShort is more than any passphrase or share has.
const maxShort = 4 << 10

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show whether the server answers, is sealed, and what it warns of",
		Example: "  strongroom status --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.connectAnybody()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Status(cmd.Context())
			if err != nil {
				return ended(err)
			}
			t := cli.Table{}
			t.Add("version", s.Version)
			t.Add("sealed", s.Sealed)
			t.Add("vault", s.Vault)
			if s.Shares != nil {
				t.Add("shares", progress(s.Shares))
			}
			for _, w := range s.Warnings {
				t.Add("warning", w)
			}
			return a.Show(s, t)
		},
	}
}

func (a *app) seal() *cobra.Command {
	return &cobra.Command{
		Use:     "seal",
		Short:   "Drop the root key: nothing is served until somebody unseals",
		Example: "  strongroom seal",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := call(a, func(c *api.Client) (*api.Seal, error) { return c.Seal(cmd.Context()) })
			if err != nil {
				return err
			}
			return a.showSeal(s)
		},
	}
}

func (a *app) unseal() *cobra.Command {
	var keyFile, passphrase, share string
	var reset bool
	cmd := &cobra.Command{
		Use:   "unseal --key-file FILE | --passphrase @FILE | --share @FILE | --reset",
		Short: "Give the server its root key back",
		Long: `Give the server its root key back, with what the vault was sealed with. Nobody has to be logged in.

Shares are given one at a time, from any machine. The server keeps them until they are enough, for ten minutes after
the last one; --reset has it forget those that are in, before it takes the share that is given with it.`,
		Example: "  strongroom unseal --share @my-share",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			with := api.Unsealing{Reset: reset}
			var err error
			values := cli.NewValues(a.arena, a.Stdin)
			changed := cmd.Flags().Changed
			switch {
			case changed("key-file") && changed("passphrase"), changed("key-file") && changed("share"), changed("passphrase") && changed("share"):
				err = cli.Usagef("--key-file, --passphrase and --share: give one of them")
			case changed("key-file"):
				if with.KeyFile, err = api.ReadKeyFile(a.arena, keyFile); err != nil {
					err = cli.Usagef("--key-file: %w", err)
				}
			case changed("passphrase"):
				with.Passphrase, err = readShort(values, "--passphrase", passphrase)
			case changed("share"):
				with.Share, err = readShort(values, "--share", share)
			case !reset:
				err = required("--key-file FILE, --passphrase @FILE or --share @FILE")
			}
			if err != nil {
				return err
			}
			defer with.Wipe()
			return a.unsealWith(cmd.Context(), with)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&keyFile, "key-file", "", "the key file that init wrote, `FILE`")
	f.StringVar(&passphrase, "passphrase", "", "the passphrase, as `@FILE` or - for stdin")
	f.StringVar(&share, "share", "", "one share, as `@FILE` or - for stdin")
	f.BoolVar(&reset, "reset", false, "forget the shares that are in")
	return cmd
}

// readShort refuses what the server would not take, before it is sent.
func readShort(values *cli.Values, flag, text string) (*secret.Buffer, error) {
	b, err := values.Secret(flag, text)
	if err == nil && (b.Len() == 0 || b.Len() > maxShort) {
		b.Wipe()
		return nil, cli.Usagef("%s: wanted are 1 to %d bytes", flag, maxShort)
	}
	return b, err
}

func (a *app) unsealWith(ctx context.Context, with api.Unsealing) error {
	c, _, err := a.connectAnybody()
	if err != nil {
		return err
	}
	defer c.Close()
	if with.Share == nil && !with.Reset {
		a.Hint("unsealing: the server reads and checks every record")
	}
	s, err := c.Unseal(ctx, with)
	if err != nil {
		return ended(err)
	}
	if s.Shares != nil && s.Shares.In > 0 {
		a.Hint("the next share must come within ten minutes")
	}
	return a.showSeal(s)
}

func (a *app) showSeal(s *api.Seal) error {
	t := cli.Table{}
	t.Add(map[bool]string{true: "sealed", false: "unsealed"}[s.Sealed])
	if s.Shares != nil {
		t.Add(progress(s.Shares) + " shares are in")
	}
	return a.Show(s, t)
}

func progress(s *api.Shares) string { return fmt.Sprintf("%d of %d", s.In, s.Need) }
