package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/strongroom/strongroom/server"
	"github.com/strongroom/strongroom/shared/cli"
)

// file is the configuration file; a flag that is given wins over it.
type file struct {
	Data    string `yaml:"data"`
	Agents  string `yaml:"agents"`
	Console string `yaml:"console"`
	KeyFile string `yaml:"key_file"`
}

const maxConfig = 1 << 20

func runCommand() *cobra.Command {
	var c server.Config
	var config string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve the vault until SIGTERM",
		Long: `Serve the vault until SIGTERM. One line on stdout says that it serves:

  ready agents=HOST:PORT console=https://HOST:PORT sealed=false

Without its key file it serves sealed: agents=-, and of strongroom's commands only status and unseal work.`,
		Example: "  strongroom-server run --data /var/lib/strongroom --agents 0.0.0.0:7443 --console 0.0.0.0:8443",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configure(cmd, config, &c); err != nil {
				return err
			}
			c.Version = cli.Version()
			c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
			c.Ready = func(r server.Ready) { announce(cmd.OutOrStdout(), c.Log, r) }
			err := server.Run(cmd.Context(), c)
			return err
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&c.Data, "data", defaultData, "the vault's `DIR`")
	f.StringVar(&c.Agents, "agents", "127.0.0.1:7443", "where agents connect; port 0 picks a free one")
	f.StringVar(&c.Console, "console", "127.0.0.1:8443", "where people connect; port 0 picks a free one")
	f.StringVar(&c.KeyFile, "key-file", "", "the key file that opens the vault; DIR/unseal.key where not given")
	f.StringVar(&config, "config", "", "a YAML `FILE` with data, agents, console and key_file; flags win over it")
	return cmd
}

func configure(cmd *cobra.Command, path string, c *server.Config) error {
	if path == "" {
		return nil
	}
	in, err := os.Open(path)
	if err != nil {
		return cli.Usagef("--config: %w", err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxConfig))
	if err != nil {
		return cli.Usagef("--config: %w", err)
	}
	var have file
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields(), yaml.WithUniqueKeys())
	if err != nil {
		return err
	}
	if err := loader.Load(&have); err != nil && !errors.Is(err, io.EOF) {
		return cli.Usagef("--config %s: %w", path, err)
	}
	for flag, setting := range map[string]struct {
		to   *string
		from string
	}{
		"data":     {&c.Data, have.Data},
		"agents":   {&c.Agents, have.Agents},
		"console":  {&c.Console, have.Console},
		"key-file": {&c.KeyFile, have.KeyFile},
	} {
		if setting.from != "" && !cmd.Flags().Changed(flag) {
			*setting.to = setting.from
		}
	}
	return nil
}

func announce(w io.Writer, log *slog.Logger, r server.Ready) {
	agents := r.Agents
	if r.Sealed {
		agents = "-"
	}
	line := fmt.Sprintf("agents=%s console=https://%s sealed=%t", agents, r.Console, r.Sealed)
	fmt.Fprintln(w, "ready "+line)
	if err := cli.NotifyReady(line); err != nil {
		log.Warn("systemd was not told", "error", err)
	}
}
