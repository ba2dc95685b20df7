package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
)

// loggedIn is what login prints: never the token.
type loggedIn struct {
	User      string     `json:"user"`
	Server    string     `json:"server"`
	Expires   *time.Time `json:"expires"`
	TokenFile string     `json:"token_file"`
}

func (a *app) login() *cobra.Command {
	var user, password, code, out string
	cmd := &cobra.Command{
		Use:   "login --user NAME --password @FILE",
		Short: "Log in, and keep the token and where the server is",
		Long: `Log in, and keep the token (mode 0600) with where the server is and how to know it, so that later commands need no
flags: in STRONGROOM_TOKEN_FILE, or in the user's configuration folder.`,
		Example: "  strongroom login --server https://vault.example.com:8443 --ca-fingerprint sha256:… --user alice --password @pw.txt",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := loginPath(out)
			if err != nil {
				return err
			}
			c, server, err := a.connectAnybody()
			if err != nil {
				return err
			}
			defer c.Close()
			if user == "" {
				if user, err = a.ask("User: ", "--user NAME"); err != nil {
					return err
				}
			}
			pw, err := a.secretFlag(cmd, "password", password, a.askSecret, "Password: ")
			if err != nil {
				return err
			}
			session, err := c.Login(cmd.Context(), user, pw, code)
			if errors.Is(err, api.ErrSecondFactor) && code == "" {
				if code, err = a.ask("Code of the second factor: ", "--code CODE"); err == nil {
					session, err = c.Login(cmd.Context(), user, pw, code)
				}
			}
			pw.Wipe()
			if errors.Is(err, api.ErrUnauthenticated) {
				return cli.Exit(cli.Refused, err) // without the advice to log in
			}
			if err != nil {
				return ended(err)
			}
			if err := remember(path, session.Token, server); err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("user", user)
			t.Add("server", server.Server)
			t.Add("expires", session.Expires)
			t.Add("token", path)
			return a.Show(loggedIn{user, server.Server, session.Expires, path}, t)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&user, "user", "", "the user's `NAME`")
	flags.StringVar(&password, "password", "", "the password: `@FILE` or -")
	flags.StringVar(&code, "code", "", "the `CODE` of the second factor at this moment, or a recovery code")
	flags.StringVar(&out, "token-out", "", "keep the token in `FILE`, for use by STRONGROOM_TOKEN_FILE")
	return cmd
}

func loginPath(out string) (string, error) {
	switch out {
	case "":
		return tokenPath()
	case "-":
		return "", cli.Usagef("--token-out: wanted is the name of a file")
	}
	return out, nil
}

func (a *app) logout() *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "End the token and remove it from this machine",
		Long: `End the token and remove it from this machine, also where the server cannot be reached: then the token is good until it
expires. Which server it was stays remembered.`,
		Example: "  strongroom logout",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := tokenPath()
			if err != nil {
				return err
			}
			_, err = call(a, func(c *api.Client) (struct{}, error) { return struct{}{}, c.Logout(cmd.Context()) })
			if errors.Is(err, api.ErrUnauthenticated) {
				err = nil // it had ended already
			}
			if cli.Code(err) == cli.Usage {
				return err // the token was not tried
			}
			if gone := forget(path); gone != nil {
				return gone
			}
			if err != nil {
				return cli.Exit(cli.Code(err), fmt.Errorf("the token was removed here, but is not ended: %w", err))
			}
			t := cli.Table{}
			t.Add("logged out")
			return a.Show(struct {
				LoggedOut bool `json:"logged_out"`
			}{true}, t)
		},
	}
}

func (a *app) whoami() *cobra.Command {
	return &cobra.Command{
		Use:     "whoami",
		Short:   "Show whose token this is",
		Example: "  strongroom whoami --json",
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			me, err := call(a, func(c *api.Client) (*api.Whoami, error) { return c.Whoami(cmd.Context()) })
			if err != nil {
				return err
			}
			t := cli.Table{}
			t.Add("user", me.User)
			t.Add("role", me.Role)
			t.Add("permissions", me.Permissions)
			for _, notice := range me.Notices {
				t.Add("notice", notice)
			}
			t.Add("token", me.Token.Name)
			t.Add("expires", me.Token.Expires)
			return a.Show(me, t)
		},
	}
}
