package main

import (
	"crypto/rand"
	"errors"
	"fmt"
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
	KeyFile       string `json:"key_file,omitempty"`       // keyfile only

	UnsealShares []string `json:"unseal_shares,omitempty"` // shamir only
}

func (a *app) init() *cobra.Command {
	var c server.Init
	var in secrets
	var names, addresses []string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a new vault",
		Long: `Make a new vault: its keys, its certificate authority, its audit log and the first admin.

--seal says what opens the vault each time that the server starts; without it nobody can open the vault again:

  keyfile     a file. Keep it on other storage than the data, and a copy in a safe place.
  passphrase  36 characters or more; ten random words are good. The server does not keep it.
  shamir      --shares lines for as many people, any --threshold of whom open the vault together. They are shown once,
              and only here: hand them out, and keep no two in one place.`,
		Example: "  strongroom-server init --data /var/lib/strongroom --key-file /etc/strongroom/unseal.key --dns vault.example.com",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkSeal(cmd, c.Seal); err != nil {
				return err
			}
			var err error
			if c.Hosts, err = consoleNames(names, addresses); err != nil {
				return err
			}
			out, err := a.create(cmd, c, in)
			if err != nil {
				return err
			}
			return a.tell(out, c)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Data, "data", defaultData, "the vault's `DIR`")
	f.StringVar((*string)(&c.Seal), "seal", string(server.SealKeyFile), "what opens the vault: keyfile, passphrase or shamir")
	f.StringVar(&c.KeyFile, "key-file", "", "keyfile: where the key file goes; DIR/unseal.key where not given")
	f.StringVar(&in.passphrase, "passphrase", "", "passphrase: `@FILE` or - for stdin")
	f.IntVar(&c.Shares, "shares", 5, "shamir: how many shares are made")
	f.IntVar(&c.Threshold, "threshold", 3, "shamir: how many of them open the vault")
	f.StringVar(&c.Admin, "admin", "admin", "`name` of the first admin")
	f.StringVar(&in.password, "admin-password", "", "the admin's password, as `@FILE` or - for stdin; made up and shown once where not given")
	f.StringVar(&c.TrustDomain, "trust-domain", "strongroom.local", "the `domain` in every certificate's SPIFFE ID")
	f.StringArrayVar(&names, "dns", nil, "a `name` that people reach the console by; may be repeated")
	f.StringArrayVar(&addresses, "ip", nil, "an `address` likewise")
	a.JSONFlag(f)
	return cmd
}

// consoleNames is what --dns and --ip say.
func consoleNames(names, addresses []string) ([]string, error) {
	for _, ip := range addresses {
		if net.ParseIP(ip) == nil {
			return nil, cli.Usagef("--ip: not an IP address")
		}
	}
	return append(names, addresses...), nil
}

// secrets are the flags that name where a secret is read from.
type secrets struct{ passphrase, password string }

// checkSeal refuses flags that are about another seal than the chosen one.
func checkSeal(cmd *cobra.Command, chosen server.SealKind) error {
	flags := map[server.SealKind][]string{
		server.SealKeyFile: {"key-file"}, server.SealPassphrase: {"passphrase"}, server.SealShamir: {"shares", "threshold"},
	}
	if flags[chosen] == nil {
		return cli.Usagef("--seal: there are keyfile, passphrase and shamir")
	}
	for kind, names := range flags {
		for _, name := range names {
			if kind != chosen && cmd.Flags().Changed(name) {
				return cli.Usagef("--%s goes with --seal %s", name, kind)
			}
		}
	}
	if chosen == server.SealPassphrase && !cmd.Flags().Changed("passphrase") {
		return cli.Usagef("--passphrase @FILE is needed with --seal passphrase")
	}
	return nil
}

func (a *app) create(cmd *cobra.Command, c server.Init, in secrets) (made, error) {
	arena, err := secret.NewArena(256 << 10)
	if err != nil {
		return made{}, err
	}
	defer arena.Close()
	out := made{Admin: c.Admin}
	values := cli.NewValues(arena, a.Stdin)
	if c.Seal == server.SealPassphrase {
		if c.Passphrase, err = values.Secret("--passphrase", in.passphrase); err != nil {
			return made{}, err
		}
		defer c.Passphrase.Wipe()
	}
	if cmd.Flags().Changed("admin-password") {
		c.Password, err = values.Secret("--admin-password", in.password)
	} else {
		out.AdminPassword = strings.ToLower(rand.Text())
		c.Password, err = arena.From([]byte(out.AdminPassword))
	}
	if err != nil {
		return made{}, err
	}
	defer c.Password.Wipe()
	got, err := server.Create(cmd.Context(), c)
	if errors.Is(err, credential.ErrInvalid) || errors.Is(err, server.ErrSeal) {
		return made{}, cli.Exit(cli.Usage, err)
	}
	out.CAFingerprint, out.LogKey = got.CAFingerprint, got.LogKey
	out.KeyFile, out.UnsealShares = got.KeyFile, got.UnsealShares
	return out, err
}

// tell shows what was made, and to people what to do next.
func (a *app) tell(out made, c server.Init) error {
	var t cli.Table
	t.Add("CA fingerprint", out.CAFingerprint)
	t.Add("audit log key", out.LogKey)
	if out.KeyFile != "" {
		t.Add("key file", out.KeyFile)
	}
	t.Add("admin", out.Admin)
	if out.AdminPassword != "" {
		t.Add("password", out.AdminPassword)
	}
	for i, share := range out.UnsealShares {
		t.Add(fmt.Sprintf("share %d", i+1), share)
	}
	if err := a.Show(out, t); err != nil || a.JSON {
		return err
	}
	if out.AdminPassword != "" {
		a.Hint("the password is shown only now")
	}
	switch c.Seal {
	case server.SealPassphrase:
		a.Hint("keep the passphrase in a safe place: nothing else opens the vault")
		a.Hint("next: strongroom-server run --data %s --passphrase @FILE", c.Data)
	case server.SealShamir:
		a.Hint("the shares are shown only now: hand them out, each to another person; %d of %d open the vault, and nothing else does", c.Threshold, c.Shares)
		a.Hint("next: strongroom-server run --data %s, and then %d times strongroom unseal --share @FILE", c.Data, c.Threshold)
	default:
		a.Hint("keep a copy of the key file in a safe place: nothing else opens the vault")
		a.Hint("next: strongroom-server run --data %s", c.Data)
	}
	return nil
}
