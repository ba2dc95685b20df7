package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func (a *app) restore() *cobra.Command {
	var c server.Restore
	var with authority
	var dns, ips []string
	cmd := &cobra.Command{
		Use:   "restore --data DIR --from FILE (--key-file FILE | --passphrase @FILE | --share @FILE...)",
		Short: "Make a vault of a backup, offline",
		Long: `Make a vault of a backup where there is none, with what opened the vault when the backup was taken. Everything in it
is checked first. Where it fails nothing is left behind, and it may be run again.

Sessions, tokens and join tokens are void afterwards. Hosts go on with the certificates they have. What was done since
the backup is undone: hosts, grants and tokens that were revoked, credentials that were changed, slots that were removed.`,
		Example: "  strongroom-server restore --data /var/lib/strongroom --from vault.backup --key-file /media/key/unseal.key",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.From == "" {
				return cli.Usagef("--from FILE is needed")
			}
			var err error
			if c.Hosts, err = consoleNames(dns, ips); err != nil {
				return err
			}
			arena, err := secret.NewArena(arenaSize)
			if err != nil {
				return err
			}
			defer arena.Close()
			if c.With, err = with.read(a, arena, cmd.Flags()); err != nil {
				return err
			}
			defer c.With.Wipe()
			if c.With.Empty() {
				return cli.Usagef("--key-file FILE, --passphrase @FILE or --share @FILE... is needed: what opened the vault then")
			}
			out, err := server.RestoreVault(cmd.Context(), c)
			if errors.Is(err, server.ErrExists) {
				return cli.Exit(cli.Usage, err)
			}
			if err != nil {
				return err
			}
			return a.tellRestored(out, c.Data)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Data, "data", defaultData, "the vault's `DIR`, in which there is none yet")
	f.StringVar(&c.From, "from", "", "the backup, `FILE`")
	with.flags(f)
	f.StringArrayVar(&dns, "dns", nil, "a `NAME` that people reach the console by, beside this machine's own")
	f.StringArrayVar(&ips, "ip", nil, "an `ADDR` that people reach the console at")
	a.JSONFlag(f)
	return cmd
}

func (a *app) tellRestored(out server.Restored, data string) error {
	var t cli.Table
	t.Add("vault", out.Vault)
	t.Add("backup of", out.Made)
	t.Add("epoch", out.Epoch)
	t.Add("CA fingerprint", out.CAFingerprint)
	t.Add("sessions voided", out.Sessions)
	t.Add("tokens voided", out.Tokens)
	t.Add("join tokens voided", out.JoinTokens)
	t.Add("hosts", out.Hosts)
	t.Add("opens with", out.OpensWith)
	if err := a.Show(out, t); err != nil || a.JSON {
		return err
	}
	made := out.Made.Local().Format(time.RFC3339)
	a.Hint("undone is what was done after %s: look through these and do it again", made)
	a.Hint("  hosts that were revoked since are active again: strongroom host list, host revoke")
	a.Hint("  hosts that joined since are not known: enrol them again")
	a.Hint("  grants that were revoked since are there again: strongroom grant list, grant revoke")
	a.Hint("  credentials that were changed since have their value of then: strongroom credential list")
	a.Hint("  users, passwords and slots are those of then: strongroom user list, slot list")
	a.Hint("next: strongroom-server run --data %s, then strongroom login, strongroom audit list", data)
	return nil
}
