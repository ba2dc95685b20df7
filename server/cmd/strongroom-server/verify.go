package main

import (
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) verify() *cobra.Command {
	var data, logKey string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the audit log, offline",
		Long: `Check every entry of the audit log, without a key and without opening the vault. It changes nothing and may run beside
the server.

It ends with 1 and names the first entry that does not hold. That entries are missing at the end only the vault can
tell: strongroom audit verify asks it.`,
		Example: "  strongroom-server verify --data /var/lib/strongroom",
		Args:    cli.Takes(),
		RunE: func(*cobra.Command, []string) error {
			found, err := server.Verify(data, logKey)
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("whole", true)
			t.Add("entries", found.Entries)
			t.Add("root", found.Root)
			t.Add("log key", found.LogKey)
			return a.Show(found, t)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&data, "data", defaultData, "the vault's `DIR`")
	f.StringVar(&logKey, "log-key", "", "the log `KEY` that init printed, to be sure that it is that log")
	a.JSONFlag(f)
	return cmd
}
