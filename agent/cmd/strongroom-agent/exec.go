package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/agent/client"
	"github.com/strongroom/strongroom/agent/internal/deliver"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) exec() *cobra.Command {
	var o client.Options
	var wanted []string
	var noRedact, restart, noTools bool
	cmd := &cobra.Command{
		Use:   "exec --credential REF[=PREFIX]... [--restart-on-change] [--] CMD [ARG]...",
		Short: "Run a command with credentials in its environment",
		Long: `Run a command with credentials in its environment: PREFIX_FIELD for each field, such as SALESFORCE_PROD_PASSWORD.
PREFIX is the reference in upper case, with _ for every other character, unless --credential REF=PREFIX names one.

Whatever the prefix, the variables that the application's own tools read are set too, where the catalogue knows them and
the fields are there: PGHOST, PGUSER, PGPASSWORD of a postgresql credential. They all take the place of variables that
are set already. Where two credentials would set the same one exec fails; --no-tool-variables leaves those of tools out.

What the command prints is passed on with every secret replaced by ***. For that its stdout and stderr are pipes: give
--no-redact to a command that needs the terminal. Its stdin and its signals are passed on.

With --restart-on-change the command is started again when a value has really changed, about a second later: it gets
SIGTERM, after 10 s SIGKILL (on Windows it is ended at once). Where the credential is refused meanwhile, or the agent is
away, it goes on with what it has. Once SIGTERM, SIGINT or SIGQUIT was passed on it is not started again. A job that
outlives its token gives --job-token @FILE of one that its platform renews: the file is read again for each request.

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
			h := a.holdings(o)
			var err error
			if command.Env, err = environment(cmd.Context(), h, wanted, !noTools); err != nil {
				return ownFailure(err)
			}
			if !noRedact {
				command.Redactor = h.redactor()
			}
			if restart {
				changes := make(chan deliver.Change)
				command.Changes = changes
				stop := inBackground(cmd.Context(), func(ctx context.Context) {
					h.follow(ctx, changes, func(ctx context.Context) (*deliver.Change, error) {
						env, err := environment(ctx, h, wanted, !noTools)
						if err != nil {
							return nil, err
						}
						return &deliver.Change{Restart: true, Env: env, Redactor: h.redactor()}, nil
					})
				})
				defer stop()
			}
			return a.runCommand(command)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return ownFailure(cli.FlagError(cmd, err)) })
	asking(cmd, &o, nil)
	flags := cmd.Flags()
	flags.SetInterspersed(false) // what follows the command is the command's
	flags.StringArrayVar(&wanted, "credential", nil, "give the command this credential, `REF[=PREFIX]`; may be repeated")
	flags.BoolVar(&noTools, "no-tool-variables", false, "set PREFIX_FIELD alone, not what the applications' tools read")
	flags.BoolVar(&noRedact, "no-redact", false, "pass the output on as it is, on the terminal if there is one")
	flags.BoolVar(&restart, "restart-on-change", false, "start the command again when a credential's value has changed")
	return cmd
}

// inBackground runs do until its context is ended by stop, which waits for it.
func inBackground(ctx context.Context, do func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// runCommand runs a command and ends as it did.
func (a *app) runCommand(c deliver.Command) error {
	code, err := deliver.Run(c)
	if err != nil {
		return cli.Exit(code, err)
	}
	if code != 0 {
		return cli.Silent(code)
	}
	return nil
}

// ownFailure keeps exec's failures apart from the command's.
func ownFailure(err error) error { return cli.Exit(deliver.ExitFailed, err) }

// environment is that of a command with the variables of the wanted credentials, which go before those of its own.
func environment(ctx context.Context, h *holdings, wanted []string, tools bool) ([]string, error) {
	var credentials []deliver.Credential
	for _, w := range wanted {
		ref, prefix, named := strings.Cut(w, "=")
		if named && prefix == "" {
			return nil, errors.New("--credential: a prefix must follow the =, as in --credential " + ref + "=PREFIX")
		}
		got, err := h.get(ctx, ref)
		if err != nil {
			return nil, err
		}
		c := deliver.Credential{Reference: ref, Prefix: prefix, Fields: got.Fields}
		if tools {
			c.Tools = got.Environment
		}
		credentials = append(credentials, c)
	}
	variables, err := deliver.Environment(credentials)
	if err != nil {
		return nil, err
	}
	return append(os.Environ(), variables...), nil
}
