package main

import (
	"context"
	"encoding/json"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/cli"
)

const defaultData = "/var/lib/strongroom"

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:   "strongroom-server",
		Short: "Hold the vault and serve agents and people",
		Long: `strongroom-server makes a vault (init) and serves it (run).

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
		Example:       "  strongroom-server init --data ./vault && strongroom-server run --data ./vault",
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return cli.Usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(initCommand(), runCommand(), versionCommand())
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func versionCommand() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  strongroom-server version --json", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"version": cli.Version()})
			}
			cmd.Println(cli.Version())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usagef("%s takes no arguments; see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return nil
}
