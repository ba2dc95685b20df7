package main

import (
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// settings is the configuration file.
type settings struct {
	Data         string `yaml:"data"`
	Agents       string `yaml:"agents"`
	Console      string `yaml:"console"`
	KeyFile      string `yaml:"key_file"`
	LockedMemory string `yaml:"locked_memory"`

	OutboundAllow []string `yaml:"outbound_allow"`
}

func (a *app) serve() *cobra.Command {
	var c server.Config
	var config, passphrase, memory string
	var open []string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve the vault until SIGTERM",
		Long: `Serve the vault until SIGTERM. One line on stdout says that it serves:

  ready agents=HOST:PORT console=https://HOST:PORT sealed=false

Without its key file or passphrase it serves sealed, as a vault that opens with shares always does at first: agents=-,
and of strongroom's commands only status and unseal work.

Where the server asks other systems, such as the issuers of jobs' tokens, addresses of its own machine and link, of clouds'
metadata and of no single machine are closed to it. --outbound-allow opens some of them.`,
		Example: "  strongroom-server run --data /var/lib/strongroom --agents 0.0.0.0:7443 --console 0.0.0.0:8443",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configure(cmd, config, &memory, &open, &c); err != nil {
				return err
			}
			if cmd.Flags().Changed("passphrase") {
				if cmd.Flags().Changed("key-file") {
					return cli.Usagef("--key-file and --passphrase: give one of them")
				}
				arena, err := secret.NewArena(256 << 10)
				if err != nil {
					return err
				}
				defer arena.Close()
				if c.Passphrase, err = a.passphrase(arena, passphrase); err != nil {
					return err
				}
				defer c.Passphrase.Wipe()
			}
			c.Version = cli.Version()
			c.Log = slog.New(slog.NewTextHandler(a.Stderr, nil))
			c.Ready = func(r server.Ready) { a.announce(c.Log, r) }
			return server.Run(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Data, "data", defaultData, "the vault's `DIR`")
	f.StringVar(&c.Agents, "agents", "127.0.0.1:7443", "where agents connect; port 0 picks a free one")
	f.StringVar(&c.Console, "console", "127.0.0.1:8443", "where people connect; port 0 picks a free one")
	f.StringVar(&c.KeyFile, "key-file", "", "the key file that opens the vault; DIR/unseal.key where not given")
	f.StringVar(&passphrase, "passphrase", "", "the passphrase that opens the vault, as `@FILE` or - for stdin")
	f.StringVar(&memory, "locked-memory", "4MiB", "the `SIZE` of the memory that keys and values lie in")
	f.StringArrayVar(&open, "outbound-allow", nil, "let the server connect to addresses in `CIDR` that are closed to it; may be repeated")
	f.StringVar(&config, "config", "", "a YAML `FILE` with data, agents, console, key_file, locked_memory and outbound_allow; flags win over it")
	return cmd
}

// passphrase reads before the server starts, so that a wrong flag starts none.
// The memory that it goes to is hidden first.
func (a *app) passphrase(arena *secret.Arena, text string) (*secret.Buffer, error) {
	if err := secret.Conceal(); err != nil {
		return nil, err
	}
	return cli.NewValues(arena, a.Stdin).Secret("--passphrase", text)
}

// configure takes from the file what no flag says.
func configure(cmd *cobra.Command, file string, memory *string, open *[]string, c *server.Config) error {
	s, err := cli.ReadSettings[settings](file)
	if err != nil {
		return err
	}
	cli.Setting(cmd, "data", &c.Data, s.Data)
	cli.Setting(cmd, "agents", &c.Agents, s.Agents)
	cli.Setting(cmd, "console", &c.Console, s.Console)
	cli.Setting(cmd, "key-file", &c.KeyFile, s.KeyFile)
	cli.Setting(cmd, "locked-memory", memory, s.LockedMemory)
	if !cmd.Flags().Changed("outbound-allow") {
		*open = s.OutboundAllow
	}
	if c.OutboundAllow, err = prefixes(*open); err != nil {
		return err
	}
	c.LockedMemory, err = cli.Size("locked-memory", *memory, server.LeastLockedMemory, 1<<30)
	return err
}

// prefixes reads what --outbound-allow has.
func prefixes(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		switch {
		case err != nil:
			return nil, cli.Usagef("--outbound-allow %q: write addresses as 127.0.0.1/32 or fe80::/10", text)
		case p.Addr().Is4In6():
			return nil, cli.Usagef("--outbound-allow %s: write it as IPv4", p)
		case p != p.Masked():
			return nil, cli.Usagef("--outbound-allow %s: some bits behind the /%d are set; write %s, or %s/%d for this address alone",
				p, p.Bits(), p.Masked(), p.Addr(), p.Addr().BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

func (a *app) announce(log *slog.Logger, r server.Ready) {
	agents := r.Agents
	if r.Agents == "" {
		agents = "-"
	}
	line := fmt.Sprintf("agents=%s console=https://%s sealed=%t", agents, r.Console, r.Agents == "")
	if err := a.Write([]byte("ready " + line + "\n")); err != nil {
		log.Warn("nobody was told that the server is ready", "error", err)
	}
	if err := cli.NotifyReady(line); err != nil {
		log.Warn("systemd was not told that the server is ready", "error", err)
	}
}
