package main

import (
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// maxKeyFile is more than any key file has.
const maxKeyFile = 4 << 10

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
	var keyFile string
	cmd := &cobra.Command{
		Use:     "unseal --key-file FILE",
		Short:   "Give the server its root key back",
		Example: "  strongroom unseal --key-file /root/unseal.key",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keyFile == "" {
				return required("--key-file FILE")
			}
			key, err := a.arena.ReadFile(keyFile, maxKeyFile)
			if err != nil {
				return cli.Usagef("--key-file: %w", err)
			}
			defer key.Wipe()
			c, _, err := a.connectAnybody()
			if err != nil {
				return err
			}
			defer c.Close()
			a.Hint("unsealing: the server reads and checks every record")
			s, err := c.Unseal(cmd.Context(), key)
			if err != nil {
				return ended(err)
			}
			return a.showSeal(s)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key-file", "", "the key file that init wrote, `FILE`")
	return cmd
}

func (a *app) showSeal(s *api.Seal) error {
	t := cli.Table{}
	t.Add(map[bool]string{true: "sealed", false: "unsealed"}[s.Sealed])
	return a.Show(s, t)
}
