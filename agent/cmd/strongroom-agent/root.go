package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/cli"
)

// app is one run of the program.
type app struct{ cli.Program }

func (a *app) run(args []string) error {
	root := a.root()
	root.SetArgs(args)
	return root.ExecuteContext(context.Background())
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   a.Name,
		Short: "Hand each job on this host the credentials it may have",
		Long: `strongroom-agent is the agent of a host (enroll, run, status) and what its jobs call (list, get, exec, render,
helper, explain).

A job finds the agent by --socket, else STRONGROOM_SOCKET, else the default.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused or not there, 5 not reachable; exec, and render --exec, have their own.`,
		Example: "  strongroom-agent exec --credential salesforce-prod -- ./sync.sh",
	}
	root.AddCommand(a.enroll(), a.runDaemon(), a.install(), a.status(), a.list(), a.get(), a.exec(), a.render(), a.helper(),
		a.explain(), a.VersionCommand(), a.CompletionCommand())
	root.AddCommand(a.controls()...)
	return a.Root(root, "exec")
}
