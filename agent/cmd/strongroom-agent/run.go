package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) runDaemon() *cobra.Command {
	var config string
	c := agent.Config{Version: cli.Version()}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve this host's jobs until SIGTERM",
		Long: `Serve this host's jobs until SIGTERM. One line on stdout says that it serves, connected to its server or not:

  ready socket=PATH host=ID

The configuration file has the keys state and socket; flags win over it.`,
		Example: "  strongroom-agent run --state /var/lib/strongroom-agent",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := configure(cmd, config, &c); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			c.Log = slog.New(slog.NewTextHandler(a.stderr, nil))
			c.Ready = func(socket, host string) {
				line := fmt.Sprintf("socket=%s host=%s", socket, host)
				if err := a.write([]byte("ready " + line + "\n")); err != nil {
					c.Log.Warn("nobody was told that the agent is ready", "error", err)
				}
				if err := cli.NotifyReady(line); err != nil {
					c.Log.Warn("systemd was not told that the agent is ready", "error", err)
				}
			}
			err := agent.Run(ctx, c)
			if errors.Is(err, agent.ErrNotEnrolled) {
				return fmt.Errorf("%w (there is no identity in %s)", err, c.State)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&c.State, "state", agent.DefaultState(), "the `DIR` that keeps the host's identity")
	flags.StringVar(&c.Socket, "socket", agent.DefaultSocket(), "the `PATH` of the socket for jobs")
	flags.StringVar(&config, "config", "", "a YAML `FILE` with state and socket")
	return cmd
}

// settings is the configuration file.
type settings struct {
	State  string `yaml:"state"`
	Socket string `yaml:"socket"`
}

const maxConfig = 64 << 10

func configure(cmd *cobra.Command, path string, c *agent.Config) error {
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return cli.Usagef("--config: %w", err)
	}
	defer file.Close()
	s, err := readSettings(file)
	if err != nil {
		return cli.Usagef("--config %s: %w", path, err)
	}
	if s.State != "" && !cmd.Flags().Changed("state") {
		c.State = s.State
	}
	if s.Socket != "" && !cmd.Flags().Changed("socket") {
		c.Socket = s.Socket
	}
	return nil
}

// readSettings reads one YAML document, or none: a file of comments is a fine start.
func readSettings(r io.Reader) (s settings, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return s, err
	}
	if len(text) > maxConfig {
		return s, fmt.Errorf("longer than %d bytes", maxConfig)
	}
	loader, err := yaml.NewLoader(strings.NewReader(string(text)), yaml.WithKnownFields(), yaml.WithUniqueKeys())
	if err != nil {
		return s, err
	}
	if err := loader.Load(&s); err != nil && !errors.Is(err, io.EOF) {
		return settings{}, settingsError(err)
	}
	if err := loader.Load(new(any)); !errors.Is(err, io.EOF) {
		return settings{}, errors.New("more than one YAML document")
	}
	return s, nil
}

// settingsError says where the file is wrong, in the file's words and not in Go's.
func settingsError(err error) error {
	var wrong *yaml.LoadError
	if !errors.As(err, &wrong) {
		return err
	}
	what, _, _ := strings.Cut(wrong.Message, " in type ")
	what, _, _ = strings.Cut(what, " into ")
	return fmt.Errorf("line %d, column %d: %s; the keys are state and socket, each with one text", wrong.Mark.Line, wrong.Mark.Column, what)
}
