package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/deliver"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) exec() *cobra.Command {
	var o client.Options
	var wanted []string
	var noRedact bool
	cmd := &cobra.Command{
		Use:   "exec --credential REF[=PREFIX]... [--] CMD [ARG]...",
		Short: "Run a command with credentials in its environment",
		Long: `Run a command with credentials in its environment: PREFIX_FIELD for each field, such as SALESFORCE_PROD_PASSWORD.
PREFIX is the reference in upper case, with _ for every other character, unless --credential REF=PREFIX names one.

What the command prints is passed on with every secret replaced by ***. For that its stdout and stderr are pipes: give
--no-redact to a command that needs the terminal. Its stdin and its signals are passed on.

Exit codes: the command's own, 128+N after signal N; 125 where exec failed or was refused itself, 126 where the command
cannot be run, 127 where it is not found.`,
		Example: "  strongroom-agent exec --credential salesforce-prod --credential alice/payroll=PAYROLL -- ./sync.sh",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(wanted) == 0 {
				return ownFailure(errors.New("exec wants --credential REF and a command; see strongroom-agent exec --help"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			command := deliver.Command{Args: args, Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr}
			credentials, secrets, err := a.fetch(cmd.Context(), client.New(o), wanted)
			if err != nil {
				return ownFailure(err)
			}
			variables, err := deliver.Environment(credentials)
			if err != nil {
				return ownFailure(err)
			}
			command.Env = append(os.Environ(), variables...)
			if !noRedact {
				command.Redactor = deliver.NewRedactor(secrets)
			}
			code, err := deliver.Run(command)
			if err != nil {
				return cli.Exit(code, err)
			}
			if code != 0 {
				return cli.Silent(code)
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return ownFailure(cli.FlagError(cmd, err)) })
	asking(cmd, &o)
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the command is the command's
	flags.StringArrayVar(&wanted, "credential", nil, "give the command this credential, `REF[=PREFIX]`; may be repeated")
	flags.BoolVar(&noRedact, "no-redact", false, "pass the output on as it is, on the terminal if there is one")
	return cmd
}

// ownFailure keeps exec's failures apart from the command's.
func ownFailure(err error) error { return cli.Exit(deliver.ExitFailed, err) }

// fetch reads the credentials, and answers the values to redact beside them.
func (a *app) fetch(ctx context.Context, c *client.Client, wanted []string) (credentials []deliver.Credential, secrets [][]byte, err error) {
	for _, w := range wanted {
		ref, prefix, named := strings.Cut(w, "=")
		if named && prefix == "" {
			return nil, nil, errors.New("--credential: a prefix must follow the =, as in --credential " + ref + "=PREFIX")
		}
		got, err := c.Get(ctx, ref)
		if err != nil {
			return nil, nil, refusal(err)
		}
		if got.Lease.Stale {
			a.Hint("strongroom-agent: the agent could not renew %s: the command gets the last value it knew", ref)
		}
		credentials = append(credentials, deliver.Credential{Reference: ref, Prefix: prefix, Fields: got.Fields})
		for name, value := range got.Fields {
			if slices.Contains(got.SecretFields, name) {
				secrets = append(secrets, value)
			}
		}
	}
	return credentials, secrets, nil
}
