package main

import (
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func (a *app) check() *cobra.Command {
	var data string
	var with authority
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for damage in a vault, offline",
		Long: `Look for damage in a vault that no server has open: in the store, in seal.json, in the audit log, which must also have
all that the checkpoint in its folder is of, and in the console's certificate. With what opens the vault, every record is
decrypted and held against the others, and the vault against its log. It changes nothing.

It ends with 1 and names the first fault and what helps.`,
		Example: "  strongroom-server check --data /var/lib/strongroom --key-file /etc/strongroom/unseal.key",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			arena, err := secret.NewArena(arenaSize)
			if err != nil {
				return err
			}
			defer arena.Close()
			key, err := with.read(a, arena, cmd.Flags())
			if err != nil {
				return err
			}
			defer key.Wipe()
			found, err := server.Check(data, key)
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("whole", true)
			t.Add("vault", found.Vault)
			t.Add("opens with", found.OpensWith)
			t.Add("log entries", found.Entries)
			if found.Opened {
				t.Add("records", found.Records)
				t.Add("commit", found.Commit)
				t.Add("epoch", found.Epoch)
			}
			if err := a.Show(found, t); err != nil {
				return err
			}
			if !found.Opened {
				a.Hint("the records were not opened: give --key-file, --passphrase or --share to have that done, too")
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&data, "data", defaultData, "the vault's `DIR`")
	with.flags(f)
	a.JSONFlag(f)
	return cmd
}
