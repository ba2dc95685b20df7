package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent"
	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/cmd/strongroom-agent/service"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func (a *app) install() *cobra.Command {
	var join string
	e := agent.Enrolment{Version: cli.Version()}
	var s service.Settings
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Let the machine's service manager run the agent",
		Long: `Let the machine's service manager run the agent: systemd, another of Linux, or that of Windows. It is started now, once
this host is enrolled, and whenever the machine starts.

With --join the host is enrolled first, unless it is already: the same command may be given again, to bring the service
up to date. The agent's program is used where it lies now: there, on the way there, and with --config and --state, nobody
but root may write (Unix). The folder of --socket is the agent's own.`,
		Example: "  strongroom-agent install --join @join.txt",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := absolute(&s.State, &s.Socket, &s.Config); err != nil {
				return err
			}
			svc, err := a.service(s)
			if err != nil {
				return err
			}
			if err := s.Check(); err != nil {
				return err // before the join string is spent
			}
			e.State = s.State
			if join != "" {
				if err := a.enrollOnce(cmd.Context(), join, e); err != nil {
					return err
				}
			}
			if err := svc.Install(); err != nil {
				return err
			}
			if !agent.Enrolled(s.State) {
				a.Hint("installed; this host is not enrolled yet: strongroom-agent enroll --join @FILE, then strongroom-agent start")
				return nil
			}
			if err := svc.Restart(); err != nil {
				return err
			}
			a.Hint("installed and started; strongroom-agent status says how it is")
			return nil
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&join, "join", "", "enrol this host first, with the join string: `@FILE` or -")
	flags.StringVar(&e.Name, "name", "", "the host's `NAME` (default: its host name)")
	flags.StringVar(&s.State, "state", agent.DefaultState(), "the `DIR` that keeps the host's identity")
	flags.StringVar(&s.Socket, "socket", client.DefaultSocket(), "the `PATH` of the socket for jobs")
	flags.StringVar(&s.Config, "config", "", "a YAML `FILE` with the settings of run")
	return cmd
}

// enrollOnce leaves a host alone that is enrolled.
func (a *app) enrollOnce(ctx context.Context, join string, e agent.Enrolment) error {
	if agent.Enrolled(e.State) {
		a.Hint("this host is enrolled already: the join string is not used")
		return nil
	}
	arena, err := secret.NewArena(enrollArena)
	if err != nil {
		return err
	}
	defer arena.Close()
	if err := joining(cli.NewValues(arena, a.Stdin), arena, join, "", &e); err != nil {
		return err
	}
	_, err = enrollHost(ctx, e)
	return err
}

// controls are the commands for a service that is installed.
func (a *app) controls() []*cobra.Command {
	return []*cobra.Command{
		a.control("uninstall", "Stop the service and remove it; the host's identity stays", (*service.Service).Uninstall),
		a.control("start", "Start the installed service", (*service.Service).Start),
		a.control("stop", "Stop the installed service, which wipes what it holds", (*service.Service).Stop),
		a.control("restart", "Stop the installed service and start it again", (*service.Service).Restart),
	}
}

func (a *app) control(use, short string, do func(*service.Service) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Example: "  strongroom-agent " + use,
		Args:    cli.Takes(),
		RunE: func(*cobra.Command, []string) error {
			svc, err := a.service(service.Settings{State: agent.DefaultState(), Socket: client.DefaultSocket()})
			if err != nil {
				return err
			}
			return do(svc)
		},
	}
}

func (a *app) service(s service.Settings) (*service.Service, error) {
	if runtime.GOOS != "windows" && os.Geteuid() != 0 {
		return nil, errors.New("this takes root: give the command with sudo")
	}
	return service.New(s)
}

// absolute makes paths such as a service manager needs them, which starts the agent elsewhere.
func absolute(paths ...*string) error {
	for _, path := range paths {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	return nil
}
