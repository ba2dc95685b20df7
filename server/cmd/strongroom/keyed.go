package main

import (
	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// maxKey is the longest idempotency key that the server takes.
const maxKey = 64

// keyed gives a command that makes something a flag for scripts that ask again when they got no answer.
func keyed(cmd *cobra.Command) *cobra.Command {
	var key string
	cmd.Flags().StringVar(&key, "idempotency-key", "", "asked again with the same `KEY` within 24 hours, nothing more is made")
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(key) > maxKey {
			return cli.Usagef("--idempotency-key: at most %d bytes", maxKey)
		}
		if key != "" {
			cmd.SetContext(api.WithKey(cmd.Context(), key))
		}
		return run(cmd, args)
	}
	return cmd
}
