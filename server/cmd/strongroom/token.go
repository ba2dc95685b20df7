package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

func (a *app) token() *cobra.Command {
	return cli.Group("token", "Tokens: let programs of yours act as you",
		"  strongroom token create deploy --expires 90d --out deploy.token",
		keyed(a.tokenCreate()), a.tokenList(), a.tokenRevoke())
}

// createdToken is what token create prints. The text is there only where no
// file was named for it.
type createdToken struct {
	Name    string     `json:"name"`
	Token   string     `json:"token,omitempty"`
	Expires *time.Time `json:"expires"`
	File    string     `json:"file,omitempty"`
}

func (a *app) tokenCreate() *cobra.Command {
	var expires timeFlag
	var scopes []string
	var out string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token and show it once",
		Long: `Make a token. It is the only thing on stdout and shown this once; with --out it goes to a file (mode 0600) instead, for
use by STRONGROOM_TOKEN_FILE.`,
		Example: "  strongroom token create deploy --expires 90d --out deploy.token",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "-" {
				return cli.Usagef("--out: wanted is the name of a file")
			}
			s, err := call(a, func(c *api.Client) (*api.Session, error) {
				return c.AddToken(cmd.Context(), api.TokenAdd{Name: args[0], Scopes: scopes, Expires: expires.at})
			})
			if err != nil {
				return err
			}
			doc, t := createdToken{Name: s.Name, Expires: s.Expires, File: out}, cli.Table{}
			if out != "" {
				if err := saveToken(out, s.Token); err != nil {
					return err
				}
				t.Add("token", out)
			} else {
				doc.Token = string(s.Token.Reveal()) // it is about to be printed
				t.Add(doc.Token)
			}
			a.Hint("token %s expires: %s", s.Name, cli.Cell(s.Expires))
			return a.Show(doc, t)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&scopes, "scope", nil, "a `PERMISSION` it carries, such as host.view or audit.*; without, all of yours")
	flags.Var(&expires, "expires", "when it ends: a `TIME`, a date, or a duration from now such as 90d")
	flags.StringVar(&out, "out", "", "write it to `FILE`, readable by you only")
	return cmd
}

func (a *app) tokenList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List your tokens",
		Example: "  strongroom token list",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := call(a, func(c *api.Client) (*api.TokenList, error) { return c.Tokens(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{Head: []string{"NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED"}}
			for _, i := range list.Items {
				t.Add(i.Name, i.Scopes, i.Created, i.Expires, i.LastUsed)
			}
			return a.Show(list, t)
		},
	}
}

func (a *app) tokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:     "revoke NAME",
		Short:   "End a token",
		Example: "  strongroom token revoke deploy",
		Args:    cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := call(a, func(c *api.Client) (struct{}, error) {
				return struct{}{}, c.RevokeToken(cmd.Context(), args[0])
			})
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("revoked", args[0])
			return a.Show(struct {
				Revoked string `json:"revoked"`
			}{args[0]}, t)
		},
	}
}
