package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// arenaSize holds all values of one credential, one more while it is read, and
// the keys of an envelope.
const arenaSize = 1 << 20

// app is one run of the command line: where it reads and writes, and what the
// flags of every command say.
type app struct {
	stdin, stdout, stderr *os.File

	json        bool
	server      string
	fingerprint string

	arena  *secret.Arena
	values *cli.Values
}

func (a *app) run(args []string) error {
	arena, err := secret.NewArena(arenaSize)
	if err != nil {
		return err
	}
	defer arena.Close()
	a.arena, a.values = arena, cli.NewValues(arena, a.stdin)
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
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}
Example:
{{.Example}}
`

func (a *app) root() *cobra.Command {
	root := group("strongroom", "Keep credentials in one vault and hand each job just what it may have",
		"  strongroom login --server https://vault.example.com:8443 --ca-fingerprint sha256:… --user alice",
		a.login(), a.logout(), a.whoami(),
		a.status(), a.seal(), a.unseal(),
		a.credential(), a.application(), a.grant(), a.explain(), a.host(), a.token(), a.audit(),
		a.version(), a.completion())
	root.Long = `strongroom is people's command line for a Strongroom server.

A value given as @FILE is read from a file, - from stdin (once a command); @@x is a literal @x. One trailing line end
of a file or stdin is dropped. Secrets come from files, stdin or prompts only.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused or not logged in, 4 not found, 5 not reachable or sealed.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(help())
	root.SetHelpTemplate(helpText)
	root.SetFlagErrorFunc(flagError)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.BoolVar(&a.json, "json", false, "print one JSON document on stdout")
	flags.StringVar(&a.server, "server", "", "the server's `URL`; else STRONGROOM_SERVER, else where you logged in")
	flags.StringVar(&a.fingerprint, "ca-fingerprint", "", "sha256:`HEX` of the server's CA; else STRONGROOM_CA_FINGERPRINT")
	return root
}

func help() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Show the help of a command",
		Example: "  strongroom help credential add",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return cli.Usagef("there is no such command; see strongroom --help")
			}
			return found.Help()
		},
	}
}

// group is a command that only has commands.
func group(name, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Example: example, Args: cobra.ArbitraryArgs}
	cmd.AddCommand(commands...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, c := range commands {
			names = append(names, c.Name())
		}
		return cli.Usagef("%s wants one of these commands: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	return cmd
}

// takes demands exactly as many arguments as are named, and at least one where
// the last name ends with "...". Its error does not repeat them: a stray
// argument may be a secret.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		switch {
		case len(args) == len(names), many && len(args) > len(names):
			return nil
		case len(names) == 0:
			return cli.Usagef("%s takes no arguments, only flags; see %[1]s --help", cmd.CommandPath())
		}
		return cli.Usagef("%s takes %s and flags; see %[1]s --help", cmd.CommandPath(), strings.Join(names, " "))
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
		flag := invalid.GetFlag()
		if _, ours := flag.Value.(explained); ours {
			return cli.Usagef("--%s: %w", flag.Name, invalid.Unwrap())
		}
		return cli.Usagef("--%s: not a valid %s; %s", flag.Name, flag.Value.Type(), mend)
	}
	return cli.Usagef("a flag is two dashes and a whole word; %s", mend)
}

// explained is a flag of ours, whose errors do not repeat the value.
type explained interface{ explained() }

// required is the end of a command that would have to ask.
func required(flag string) error { return cli.Usagef("%s is needed", flag) }
