package main

import (
	"encoding/base32"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func (a *app) factor() *cobra.Command {
	return cli.Group("factor", "Your second factor: codes of an authenticator app at login",
		"  strongroom factor begin --password @pw.txt",
		a.factorBegin(), a.factorConfirm(), a.factorRemove())
}

// begunFactor is what factor begin prints: the one time that the key is shown.
type begunFactor struct {
	User string `json:"user"`
	Key  string `json:"key"` // base32, as apps take it
	URI  string `json:"uri"`
}

func (a *app) factorBegin() *cobra.Command {
	var password string
	cmd := &cobra.Command{
		Use:   "begin",
		Short: "Make the key for an authenticator app",
		Long: `Make the key for an authenticator app, and show it this once. Nothing changes at login until a first code is given with
strongroom factor confirm.`,
		Example: "  strongroom factor begin --password @pw.txt",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			pw, err := a.secretFlag(cmd, "password", password, a.askSecret, "Your present password: ")
			if err != nil {
				return err
			}
			defer pw.Wipe()
			doc, err := call(a, func(c *api.Client) (begunFactor, error) {
				user, key, err := c.BeginFactor(cmd.Context(), pw)
				if err != nil {
					return begunFactor{}, err
				}
				defer key.Wipe()
				return describeFactor(user, key), nil
			})
			if err != nil {
				return err
			}
			a.Hint("give the key to your authenticator app, then: strongroom factor confirm CODE")
			t := cli.Table{}
			t.Add("key", doc.Key)
			t.Add("uri", doc.URI)
			return a.Show(doc, t)
		},
	}
	cmd.Flags().StringVar(&password, "password", "", "your present password: `@FILE` or -")
	return cmd
}

// describeFactor makes texts of the key, which is about to be printed.
func describeFactor(user string, key *secret.Buffer) begunFactor {
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key.Reveal())
	uri := url.URL{
		Scheme: "otpauth", Host: "totp", Path: "/Strongroom:" + user,
		RawQuery: url.Values{"secret": {text}, "issuer": {"Strongroom"}}.Encode(),
	}
	return begunFactor{User: user, Key: text, URI: uri.String()}
}

func (a *app) factorConfirm() *cobra.Command {
	return &cobra.Command{
		Use:     "confirm CODE",
		Short:   "Turn your second factor on with its first code",
		Long:    `Turn your second factor on with its first code. It prints recovery codes, once: each stands in for the app one time.`,
		Example: "  strongroom factor confirm 123456",
		Args:    cli.Takes("CODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := call(a, func(c *api.Client) (*api.FactorConfirmed, error) { return c.ConfirmFactor(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			a.Hint("keep these recovery codes where you keep your passwords: they are shown this once")
			t := cli.Table{}
			for _, code := range done.Recovery {
				t.Add(code)
			}
			return a.Show(done, t)
		},
	}
}

func (a *app) factorRemove() *cobra.Command {
	var in api.FactorRemove
	cmd := &cobra.Command{
		Use:   "remove [--user NAME]",
		Short: "Take a second factor away",
		Long: `Take your second factor away with a code of it, or that of somebody who lost it, which ends their sessions and tokens and
locks their own credentials for a time (setting custom-lock).`,
		Example: "  strongroom factor remove --code 123456",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if in.User == "" && in.Code == "" {
				if in.Code, err = a.ask("Code of the second factor: ", "--code CODE"); err != nil {
					return err
				}
			}
			if in.User != "" && in.Code != "" {
				return cli.Usagef("--code is for your own second factor")
			}
			_, err = call(a, func(c *api.Client) (struct{}, error) { return struct{}{}, c.RemoveFactor(cmd.Context(), in) })
			if err != nil {
				return err
			}
			return a.done("removed", "second factor")
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&in.User, "user", "", "whose, `NAME`; without: your own")
	flags.StringVar(&in.Code, "code", "", "the `CODE` of your own at this moment, or a recovery code")
	return cmd
}
