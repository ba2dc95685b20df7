package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/agent/client"
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
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cli.ReadSettings[settings](config)
			if err != nil {
				return err
			}
			cli.Setting(cmd, "state", &c.State, s.State)
			cli.Setting(cmd, "socket", &c.Socket, s.Socket)
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			c.Log = slog.New(slog.NewTextHandler(a.Stderr, nil))
			c.Ready = func(socket, host string) {
				line := fmt.Sprintf("socket=%s host=%s", socket, host)
				if err := a.Write([]byte("ready " + line + "\n")); err != nil {
					c.Log.Warn("nobody was told that the agent is ready", "error", err)
				}
				if err := cli.NotifyReady(line); err != nil {
					c.Log.Warn("systemd was not told that the agent is ready", "error", err)
				}
			}
			err = agent.Run(ctx, c)
			if errors.Is(err, agent.ErrNotEnrolled) {
				return fmt.Errorf("%w (there is no identity in %s)", err, c.State)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&c.State, "state", agent.DefaultState(), "the `DIR` that keeps the host's identity")
	flags.StringVar(&c.Socket, "socket", client.DefaultSocket(), "the `PATH` of the socket for jobs")
	flags.StringVar(&config, "config", "", "a YAML `FILE` with state and socket")
	return cmd
}

// settings is the configuration file.
type settings struct {
	State  string `yaml:"state"`
	Socket string `yaml:"socket"`
}
