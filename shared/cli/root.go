package cli

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Program is one run of a program: what it is called, where it reads and writes,
// and whether its answer is JSON.
type Program struct {
	Name                  string
	Stdin, Stdout, Stderr *os.File

	JSON bool // what JSONFlag sets
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

// Root gives a program's root command the habits of all three programs. Where
// root has no RunE it shows its help. example is the command that the help
// command's own help names, such as "credential add".
func (p *Program) Root(root *cobra.Command, example string) *cobra.Command {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpTemplate(helpText)
	root.SetHelpCommand(helpCommand(p.Name + " help " + example))
	root.SetFlagErrorFunc(FlagError)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.Args = cobra.ArbitraryArgs // else the library refuses unknown commands in its own words
	if root.RunE == nil {
		root.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return noSuchCommand(cmd)
		}
	}
	return root
}

func helpCommand(example string) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]...",
		Short:   "Show the help of a command",
		Example: "  " + example,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noSuchCommand(cmd)
			}
			found.InitDefaultHelpFlag() // else only --help would show itself
			return found.Help()
		},
	}
}

// noSuchCommand does not repeat the command: a stray argument may be a secret.
func noSuchCommand(cmd *cobra.Command) error {
	return Usagef("there is no such command; see %s --help", cmd.Root().Name())
}

// Group is a command that only has commands.
func Group(name, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name, Short: short, Example: example, Args: cobra.ArbitraryArgs}
	cmd.AddCommand(commands...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var names []string
		for _, c := range commands {
			names = append(names, c.Name())
		}
		return Usagef("%s wants one of these commands: %s", cmd.CommandPath(), strings.Join(names, ", "))
	}
	return cmd
}

// Takes demands exactly as many arguments as are named, and at least one where
// the last name ends with "...". Its error does not repeat them: a stray
// argument may be a secret.
func Takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		many := len(names) > 0 && strings.HasSuffix(names[len(names)-1], "...")
		switch {
		case len(args) == len(names), many && len(args) > len(names):
			return nil
		case len(names) == 0:
			return Usagef("%s takes no arguments, only flags; see %[1]s --help", cmd.CommandPath())
		}
		return Usagef("%s takes %s and flags; see %[1]s --help", cmd.CommandPath(), strings.Join(names, " "))
	}
}

// FlagError words what the flag library found without repeating any value. A
// flag of ours that fails with Usagef keeps its words.
func FlagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
		mend    = "see " + cmd.CommandPath() + " --help"
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		return Usagef("there is no flag --%s; %s", unknown.GetSpecifiedName(), mend)
	case errors.As(err, &missing) && missing.GetSpecifiedShortnames() == "":
		return Usagef("--%s wants a value; %s", missing.GetSpecifiedName(), mend)
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		if why := invalid.Unwrap(); Code(why) == Usage {
			return Usagef("--%s: %w", flag.Name, why)
		}
		return Usagef("--%s: not a valid %s; %s", flag.Name, flag.Value.Type(), mend)
	}
	return Usagef("a flag is two dashes and a whole word; %s", mend)
}
