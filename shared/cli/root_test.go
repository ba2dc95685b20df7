package cli_test

import (
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/cli"
)

// ours is a flag that fails with words of its own; theirs repeats the value, as the flag library does.
type ours struct{}

func (ours) String() string   { return "" }
func (ours) Type() string     { return "colour" }
func (ours) Set(string) error { return cli.Usagef("wanted is red or green") }

type theirs struct{ ours }

func (theirs) Set(text string) error { return errors.New("bad " + text) }

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"paint", "--ours", "hunter22"}, "--ours: wanted is red or green"},
		{[]string{"paint", "--theirs", "hunter22"}, "--theirs: not a valid colour; see p paint --help"},
		{[]string{"paint", "--theirs"}, "--theirs wants a value; see p paint --help"},
		{[]string{"paint", "--other=hunter22"}, "there is no flag --other; see p paint --help"},
		{[]string{"paint", "-hunter22"}, "a flag is two dashes and a whole word; see p paint --help"},
		{[]string{"paint"}, "p paint takes WHAT and flags; see p paint --help"},
		{[]string{"paint", "a", "hunter22"}, "p paint takes WHAT and flags; see p paint --help"},
		{[]string{"many"}, "p many takes WHAT... and flags; see p many --help"},
		{[]string{"none", "hunter22"}, "p none takes no arguments, only flags; see p none --help"},
		{[]string{"hunter22"}, "there is no such command; see p --help"},
		{[]string{"help", "hunter22"}, "there is no such command; see p --help"},
		{[]string{"help", "both", "hunter22"}, "there is no such command; see p --help"},
		{[]string{"both", "hunter22"}, "p both wants one of these commands: b, a"},
		{[]string{"paint", "a"}, ""},
		{[]string{"many", "a", "b"}, ""},
		{[]string{"none"}, ""},
	} {
		command := func(name string, takes ...string) *cobra.Command {
			return &cobra.Command{Use: name, Args: cli.Takes(takes...), RunE: func(*cobra.Command, []string) error { return nil }}
		}
		paint := command("paint", "WHAT")
		paint.Flags().Var(ours{}, "ours", "")
		paint.Flags().Var(theirs{}, "theirs", "")
		root := &cobra.Command{Use: "p"}
		root.AddCommand(paint, command("many", "WHAT..."), command("none"), cli.Group("both", "", "", command("b"), command("a")))
		root = (&cli.Program{Name: "p"}).Root(root, "paint")
		root.SetArgs(tc.args)
		err := root.ExecuteContext(t.Context())
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%q: %v", tc.args, err)
		case tc.want != "" && (cli.Code(err) != cli.Usage || err.Error() != tc.want):
			t.Errorf("%q: %v, want %s", tc.args, err, tc.want)
		}
	}
}
