package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/shared/cli"
)

// app is one run of the program: where it reads and writes.
type app struct {
	stdin, stdout, stderr *os.File
}

func (a *app) run(args []string) error {
	root := a.root()
	root.SetArgs(args)
	return root.ExecuteContext(context.Background())
}

// helpText puts the example last.
const helpText = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}

{{end}}Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}
{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}
Example:
{{.Example}}
`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "strongroom-agent",
		Short: "Hand each job on this host the credentials it may have",
		Long: `strongroom-agent is the agent of a host (enroll, run, status) and what its jobs call (list, get, exec, explain).

A job finds the agent by --socket, else STRONGROOM_SOCKET, else the default.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused or not there, 5 not reachable; exec has its own.`,
		Example:       "  strongroom-agent exec --credential salesforce-prod -- ./sync.sh",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return cli.Usagef("there is no such command; see strongroom-agent --help")
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(help())
	root.SetHelpTemplate(helpText)
	root.SetFlagErrorFunc(flagError)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(a.enroll(), a.runDaemon(), a.status(), a.list(), a.get(), a.exec(), a.explain(), a.version(), a.completion())
	return root
}

func help() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show the help of a command",
		Example: "  strongroom-agent help exec",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return cli.Usagef("there is no such command; see strongroom-agent --help")
			}
			return found.Help()
		},
	}
}

// takes demands exactly the arguments that are named. Its error does not repeat them: a stray one may be a secret.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		wanted := "no arguments, only"
		if len(names) > 0 {
			wanted = strings.Join(names, " ") + " and"
		}
		return cli.Usagef("%s takes %s flags; see %[1]s --help", cmd.CommandPath(), wanted)
	}
}

// flagError words what the flag library found without repeating any value.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		mend    = "see " + cmd.CommandPath() + " --help"
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return cli.Usagef("there is no flag --%s; %s", unknown.GetSpecifiedName(), mend)
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "":
		return cli.Usagef("--%s wants a value; %s", missing.GetSpecifiedName(), mend)
	case errors.As(err, &invalid):
		return cli.Usagef("--%s: not a valid %s; %s", invalid.GetFlag().Name, invalid.GetFlag().Value.Type(), mend)
	}
	return cli.Usagef("a flag is two dashes and a whole word; %s", mend)
}
