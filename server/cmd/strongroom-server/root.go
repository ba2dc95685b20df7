package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/cli"
)

const defaultData = "/var/lib/strongroom"

// app is one run of the program.
type app struct{ cli.Program }

func (a *app) run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := a.root()
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   a.Name,
		Short: "Hold the vault and serve agents and people",
		Long: `strongroom-server makes a vault (init), serves it (run), checks its audit log (verify) and the whole of it
(check), and makes a vault of a backup (restore).

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example: "  strongroom-server init --data ./vault && strongroom-server run --data ./vault",
	}
	root.AddCommand(a.init(), a.serve(), a.verify(), a.check(), a.restore(), a.VersionCommand(), a.CompletionCommand())
	return a.Root(root, "init")
}
