package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/identity"
	"github.com/strongroom/strongroom/shared/secret"
)

const (
	// enrollArena holds one value while it is read and once more without its line end.
	enrollArena = 256 << 10
	enrollTime  = time.Minute
)

func (a *app) enroll() *cobra.Command {
	var join, token string
	var to routing
	e := agent.Enrolment{Version: cli.Version()}
	cmd := &cobra.Command{
		Use:   "enroll (--join @FILE | --server HOST:PORT... --ca-fingerprint sha256:HEX --token @FILE)",
		Short: "Join this host to its server",
		Long: `Join this host to its server with a join token, which an admin makes with strongroom host join-token.

The token is read from a file or, given as -, from stdin. It may be used again by this host if the answer was lost.

Several servers of one vault may be named: the agent keeps them all, and uses another where one cannot be reached. Named
beside --join, they take the place of the one that stands there.`,
		Example: "  strongroom-agent enroll --join @/root/join.txt",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			arena, err := secret.NewArena(enrollArena)
			if err != nil {
				return err
			}
			defer arena.Close()
			values := cli.NewValues(arena, a.Stdin)
			if e.Route, err = to.route(values, arena); err != nil {
				return err
			}
			if err := joining(values, arena, join, token, &e); err != nil {
				return err
			}
			host, err := enrollHost(cmd.Context(), e)
			if err != nil {
				return err
			}
			if a.JSON {
				return a.ShowJSON(map[string]string{"host": host, "state": e.State})
			}
			a.Hint("this host is enrolled; start its agent with strongroom-agent run --state %s", e.State)
			return a.Write([]byte(host + "\n"))
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&join, "join", "", "the join string: `@FILE` or -")
	to.serverFlag(flags, "the server's `HOST:PORT` for agents; may be repeated")
	flags.StringVar(&e.Fingerprint, "ca-fingerprint", "", "sha256:`HEX` of the server's CA")
	flags.StringVar(&token, "token", "", "the join token: `@FILE` or -")
	flags.StringVar(&e.State, "state", agent.DefaultState(), "the `DIR` that keeps the host's identity")
	flags.StringVar(&e.Name, "name", "", "the host's `NAME` (default: its host name)")
	to.proxyFlags(flags)
	a.JSONFlag(cmd.Flags())
	return cmd
}

// joining fills in where to join and by which token, from the join string or from its parts.
func joining(values *cli.Values, arena *secret.Arena, join, token string, e *agent.Enrolment) error {
	if e.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return cli.Usagef("--name is needed: this host does not know its own (%w)", err)
		}
		e.Name = name
	}
	if join != "" {
		if e.Fingerprint != "" || token != "" {
			return cli.Usagef("--join says it all: leave out --ca-fingerprint and --token")
		}
		text, err := values.Secret("--join", join)
		if err != nil {
			return err
		}
		defer text.Wipe()
		parts, err := identity.ParseJoin(string(text.Reveal()))
		if err != nil {
			return cli.Usagef("--join: %w", err)
		}
		if e.Fingerprint = parts.Fingerprint; len(e.Route.Servers) == 0 {
			e.Route.Servers = []string{parts.Server}
		}
		e.Token, err = arena.From([]byte(parts.Token))
		return err
	}
	for _, need := range []struct{ flag, value string }{{"--server", strings.Join(e.Route.Servers, "")}, {"--ca-fingerprint", e.Fingerprint}, {"--token", token}} {
		if need.value == "" {
			return cli.Usagef("%s is needed, or --join @FILE in place of --server, --ca-fingerprint and --token", need.flag)
		}
	}
	if err := identity.ValidFingerprint(e.Fingerprint); err != nil {
		return cli.Usagef("--ca-fingerprint: %w", err)
	}
	var err error
	e.Token, err = values.Secret("--token", token)
	return err
}

func enrollHost(ctx context.Context, e agent.Enrolment) (host string, err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, enrollTime)
	defer cancel()
	host, err = agent.Enroll(ctx, e)
	switch {
	case errors.Is(err, agent.ErrNotReachable), errors.Is(err, context.DeadlineExceeded):
		return "", cli.Exit(cli.Unreachable, fmt.Errorf("%w; check --server and --proxy, and that port 7443 is open from here", err))
	case errors.Is(err, agent.ErrJoin):
		return "", cli.Exit(cli.Refused, err)
	}
	return host, err
}
