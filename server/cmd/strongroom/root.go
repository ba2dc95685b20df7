package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

// arenaSize holds all values of one credential, one more while it is read, and
// the keys of an envelope.
const arenaSize = 1 << 20

// app is one run of the command line: the program, and what the flags of every
// command say.
type app struct {
	cli.Program

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
	a.arena, a.values = arena, cli.NewValues(arena, a.Stdin)
	root := a.root()
	root.SetArgs(args)
	return root.ExecuteContext(context.Background())
}

func (a *app) root() *cobra.Command {
	root := cli.Group(a.Name, "Keep credentials in one vault and hand each job just what it may have",
		"  strongroom login --server https://vault.example.com:8443 --ca-fingerprint sha256:… --user alice --password @pw.txt",
		a.login(), a.logout(), a.whoami(),
		a.status(), a.seal(), a.unseal(), a.slot(), a.rekey(), a.backup(),
		a.credential(), a.application(), a.grant(), a.explain(), a.request(), a.host(), a.user(), a.role(), a.factor(), a.token(), a.setting(), a.audit(),
		a.VersionCommand(), a.CompletionCommand())
	root.Long = `strongroom is people's command line for a Strongroom server.

A value given as @FILE is read from a file, - from stdin (once a command); @@x is a literal @x. One trailing line end
of a file or stdin is dropped. Secrets come from files, stdin or prompts only.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused or not logged in, 4 not found, 5 not reachable or sealed.`
	flags := root.PersistentFlags()
	flags.SortFlags = false
	a.JSONFlag(flags)
	flags.StringVar(&a.server, "server", "", "the server's `URL`; else STRONGROOM_SERVER, else where you logged in")
	flags.StringVar(&a.fingerprint, "ca-fingerprint", "", "sha256:`HEX` of the server's CA; else STRONGROOM_CA_FINGERPRINT")
	return a.Root(root, "credential add")
}

// required is the end of a command that would have to ask.
func required(flag string) error { return cli.Usagef("%s is needed", flag) }
