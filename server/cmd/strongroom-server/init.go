package main

import (
	"crypto/rand"
	"errors"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/credential"
	"github.com/strongroom/strongroom/shared/secret"
)

// made is what init answers with --json.
type made struct {
	CAFingerprint string `json:"ca_fingerprint"`
	LogKey        string `json:"log_key"`
	Admin         string `json:"admin"`
	AdminPassword string `json:"admin_password,omitempty"` // only where init made it up
	KeyFile       string `json:"key_file"`
}

func (a *app) init() *cobra.Command {
	var c server.Init
	var sealType, password string
	var names, addresses []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new vault",
		Long: `Make a new vault: its keys, its certificate authority, its audit log and the first admin.

The key file opens the vault. Keep it on other storage than the data, and a copy in a safe place: without it nobody can
open the vault again.`,
		Example: "  strongroom-server init --data /var/lib/strongroom --key-file /etc/strongroom/unseal.key --dns vault.example.com",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if sealType != "keyfile" {
				return cli.Usagef("--seal: this version seals with a key file only; use --seal keyfile")
			}
			for _, ip := range addresses {
				if net.ParseIP(ip) == nil {
					return cli.Usagef("--ip: not an IP address")
				}
			}
			c.Hosts = append(names, addresses...)
			out, err := a.create(cmd, c, password)
			if err != nil {
				return err
			}
			return a.tell(out, c.Data)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Data, "data", defaultData, "the vault's `DIR`")
	f.StringVar(&sealType, "seal", "keyfile", "what opens the vault: keyfile")
	f.StringVar(&c.KeyFile, "key-file", "", "where the key file goes; DIR/unseal.key where not given")
	f.StringVar(&c.Admin, "admin", "admin", "`name` of the first admin")
	f.StringVar(&password, "admin-password", "", "the admin's password, as `@FILE` or - for stdin; made up and shown once where not given")
	f.StringVar(&c.TrustDomain, "trust-domain", "strongroom.local", "the `domain` in every certificate's SPIFFE ID")
	f.StringArrayVar(&names, "dns", nil, "a `name` that people reach the console by; may be repeated")
	f.StringArrayVar(&addresses, "ip", nil, "an `address` likewise")
	a.JSONFlag(f)
	return cmd
}

func (a *app) create(cmd *cobra.Command, c server.Init, password string) (made, error) {
	arena, err := secret.NewArena(256 << 10)
	if err != nil {
		return made{}, err
	}
	defer arena.Close()
	out := made{Admin: c.Admin}
	if cmd.Flags().Changed("admin-password") {
		c.Password, err = cli.NewValues(arena, a.Stdin).Secret("--admin-password", password)
	} else {
		out.AdminPassword = strings.ToLower(rand.Text())
		c.Password, err = arena.From([]byte(out.AdminPassword))
	}
	if err != nil {
		return made{}, err
	}
	defer c.Password.Wipe()
	got, err := server.Create(cmd.Context(), c)
	if errors.Is(err, credential.ErrInvalid) {
		return made{}, cli.Exit(cli.Usage, err)
	}
	out.CAFingerprint, out.LogKey, out.KeyFile = got.CAFingerprint, got.LogKey, got.KeyFile
	return out, err
}

// tell shows what was made, and to people what to do next.
func (a *app) tell(out made, data string) error {
	var t cli.Table
	t.Add("CA fingerprint", out.CAFingerprint)
	t.Add("audit log key", out.LogKey)
	t.Add("key file", out.KeyFile)
	t.Add("admin", out.Admin)
	if out.AdminPassword != "" {
		t.Add("password", out.AdminPassword)
	}
	if err := a.Show(out, t); err != nil || a.JSON {
		return err
	}
	if out.AdminPassword != "" {
		a.Hint("the password is shown only now")
	}
	a.Hint("keep a copy of the key file in a safe place: nothing else opens the vault")
	a.Hint("next: strongroom-server run --data %s", data)
	return nil
}
