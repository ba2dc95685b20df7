package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/cmd/strongroom-agent/service"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) runDaemon() *cobra.Command {
	var config, memory string
	var to routing
	c := agent.Config{Version: cli.Version()}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve this host's jobs until SIGTERM",
		Long: `Serve this host's jobs until SIGTERM. One line on stdout says that it serves, connected to its server or not:

  ready socket=PATH host=ID

Several servers of one vault are tried one after the other, first the one that was reached last. An HTTP proxy between
host and server passes on what the two encrypt, and sees none of it.

The configuration file has the keys state, socket, locked_memory, servers (a list), proxy and proxy_auth (@FILE); flags
win over it.`,
		Example: "  strongroom-agent run --state /var/lib/strongroom-agent",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := cli.ReadSettings[settings](config)
			if err != nil {
				return err
			}
			cli.Setting(cmd, "state", &c.State, s.State)
			cli.Setting(cmd, "socket", &c.Socket, s.Socket)
			cli.Setting(cmd, "locked-memory", &memory, s.LockedMemory)
			if c.LockedMemory, err = cli.Size("locked-memory", memory, agent.LeastLockedMemory, 1<<30); err != nil {
				return err
			}
			to.settings(cmd, s)
			arena, err := routeArena()
			if err != nil {
				return err
			}
			defer arena.Close()
			if c.Route, err = to.route(cli.NewValues(arena, a.Stdin), arena); err != nil {
				return err
			}
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
			err = service.Run(ctx, func(ctx context.Context) error { return agent.Run(ctx, c) })
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
	// The default stays below the 8 MiB that an ordinary user may lock.
	flags.StringVar(&memory, "locked-memory", "4MiB", "the `SIZE` of the memory that values lie in; one user's jobs may have half of what the others leave")
	to.serverFlag(flags, "a server's `HOST:PORT` for agents, in place of those that enroll was given; may be repeated")
	to.proxyFlags(flags)
	flags.StringVar(&config, "config", "", "a YAML `FILE` with these settings")
	return cmd
}

// settings is the configuration file.
type settings struct {
	State        string `yaml:"state"`
	Socket       string `yaml:"socket"`
	LockedMemory string `yaml:"locked_memory"`

	Servers   []string `yaml:"servers"`
	Proxy     string   `yaml:"proxy"`
	ProxyAuth string   `yaml:"proxy_auth"`
}
