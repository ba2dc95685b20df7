package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/cli"
	"github.com/strongroom/strongroom/shared/secret"
)

func (a *app) credentialAdd() *cobra.Command {
	var f credentialFlags
	var application, authType string
	cmd := &cobra.Command{
		Use:   "add NAME|OWNER/NAME",
		Short: "Make a credential",
		Long: `Make an app credential (NAME, with --application and --auth-type), or a custom one of your own (OWNER/NAME, with
--variable and --masked). "strongroom application show APP" lists the fields of each auth type, with the defaults that are
stored where a --field or --expires is not given.

--generate has the server make a password by the policy (settings secret-min, secret-classes, secret-banned, and what
the application takes), an SSH key, a webhook's secret, or a client certificate of the vault's own issuer, which the
server renews by itself.`,
		Example: "  strongroom credential add crm --application generic-rest --auth-type basic \\\n" +
			"    --field url=https://crm.example.com --field username=robot --secret password=@pw.txt\n" +
			"  strongroom credential add etl-client --application generic-rest --auth-type client_certificate \\\n" +
			"    --generate certificate --field common_name=etl --field days=30\n" +
			"  strongroom credential add alice/payroll --variable URL=https://pay.example.com --masked PIN=@pin.txt",
		Args: cli.Takes("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := fits(args[0], application, authType, &f); err != nil {
				return err
			}
			g, err := f.read(a.values)
			if err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			in := api.CredentialAdd{
				Name: args[0], Application: application, AuthType: authType,
				Fields: g.fields, Generate: f.generate, Describe: g.describe, Description: f.description, Tags: g.tags,
				Expires: f.expires.at, Default: f.isDefault, Requestable: f.requestable,
			}
			if application != "" && len(f.secrets) == 0 && len(f.generate) == 0 {
				if g.values.Secrets, err = a.missingSecrets(cmd, c, application, authType); err != nil {
					return err
				}
			}
			d, err := c.AddCredential(cmd.Context(), in, g.values)
			if err != nil {
				return ended(err)
			}
			if in.Expires == nil {
				a.expiryHint(cmd.Context(), c, d)
			}
			return a.Show(d, detailTable(d))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&application, "application", "", "the application that it is for, `APP`")
	flags.StringVar(&authType, "auth-type", "", "how it authenticates, `TYPE`")
	f.register(cmd)
	return cmd
}

// fits keeps the two kinds of credentials apart before anything is read.
func fits(name, application, authType string, f *credentialFlags) error {
	if strings.Contains(name, "/") {
		if application != "" || authType != "" || len(f.fields)+len(f.secrets)+len(f.generate) > 0 || f.isDefault {
			return cli.Usagef("OWNER/NAME is a custom credential: it takes --variable and --masked, but no --application, --auth-type, --field, --secret, --generate or --default")
		}
		return nil
	}
	switch {
	case len(f.variables)+len(f.masked)+len(f.describe) > 0 || f.requestable:
		return cli.Usagef("--variable, --masked, --describe and --requestable are for custom credentials, whose name is OWNER/NAME")
	case application == "":
		return required("--application APP")
	case authType == "":
		return required("--auth-type TYPE")
	}
	return nil
}

// missingSecrets asks for the secrets that the auth type demands. Where the
// catalogue does not have it, the server's answer to the request itself says so.
func (a *app) missingSecrets(cmd *cobra.Command, c *api.Client, application, authType string) (map[string]*secret.Buffer, error) {
	app, err := c.Application(cmd.Context(), application)
	values := map[string]*secret.Buffer{}
	if err != nil {
		return values, nil
	}
	for _, f := range app.Fields[authType] {
		if !f.Secret || !f.Required {
			continue
		}
		b, err := a.askSecret(cli.Printable(f.Name)+": ", "--secret "+f.Name+"=@FILE")
		if err != nil {
			return nil, err
		}
		values[f.Name] = b
	}
	return values, nil
}

// expiryHint says of a new secret when it ends, where its application has said that.
func (a *app) expiryHint(ctx context.Context, c *api.Client, d *api.CredentialDetail) {
	if d.Expires == nil || d.Application == "" {
		return
	}
	if app, err := c.Application(ctx, d.Application); err == nil && app.ExpiresDays[d.AuthType] > 0 {
		a.Hint("expires %s: %s's %s secrets last %d days (--expires says otherwise)",
			d.Expires.Local().Format(time.DateOnly), app.Title, d.AuthType, app.ExpiresDays[d.AuthType])
	}
}

func (a *app) credentialEdit() *cobra.Command {
	var f credentialFlags
	cmd := &cobra.Command{
		Use:   "edit REF",
		Short: "Change a credential; a changed value makes a new version",
		Long: `Change a credential. What no flag names stays as it is. A changed value makes a new version. An empty --field, --tag
or --describe (NAME=) removes that name; a field then has its application's default again, where there is one. A new
secret without --expires lasts as long as its application says, from now on; an application that says nothing of it, and
every other change, leave the end as it was.`,
		Example: "  strongroom credential edit crm --secret password=@new.txt --tag env=prod",
		Args:    cli.Takes("REF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !ownFlags(cmd) {
				return cli.Usagef("nothing to change was given; see strongroom credential edit --help")
			}
			g, err := f.read(a.values)
			if err != nil {
				return err
			}
			in := api.CredentialEdit{
				Fields: g.fields, Generate: f.generate, Describe: g.describe, Tags: g.tags, Expires: f.expires.at,
				Description: changed(cmd, "description", f.description),
				Default:     changed(cmd, "default", f.isDefault),
				Requestable: changed(cmd, "requestable", f.requestable),
			}
			d, err := call(a, func(c *api.Client) (*api.CredentialDetail, error) {
				seen, err := c.Credential(cmd.Context(), args[0])
				if err != nil {
					return nil, err
				}
				d, err := c.EditCredential(cmd.Context(), args[0], seen.Revision, in, g.values)
				if err == nil && in.Expires == nil && len(g.values.Secrets)+len(in.Generate) > 0 {
					a.expiryHint(cmd.Context(), c, d)
				}
				return d, err
			})
			if err != nil {
				return err
			}
			return a.Show(d, detailTable(d))
		},
	}
	f.register(cmd)
	return cmd
}

// ownFlags reports whether any flag was given that is not of every command.
func ownFlags(cmd *cobra.Command) (given bool) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		given = given || cmd.InheritedFlags().Lookup(f.Name) == nil
	})
	return given
}

// changed gives a flag's value where the flag was given.
func changed[T any](cmd *cobra.Command, flag string, value T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return &value
}
